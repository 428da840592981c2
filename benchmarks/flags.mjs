import { flagd } from './peers/flagd.mjs';
import { growthBook } from './peers/growthbook.mjs';
import { launchDarkly } from './peers/launchdarkly.mjs';
import { pennon, pennonFromContext } from './peers/pennon.mjs';
import { unleash } from './peers/unleash.mjs';
import { machine, makeContexts, measureRounds, printRounds } from './rounds.mjs';

// One boolean flag: a gate, a rule of four conditions and a rollout of one half by team, with the full decision, over 2,000
// different contexts parsed from JSON: users of 100 customers, and, because memory is slower than arithmetic, once more with a
// customer of its own for each. The peers read the plan from the context; Pennon resolves it from a license. Every subject is given the
// context in its own shape beforehand; what reading it costs Pennon stands in a row of its own.
const contexts = makeContexts();
const peers = await Promise.all([
  pennon(),
  pennon({ name: 'Pennon, each context another customer', customers: contexts.length }),
  pennonFromContext(),
  launchDarkly(),
  unleash(),
  growthBook(),
  flagd(),
]);
const subjects = peers.map((peer) => {
  const prepared = contexts.map((context) => peer.prepare(context));
  return {
    name: peer.name,
    asynchronous: peer.asynchronous,
    call: (index) => peer.evaluate(prepared[index % prepared.length]),
  };
});
console.log(`In-process flag evaluation — ${machine()}\n`);
printRounds(await measureRounds(subjects), 'Pennon');
for (const peer of peers) await peer.close();
