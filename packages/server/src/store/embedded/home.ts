import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { makeFolders } from '../make-folders.js';
import { writeFileDurably } from '../write-file-durably.js';
import { type Binaries, completeLinks, copyBinaries } from './binaries.js';
import { EmbeddedDatabaseError, fromFileError, systemErrorCode } from './embedded-database-error.js';
import { accountForDatabase, firstClosedFolder, type RunAs } from './run-as.js';

/** Where everything of one embedded database lies, and who runs it. */
export interface Home {
  /** The folder that the caller named: password, log, claim. */
  readonly directory: string;
  /** PostgreSQL's own data directory; it may lie elsewhere. Its real path, for comparing with a process's. */
  readonly dataDirectory: string;
  readonly binaries: Binaries;
  readonly runAs: RunAs | null;
}

/** Where data and binaries live that the account of the database could not reach otherwise. */
const sharedRoot = '/var/lib/pennon';

/**
 * Decides where data and binaries live. Data stay where they once were made. As root the database runs under `nobody`; what that
 * account cannot reach (the directory, or the installation) lives under `/var/lib/pennon/<random id kept in the directory>`.
 */
export async function prepareHome(requestedDirectory: string, installed: Binaries): Promise<Home> {
  const directory = prepareDirectory(requestedDirectory);
  const inside = join(directory, 'data');
  const elsewhere = homeElsewhere(directory);
  const existing =
    [inside, ...(elsewhere === null ? [] : [join(elsewhere, 'data')])].find(isDataDirectory) ?? null;
  if (existing === null) refuseIfDataWereMade(directory, elsewhere);
  const runAs = accountForDatabase(existing);
  if (runAs === null) {
    refuseForeignData(existing);
    const binaries = await runnableBinaries(installed, directory);
    return { directory, dataDirectory: existing ?? inside, binaries, runAs };
  }

  const open = firstClosedFolder(directory, runAs) === null;
  if (existing === inside && !open) throw closedFolder(directory, runAs);
  const home = open && existing !== null && existing !== inside ? elsewhere : null;
  const place = home ?? (open ? directory : await makeHomeElsewhere(directory, elsewhere));
  const closed = firstClosedFolder(place, runAs);
  if (closed !== null) throw closedFolder(place, runAs);
  const binaries =
    firstClosedFolder(installed.root, runAs) === null
      ? await runnableBinaries(installed, place)
      : await copyBinaries(installed, place);
  return { directory, dataDirectory: existing ?? join(place, 'data'), binaries, runAs };
}

/** Written once the first data are whole; from then on data that are not there are lost, not new. */
function markerFile(directory: string): string {
  return join(directory, 'data-made');
}

export async function noteDataWereMade(home: Home): Promise<void> {
  if (existsSync(markerFile(home.directory))) return;
  await writeFileDurably(markerFile(home.directory), [`${home.dataDirectory}\n`]);
}

/** INVARIANT: an empty database never silently takes the place of one that has gone (a volume not mounted, a container rebuilt). */
function refuseIfDataWereMade(directory: string, elsewhere: string | null): void {
  if (!existsSync(markerFile(directory))) return;
  const place = join(elsewhere ?? directory, 'data');
  throw new EmbeddedDatabaseError(
    'DATA_MISSING',
    `The database of \`${directory}\` lay in \`${place}\`, which is gone. Bring that folder back (is a volume not mounted?), ` +
      `or remove \`${directory}\` to begin with an empty database.`,
  );
}

function refuseForeignData(dataDirectory: string | null): void {
  if (dataDirectory === null || process.getuid === undefined) return;
  const { uid } = statSync(dataDirectory);
  if (uid === process.getuid()) return;
  throw new EmbeddedDatabaseError(
    'WRONG_OWNER',
    `The database in \`${dataDirectory}\` belongs to the account with uid ${uid}, because Pennon was started as root or by ` +
      'another user before. Start it the same way again, or set `PENNON_DATA_DIR` to another folder.',
  );
}

function prepareDirectory(requested: string): string {
  const directory = resolve(requested);
  try {
    makeFolders(directory);
    const probe = join(directory, `.writable-${process.pid}-${randomBytes(4).toString('hex')}`);
    writeFileSync(probe, 'a full disk shows only when bytes are written\n');
    rmSync(probe);
    return realpathSync(directory);
  } catch (error) {
    throw fromFileError(error, directory);
  }
}

export function isDataDirectory(path: string): boolean {
  try {
    return statSync(join(path, 'PG_VERSION'), { throwIfNoEntry: false }) !== undefined;
  } catch {
    // Closed to us: then it is somebody's, and surely not a place for new data.
    return true;
  }
}

async function runnableBinaries(installed: Binaries, directory: string): Promise<Binaries> {
  return (await completeLinks(installed.root)) ? installed : copyBinaries(installed, directory);
}

function homeFile(directory: string): string {
  return join(directory, 'home-id');
}

function homeElsewhere(directory: string): string | null {
  try {
    const id = readFileSync(homeFile(directory), 'utf8').trim();
    return /^[0-9a-f]{32}$/.test(id) ? join(sharedRoot, id) : null;
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return null;
    throw fromFileError(error, directory);
  }
}

/** INVARIANT: the id is on disk before the folder that it names, so that no data can be made which nobody finds again. */
async function makeHomeElsewhere(directory: string, known: string | null): Promise<string> {
  const id = randomBytes(16).toString('hex');
  const home = known ?? join(sharedRoot, id);
  try {
    if (known === null) await writeFileDurably(homeFile(directory), [`${id}\n`]);
    mkdirSync(home, { recursive: true, mode: 0o755 });
    // The mask of the process may have taken from both what the account of the database needs.
    chmodSync(sharedRoot, 0o755);
    chmodSync(home, 0o755);
    writeFileSync(join(home, 'belongs-to'), `${directory}\n`);
    return home;
  } catch (error) {
    throw fromFileError(error, home);
  }
}

/** The folder in which initdb makes the data directory must be writable for the account that runs it. */
export function makeWritableFolder(path: string, runAs: RunAs | null): void {
  mkdirSync(path, { mode: 0o700 });
  if (runAs !== null) chownSync(path, runAs.uid, runAs.gid);
}

function closedFolder(path: string, runAs: RunAs): EmbeddedDatabaseError {
  const folder = firstClosedFolder(path, runAs) ?? path;
  return new EmbeddedDatabaseError(
    'FOLDER_CLOSED',
    `The embedded database runs under the account with uid ${runAs.uid}, which may not enter \`${folder}\`, where its data lie. ` +
      `Allow others to pass through it (\`chmod o+x ${folder}\`), or set \`PENNON_DATA_DIR\` to a folder that is open.`,
  );
}
