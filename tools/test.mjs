import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { argv, execPath, exit, stderr, stdout } from 'node:process';
import { installIfNeeded, Refusal, requireNode, root } from './install.mjs';

/** Runs every test (or those named on the command line) and answers how many passed and failed. */
async function runTests(names) {
  const folder = mkdtempSync(join(tmpdir(), 'pennon-totals-'));
  const file = join(folder, 'totals.json');
  try {
    const code = await new Promise((resolve, reject) => {
      const child = spawn(
        execPath,
        [
          join(root, 'node_modules/vitest/vitest.mjs'),
          'run',
          '--reporter=default',
          '--reporter=json',
          `--outputFile.json=${file}`,
          ...names,
        ],
        { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] },
      );
      child.on('error', reject);
      child.on('close', (exitCode) => resolve(exitCode ?? 1));
    });
    return totalsOf(code, file);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A run that fails without a failed test (a file that does not load, an error outside of any test) counts as one failure. */
function totalsOf(exitCode, file) {
  let passed = 0;
  let failed = 0;
  try {
    const totals = JSON.parse(readFileSync(file, 'utf8'));
    passed = totals.numPassedTests;
    failed = totals.numFailedTests;
    const broken = totals.testResults.filter(
      ({ status, assertionResults }) =>
        status === 'failed' && !assertionResults.some((result) => result.status === 'failed'),
    );
    failed += broken.length;
  } catch {
    return { passed, failed: 1 };
  }
  if (passed + failed === 0) failed = 1;
  return { passed, failed: exitCode === 0 ? failed : Math.max(failed, 1) };
}

try {
  requireNode();
  installIfNeeded();
  const { runChecks } = await import('./check.mjs');
  const names = argv.slice(2);
  const checks = names.length > 0 ? { passed: 0, failed: 0 } : await runChecks();
  // The tests import what the checks have built; after a failed check they run all the same, and tell more.
  const tests = await runTests(names);
  const [passed, failed] = [checks.passed + tests.passed, checks.failed + tests.failed];
  stdout.write(`\n${passed} passed, ${failed} failed\n`);
  exit(failed === 0 ? 0 : 1);
} catch (error) {
  stderr.write(`${error instanceof Refusal ? error.message : (error?.stack ?? error)}\n`);
  stdout.write('\n0 passed, 1 failed\n');
  exit(1);
}
