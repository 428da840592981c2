import { execFileSync } from 'node:child_process';
import { readFileSync, realpathSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { systemErrorCode } from './embedded-database-error.js';

/** The account that the database runs under. */
export interface RunAs {
  readonly uid: number;
  readonly gid: number;
}

/** Root may not run a PostgreSQL, so as root it runs under another account; null: under the account that we have. */
export function accountForDatabase(existingDataDirectory: string | null): RunAs | null {
  if (process.getuid?.() !== 0) return null;
  if (existingDataDirectory !== null) {
    // Data made by an ordinary user stay that user's, who would else be locked out by one start as root.
    const { uid, gid } = statSync(existingDataDirectory);
    if (uid !== 0) return { uid, gid };
  }
  return nobody();
}

function nobody(): RunAs {
  try {
    const line = readFileSync('/etc/passwd', 'utf8')
      .split('\n')
      .find((entry) => entry.startsWith('nobody:'));
    const [, , uid, gid] = line?.split(':') ?? [];
    if (uid !== undefined && gid !== undefined && Number(uid) > 0)
      return { uid: Number(uid), gid: Number(gid) };
  } catch {
    // No such file: the number below is the customary one.
  }
  return process.platform === 'darwin' ? darwinNobody() : { uid: 65534, gid: 65534 };
}

/** There the account is -2, which the system's own tool tells as an unsigned number. */
function darwinNobody(): RunAs {
  const id = (flag: string) => Number(execFileSync('id', [flag, 'nobody'], { encoding: 'utf8' })) >>> 0;
  return { uid: id('-u'), gid: id('-g') };
}

/**
 * The first folder on the way to `path`, the path itself included, that the account may not enter; null when it reaches it. What
 * does not exist yet is left out. Access lists beyond the mode bits are not looked at.
 */
export function firstClosedFolder(path: string, account: RunAs): string | null {
  const folders: string[] = [];
  for (let folder = existingPart(path); ; folder = dirname(folder)) {
    folders.unshift(folder);
    if (dirname(folder) === folder) break;
  }
  return folders.find((folder) => !maySearch(folder, account)) ?? null;
}

function existingPart(path: string): string {
  try {
    return realpathSync(path);
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT' || dirname(path) === path) throw error;
    return existingPart(dirname(path));
  }
}

function maySearch(folder: string, { uid, gid }: RunAs): boolean {
  const status = statSync(folder);
  if (status.uid === uid) return (status.mode & 0o100) !== 0;
  if (status.gid === gid) return (status.mode & 0o010) !== 0;
  return (status.mode & 0o001) !== 0;
}
