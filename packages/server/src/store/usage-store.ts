import pg from 'pg';
import { isLostRace, SESSION } from './accounts.js';
import { closePool } from './close-pool.js';
import { createKnownAccounts } from './known-accounts.js';
import { surviveLostConnections } from './lost-connections.js';
import { endSilentConnections } from './silent-connections.js';
import { createEventCopier } from './usage-event-copy.js';
import {
  lockMeters,
  type UsageConnection,
  type UsageLockRequest,
  type UsageTransaction,
} from './usage-transaction.js';

/* The connections on which usage is recorded: apart from those of consume, so that neither waits for the other's turn. */

export interface UsageStore {
  begin(request: UsageLockRequest): Promise<UsageTransaction>;
  close(): Promise<void>;
}

export interface UsageStoreOptions {
  readonly connectionString: string;
  readonly maxConnections?: number;
  readonly onConnectionLost?: (error: Error) => void;
}

/**
 * What `isLostRace` says, an event that another process recorded meanwhile under another account, and a lock that somebody held for
 * too long: nothing was written, and the same may be run again.
 */
export function isLostRecord(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : null;
  return code === '23505' || code === '55P03' || isLostRace(error);
}

/** What the store lists these connections as. */
const APPLICATION_NAME = 'pennon record';

export function openUsageStore(options: UsageStoreOptions): UsageStore {
  const pool = new pg.Pool({
    connectionString: options.connectionString,
    application_name: APPLICATION_NAME,
    max: options.maxConnections ?? 4,
    connectionTimeoutMillis: 3000,
    idleTimeoutMillis: 0,
    keepAlive: true,
    pipeline: true,
    onConnect: async (client: pg.ClientBase) => {
      await client.query(SESSION);
    },
  } as pg.PoolConfig);
  surviveLostConnections(pool, options.onConnectionLost);
  const { connectionString } = options;
  endSilentConnections(pool, { connectionString, applicationName: APPLICATION_NAME });
  const known = createKnownAccounts();
  const connections = new WeakMap<pg.PoolClient, UsageConnection>();

  function connectionOf(client: pg.PoolClient): UsageConnection {
    let connection = connections.get(client);
    if (connection === undefined) {
      connection = { client, copier: createEventCopier() };
      connections.set(client, connection);
    }
    return connection;
  }

  async function begin(request: UsageLockRequest): Promise<UsageTransaction> {
    const client = await pool.connect();
    try {
      return await lockMeters(connectionOf(client), request, known);
    } catch (error) {
      client.release(true);
      throw error;
    }
  }

  return { begin, close: () => closePool(pool) };
}
