import { rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Runs beside the database of a test run, in a process group of its own: `node cluster-guard.js <pid of the database> <folder>…`.
 * Its input is a pipe that nobody writes to; it ends when the test run ends, however that happens (`kill -9` included). Then the
 * database is ended and its folders are removed, so that nothing is left running or lying about.
 */
async function guard(pid: number, folders: readonly string[]): Promise<void> {
  for await (const _ of process.stdin) {
    // Nobody writes; only the end counts.
  }
  for (
    let waited = 0;
    signalled(pid, waited < 3_000 ? 'SIGQUIT' : 'SIGKILL') && waited < 10_000;
    waited += 50
  ) {
    await sleep(50);
  }
  for (const folder of folders) rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
}

/** False once there is no such process. */
function signalled(pid: number, signal: NodeJS.Signals): boolean {
  try {
    process.kill(pid, signal);
    return true;
  } catch {
    return false;
  }
}

const [pid, ...folders] = process.argv.slice(2);
await guard(Number(pid), folders);
