import { spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { argv, execPath, exit, stdout } from 'node:process';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Answers what went wrong, or the empty text. */
const runTool = (path, ...argumentList) =>
  new Promise((resolve, reject) => {
    const child = spawn(execPath, [join(root, 'node_modules', path), ...argumentList], {
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

const checkImportTable = async () => {
  // Loaded late: the types are checked, and so everything is built, before imports are resolved.
  const { checkImports, explainRule } = await import('./check-imports.mjs');
  const { violations, modules, missed } = await checkImports(root);
  if (modules === 0) return 'No module was seen, so nothing was checked.';
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

/** In this order: the first ones are the commonest reasons of the later ones. */
const checks = [
  { name: 'types (tsc -b)', run: () => runTool('typescript/bin/tsc', '-b') },
  {
    name: 'format and lint (biome ci)',
    run: () => runTool('@biomejs/biome/bin/biome', 'ci', '--colors=off'),
  },
  { name: 'import table (dependency-cruiser)', run: checkImportTable },
  { name: 'pure engine, environment read in one file', run: checkPurity },
  { name: 'dead code (knip)', run: () => runTool('knip/bin/knip.js', '--no-progress') },
];

/** Runs the checks up to the first that fails. @returns {Promise<{ passed: number, failed: number }>} */
export async function runChecks() {
  let passed = 0;
  for (const { name, run } of checks) {
    const began = performance.now();
    const fault = await run();
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    if (fault !== '') {
      stdout.write(`✗ ${name} (${seconds} s)\n${fault}\n`);
      return { passed, failed: 1 };
    }
    stdout.write(`✓ ${name} (${seconds} s)\n`);
    passed += 1;
  }
  return { passed, failed: 0 };
}

if (argv[1] === fileURLToPath(import.meta.url)) {
  const { failed } = await runChecks();
  exit(failed === 0 ? 0 : 1);
}
