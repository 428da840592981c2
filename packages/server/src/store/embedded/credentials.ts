import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeFileDurably } from '../write-file-durably.js';
import { EmbeddedDatabaseError, fromFileError, systemErrorCode } from './embedded-database-error.js';
import { type Home, isDataDirectory } from './home.js';

/** The only role of the cluster, and the database that Pennon uses in it. */
export const roleName = 'pennon';
export const databaseName = 'pennon';
/** The database that every cluster has; the supervisor's lock lives here, because advisory locks belong to one database. */
export const maintenanceDatabaseName = 'postgres';

/**
 * Reads the password of the cluster, or makes one. INVARIANT: it is on disk before the cluster that it opens.
 */
export async function loadOrCreatePassword(home: Home): Promise<string> {
  const path = join(home.directory, 'password');
  const known = readPassword(path);
  if (known !== null) return known;
  if (isDataDirectory(home.dataDirectory)) {
    throw new EmbeddedDatabaseError(
      'PASSWORD_LOST',
      `The file \`${path}\` is gone, and the database in \`${home.dataDirectory}\` opens only with the password in it. ` +
        'Bring the file back from a copy of the directory.',
    );
  }
  const password = randomBytes(32).toString('base64url');
  try {
    await writeFileDurably(path, [`${password}\n`]);
  } catch (error) {
    throw fromFileError(error, home.directory);
  }
  return password;
}

function readPassword(path: string): string | null {
  try {
    const text = readFileSync(path, 'utf8').trim();
    return text === '' ? null : text;
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return null;
    throw fromFileError(error, path);
  }
}

/** @param socketDirectory where the database's socket lies: it then goes before TCP, for whoever reads the address as libpq does. */
export function connectionUrl(
  port: number,
  password: string,
  database: string,
  socketDirectory: string | null = null,
): string {
  const url = `postgres://${roleName}:${encodeURIComponent(password)}@127.0.0.1:${port}/${database}`;
  return socketDirectory === null ? url : `${url}?host=${encodeURIComponent(socketDirectory)}`;
}
