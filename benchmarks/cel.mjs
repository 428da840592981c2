import { celEnv, parse as parseBuf, plan as planBuf } from '@bufbuild/cel';
import { Environment as MarcEnvironment } from '@marcbachmann/cel-js';
import { compileExpression } from '@pennon/engine/cel/compile-expression';
import { DYN } from '@pennon/engine/cel/types';
import { machine, makeContexts, measureRounds, printRounds } from './rounds.mjs';

// A compiled condition, evaluated over 2,000 different contexts parsed from JSON. The hand-written closure is the floor.
const EXPRESSIONS = {
  'four conditions':
    'plan.tier in ["pro", "enterprise"] && user.country == "DE" && user.age >= 18.0 && user.email.endsWith("@acme.example")',
  'one comparison': 'user.country == "DE"',
  'a loop': '["pro", "enterprise", "trial"].exists(tier, tier == plan.tier) || size(user.email) > 40',
};
const FLOORS = {
  'four conditions': (c) =>
    (c.plan.tier === 'pro' || c.plan.tier === 'enterprise') &&
    c.user.country === 'DE' &&
    c.user.age >= 18 &&
    c.user.email.endsWith('@acme.example'),
  'one comparison': (c) => c.user.country === 'DE',
  'a loop': (c) =>
    ['pro', 'enterprise', 'trial'].some((tier) => tier === c.plan.tier) || c.user.email.length > 40,
};

const contexts = makeContexts();
// Each read in a place of its own, as the engine declares the parts of a context.
const variables = new Map([
  ['user', { type: DYN, read: (frame) => frame.user }],
  ['plan', { type: DYN, read: (frame) => frame.plan }],
  ['team', { type: DYN, read: (frame) => frame.team }],
]);
const marc = new MarcEnvironment({ unlistedVariablesAreDyn: true });
const buf = celEnv({});

console.log(`CEL conditions — ${machine()}\n`);
for (const [name, source] of Object.entries(EXPRESSIONS)) {
  const compiled = compileExpression(source, { variables, functions: new Map() });
  if (!compiled.ok) throw new Error(JSON.stringify(compiled.issues));
  const { expression } = compiled;
  const marcRun = marc.parse(source);
  const bufRun = planBuf(buf, parseBuf(source));
  const floor = FLOORS[name];
  const at = (index) => contexts[index % contexts.length];
  console.log(`\`${source}\`\n`);
  printRounds(
    await measureRounds([
      { name: 'Pennon', call: (index) => expression.evaluate(at(index)) === true },
      { name: 'hand-written closure', call: (index) => floor(at(index)) },
      { name: '@marcbachmann/cel-js', call: (index) => marcRun(at(index)) === true },
      { name: '@bufbuild/cel', call: (index) => bufRun(at(index)) === true, callsPerRound: 4000 },
    ]),
    'Pennon',
  );
  console.log();
}
