import { readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Runs beside the database of a test run, in a process group of its own: `node cluster-guard.js <folder>`, started before the database
 * whose directory is `<folder>/postgres`. Its input is a pipe that nobody writes to; it ends when the test run ends, however that
 * happens (`kill -9` included). Then the database is ended and its folders are removed, so that nothing is left running or lying about.
 */
async function guard(folder: string): Promise<void> {
  for await (const _ of process.stdin) {
    // Nobody writes; only the end counts.
  }
  const data = dataDirectoryOf(join(folder, 'postgres'));
  const pid = postmasterOf(data);
  for (let waited = 0; pid !== null && waited < 10_000; waited += 50) {
    if (!signal(pid, waited < 3_000 ? 'SIGQUIT' : 'SIGKILL')) break;
    await sleep(50);
  }
  if (!data.startsWith(folder)) rmSync(dirname(data), { recursive: true, force: true, maxRetries: 5 });
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
}

/** The data may lie elsewhere, when the account that the database runs under cannot reach the folder. */
function dataDirectoryOf(directory: string): string {
  return readOrNull(join(directory, 'data-made'))?.trim() ?? join(directory, 'data');
}

function postmasterOf(dataDirectory: string): number | null {
  const pid = Number.parseInt(readOrNull(join(dataDirectory, 'postmaster.pid')) ?? '', 10);
  return Number.isSafeInteger(pid) && pid > 0 ? pid : null;
}

function readOrNull(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

/** False once there is no such process. */
function signal(pid: number, name: NodeJS.Signals): boolean {
  try {
    process.kill(pid, name);
    return true;
  } catch {
    return false;
  }
}

const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error('Name the folder to guard.');
await guard(folder);
