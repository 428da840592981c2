import { spawn } from 'node:child_process';
import {
  chownSync,
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { noBinary, program } from './binaries.js';
import { roleName } from './credentials.js';
import {
  diskFull,
  EmbeddedDatabaseError,
  fromFileError,
  systemErrorCode,
} from './embedded-database-error.js';
import { type Home, isDataDirectory, makeWritableFolder, noteDataWereMade } from './home.js';
import { serverEnvironment } from './settings.js';

/** A new cluster takes about 40 MB, and its first log segments 32 MB more. */
const bytesForNewCluster = 100 * 1024 * 1024;

/** Makes the cluster of a fresh directory, and refuses one of another major version. */
export async function ensureCluster(home: Home, password: string, fast: boolean): Promise<void> {
  if (isDataDirectory(home.dataDirectory)) {
    refuseOtherMajor(home);
    await noteDataWereMade(home);
    return;
  }
  const place = dirname(home.dataDirectory);
  if (freeBytes(place) < bytesForNewCluster) throw diskFull(place);
  // INVARIANT: a data directory appears whole or not at all. One that was cut short would pass for a damaged one at the next start.
  const making = join(place, `data.${process.pid}.making`);
  try {
    rmSync(making, { recursive: true, force: true });
    makeWritableFolder(making, home.runAs);
    await runInitdb(home, making, password, fast);
    renameSync(join(making, 'data'), home.dataDirectory);
    syncFolder(place);
    await noteDataWereMade(home);
  } catch (error) {
    throw fromFileError(error, place);
  } finally {
    rmSync(making, { recursive: true, force: true });
  }
}

function refuseOtherMajor({ dataDirectory, binaries, directory }: Home): void {
  const major = readFileSync(join(dataDirectory, 'PG_VERSION'), 'utf8').trim();
  if (Number(major) === binaries.major) return;
  throw new EmbeddedDatabaseError(
    'OTHER_MAJOR',
    `The database in \`${dataDirectory}\` was made by PostgreSQL ${major}, this Pennon brings PostgreSQL ${binaries.major}. ` +
      `Go on with the Pennon that made it; or start that one, copy its database with \`pg_dump\` of PostgreSQL ${major} or newer into a PostgreSQL of your own, and start this one with \`DATABASE_URL\`. ` +
      `Nothing in \`${directory}\` was changed.`,
  );
}

/** A rename is on disk once its folder is; Windows opens no folders, and journals the rename itself. */
function syncFolder(path: string): void {
  if (process.platform === 'win32') return;
  const folder = openSync(path, 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

/** Free for ordinary accounts, in bytes. */
export function freeBytes(path: string): number {
  const { bavail, bsize } = statfsSync(path);
  return bavail * bsize;
}

async function runInitdb(home: Home, making: string, password: string, fast: boolean): Promise<void> {
  // The account of the database must read it, and may not read ours.
  const passwordFile = join(making, 'password');
  writeFileSync(passwordFile, password, { mode: 0o600 });
  if (home.runAs !== null) chownSync(passwordFile, home.runAs.uid, home.runAs.gid);
  const { code, output } = await run(home, making, [
    `--pgdata=${join(making, 'data')}`,
    `--username=${roleName}`,
    `--pwfile=${passwordFile}`,
    '--auth=scram-sha-256',
    '--locale=C',
    '--encoding=UTF8',
    '--no-instructions',
    ...(fast ? ['--no-sync'] : []),
  ]);
  rmSync(passwordFile, { force: true });
  if (code === 0) return;
  if (/No space left|Disk quota/.test(output)) throw diskFull(dirname(making));
  if (/error while loading shared libraries|GLIBC_|not found \(required by/.test(output)) {
    throw noBinary(`The embedded database cannot run on this system (${output.trim()}).`);
  }
  const unknownUid = /could not look up effective user ID (\d+)/.exec(output)?.[1];
  if (unknownUid !== undefined) {
    throw new EmbeddedDatabaseError(
      'ACCOUNT_UNKNOWN',
      `PostgreSQL runs only under an account with a name, and uid ${unknownUid} has none here. Add a line for it to \`/etc/passwd\`, start ` +
        'under another account (root will do), or set `DATABASE_URL` to a PostgreSQL that you run.',
    );
  }
  throw new EmbeddedDatabaseError(
    'DID_NOT_START',
    `A new database could not be made in \`${dirname(making)}\`: ${output.trim().split('\n').slice(-6).join(' ')}`,
  );
}

function run(home: Home, cwd: string, argumentList: string[]): Promise<{ code: number; output: string }> {
  const path = program(home.binaries, 'initdb');
  return new Promise((resolve, reject) => {
    const child = spawn(path, argumentList, {
      cwd,
      env: serverEnvironment,
      stdio: ['ignore', 'pipe', 'pipe'],
      // Ctrl-C reaches the whole foreground group; what is half made is then removed by us, not left by it.
      detached: true,
      ...(home.runAs ?? {}),
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text;
      });
    }
    child.on('close', (code) => resolve({ code: code ?? 1, output }));
    child.on('error', (error) => reject(notExecutable(path, error)));
  });
}

/** A program that is there and yet "not found" lacks its loader: the binaries are made for glibc, not for musl. */
export function notExecutable(path: string, error: unknown): unknown {
  if (systemErrorCode(error) === 'ENOENT' && existsSync(path)) {
    return noBinary(
      'The binaries of the embedded database need glibc, which this system does not have.',
      error,
    );
  }
  if (systemErrorCode(error) === 'EACCES') {
    return noBinary(`The program \`${path}\` may not be executed here (a mount with \`noexec\`?).`, error);
  }
  return error;
}
