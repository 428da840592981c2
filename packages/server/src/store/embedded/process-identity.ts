import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** A process, told apart from a later one that was given the same number. */
export interface ProcessIdentity {
  readonly pid: number;
  /** The kernel's start time of the process in its own unit; null where the system does not tell it as a file. */
  readonly startedAt: string | null;
}

export function identityOf(pid: number): ProcessIdentity {
  return { pid, startedAt: startTimeOf(pid) };
}

export function isAlive(identity: ProcessIdentity): boolean {
  return isPidAlive(identity.pid) && startTimeOf(identity.pid) === identity.startedAt;
}

/** Whether some process has this number, be it ours or another account's. A zombie counts as gone. */
export function isPidAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if (!(error instanceof Error) || !('code' in error) || error.code !== 'EPERM') return false;
  }
  return processStatus(pid)?.state !== 'Z';
}

/**
 * Whether that process is a PostgreSQL working in `dataDirectory`. A number alone proves nothing: after a crash of the machine or
 * the container it belongs to somebody else, who must neither be signalled nor keep us from starting.
 */
export function isPostgresOf(pid: number, dataDirectory: string): boolean {
  if (!isPidAlive(pid)) return false;
  if (process.platform === 'linux') {
    try {
      return readlinkSync(`/proc/${pid}/cwd`) === dataDirectory;
    } catch {
      // Another account's process: not a database of ours, which this account could look at.
      return false;
    }
  }
  if (process.platform === 'win32') return true;
  try {
    const command = execFileSync('ps', ['-p', String(pid), '-o', 'command='], { encoding: 'utf8' });
    return command.includes('postgres');
  } catch {
    return false;
  }
}

/** Whether surely no process works in that directory. Where the system does not tell, nothing is sure. */
export function worksNobodyIn(directory: string): boolean {
  if (process.platform !== 'linux') return false;
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .every((name) => {
      try {
        return readlinkSync(`/proc/${name}/cwd`) !== directory;
      } catch {
        return true;
      }
    });
}

function startTimeOf(pid: number): string | null {
  if (process.platform === 'linux') return processStatus(pid)?.startedAt ?? null;
  if (process.platform === 'win32') return null;
  try {
    return execFileSync('ps', ['-p', String(pid), '-o', 'lstart='], { encoding: 'utf8' }).trim();
  } catch {
    return null;
  }
}

function processStatus(pid: number): { state: string; startedAt: string } | null {
  if (process.platform !== 'linux') return null;
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name stands in parentheses and may hold anything, so fields are counted from the last closing one: state is the
    // third field of the line, start time the twenty-second.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    const [state, startedAt] = [fields[0], fields[19]];
    return state === undefined || startedAt === undefined ? null : { state, startedAt };
  } catch {
    return null;
  }
}
