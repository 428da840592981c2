import { spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { argv, execPath, exit, stdout } from 'node:process';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Answers what went wrong, or the empty text. */
const runFile = (path, ...argumentList) =>
  new Promise((resolve, reject) => {
    const child = spawn(execPath, [join(root, path), ...argumentList], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => {
        output += text;
      });
    }
    child.on('error', reject);
    child.on('close', (code, signal) => {
      resolve(code === 0 ? '' : `${output.trim()}\n(ended with ${signal ?? `exit code ${code}`})`);
    });
  });

const runTool = (path, ...argumentList) => runFile(join('node_modules', path), ...argumentList);

const checkImportTable = async () => {
  // Loaded late: the types are checked, and so everything is built, before imports are resolved.
  const { checkImports, explainRule } = await import('./check-imports.mjs');
  const { violations, modules, missed } = await checkImports(root);
  // The one place where the real tree is held against the table; the tests of the table plant small trees.
  if (modules < 150) return `Only ${modules} modules were seen, so next to nothing was checked.`;
  return [
    ...missed.map((name) => `${name} was not seen by the check.`),
    ...violations.map(({ rule, from, to }) => `${from} → ${to}\n    ${rule}: ${explainRule(rule)}`),
  ].join('\n');
};

const checkPurity = async () => {
  const { findImpurities } = await import('./purity.mjs');
  const { violations, seen } = findImpurities(root);
  return seen === 0 ? 'No source was seen, so nothing was checked.' : violations.join('\n');
};

/** Each round runs at once, on as many cores as there are; a later one needs what the earlier has built. */
const rounds = [
  [
    { name: 'types (tsc -b)', run: () => runTool('typescript/bin/tsc', '-b') },
    {
      name: 'format and lint (biome ci)',
      run: () => runTool('@biomejs/biome/bin/biome', 'ci', '--colors=off'),
    },
  ],
  [
    // First of its round: it is a process of its own, and the next two keep this one busy.
    { name: 'dead code (knip)', run: () => runTool('knip/bin/knip.js', '--no-progress') },
    {
      name: 'the protocol as OpenAPI (docs:oep)',
      run: () => runFile('tools/write-oep-openapi.mjs', '--check'),
    },
    { name: 'import table (dependency-cruiser)', run: checkImportTable },
    { name: 'pure engine, environment read in one file', run: checkPurity },
  ],
];

/** Runs the checks up to the first round that fails. @returns {Promise<{ passed: number, failed: number }>} */
export async function runChecks() {
  let passed = 0;
  for (const round of rounds) {
    const faults = await Promise.all(round.map(runCheck));
    const failed = faults.filter((fault) => fault !== '').length;
    passed += round.length - failed;
    if (failed > 0) return { passed, failed };
  }
  return { passed, failed: 0 };
}

async function runCheck({ name, run }) {
  const began = performance.now();
  const fault = await run();
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  stdout.write(fault === '' ? `✓ ${name} (${seconds} s)\n` : `✗ ${name} (${seconds} s)\n${fault}\n`);
  return fault;
}

if (argv[1] === fileURLToPath(import.meta.url)) {
  const { failed } = await runChecks();
  exit(failed === 0 ? 0 : 1);
}
