import pg from 'pg';
import { connectionUrl, maintenanceDatabaseName } from './credentials.js';

/**
 * The lock that the living supervisor holds for as long as its connection lasts. Free means that nobody watches the database,
 * whatever files and process numbers say. The number is arbitrary and must never change.
 */
const lockKey = 7_366_301_177;

const applicationNamePrefix = 'pennon supervisor ';

export type LockOutcome =
  | { readonly kind: 'taken'; readonly connection: LockConnection }
  /** `pid` is the supervisor's own number; null when the holder left in between or is no Pennon. */
  | { readonly kind: 'held'; readonly pid: number | null }
  /** The database does not take connections: it is starting, stopping or gone. */
  | { readonly kind: 'unreachable'; readonly error: unknown };

export interface LockConnection {
  /** Resolves when the connection, and with it the lock, is gone. */
  readonly lost: Promise<void>;
  createDatabase(name: string): Promise<void>;
  release(): Promise<void>;
}

export async function tryLock(port: number, password: string): Promise<LockOutcome> {
  const client = new pg.Client({
    connectionString: connectionUrl(port, password, maintenanceDatabaseName),
    application_name: `${applicationNamePrefix}${process.pid}`,
    connectionTimeoutMillis: 5_000,
    keepAlive: true,
  });
  const lost = new Promise<void>((resolve) => {
    // Without a listener a database that dies would take this process with it.
    client.on('error', () => resolve());
    client.on('end', () => resolve());
  });
  try {
    await client.connect();
    const { rows } = await client.query<{ taken: boolean }>('select pg_try_advisory_lock($1) as taken', [
      lockKey,
    ]);
    if (rows[0]?.taken === true) return { kind: 'taken', connection: toLockConnection(client, lost) };
    const pid = await holderOf(client);
    await client.end();
    return { kind: 'held', pid };
  } catch (error) {
    client.end().catch(() => undefined);
    return { kind: 'unreachable', error };
  }
}

async function holderOf(client: pg.Client): Promise<number | null> {
  // A bigint key is shown as two halves.
  const { rows } = await client.query<{ application_name: string }>(
    `select activity.application_name
       from pg_locks as locks join pg_stat_activity as activity on activity.pid = locks.pid
      where locks.locktype = 'advisory' and locks.granted and locks.objsubid = 1
        and (locks.classid::bigint << 32) | locks.objid::bigint = $1`,
    [lockKey],
  );
  const name = rows[0]?.application_name ?? '';
  return name.startsWith(applicationNamePrefix) ? Number(name.slice(applicationNamePrefix.length)) : null;
}

function toLockConnection(client: pg.Client, lost: Promise<void>): LockConnection {
  return {
    lost,
    async createDatabase(name) {
      const { rows } = await client.query('select 1 from pg_database where datname = $1', [name]);
      if (rows.length === 0) await client.query(`create database ${pg.escapeIdentifier(name)}`);
    },
    async release() {
      await client.end().catch(() => undefined);
    },
  };
}
