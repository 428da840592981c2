import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { closePool } from './close-pool.js';
import { surviveLostConnections } from './lost-connections.js';
import { endSilentConnections } from './silent-connections.js';
import type { Tables } from './tables.js';

/** One pool of connections and the query builder over it. */
export interface Database {
  readonly kysely: Kysely<Tables>;
  readonly pool: pg.Pool;
  close(): Promise<void>;
}

export interface DatabaseOptions {
  readonly connectionString: string;
  /** Shown in `pg_stat_activity`. */
  readonly applicationName?: string;
  readonly maxConnections?: number;
  readonly connectTimeoutMilliseconds?: number;
  readonly statementTimeoutMilliseconds?: number;
  readonly lockTimeoutMilliseconds?: number;
  readonly idleInTransactionTimeoutMilliseconds?: number;
  /** After how long an unused connection is closed; default 10 s, 0 for never. */
  readonly idleTimeoutMilliseconds?: number;
  /** Statements that every new connection runs first. */
  readonly sessionStatements?: readonly string[];
  /** An idle connection broke; the pool replaces it. Without a listener the process would exit. */
  readonly onConnectionLost?: (error: Error) => void;
}

/**
 * Opens a pool; connects when first asked. Defaults are those of management calls: 10 s for a statement, 5 s for a lock, 10 s
 * idle in a transaction. Consumption opens a pool of its own (see `accounts.ts`).
 */
export function openDatabase(options: DatabaseOptions): Database {
  const { sessionStatements, connectionString, applicationName = 'pennon' } = options;
  const pool = new pg.Pool({
    ...(sessionStatements === undefined
      ? {}
      : {
          onConnect: async (client: pg.ClientBase) => void (await client.query(sessionStatements.join('; '))),
        }),
    connectionString,
    application_name: applicationName,
    max: options.maxConnections ?? 10,
    connectionTimeoutMillis: options.connectTimeoutMilliseconds ?? 3000,
    statement_timeout: options.statementTimeoutMilliseconds ?? 10_000,
    lock_timeout: options.lockTimeoutMilliseconds ?? 5000,
    idle_in_transaction_session_timeout: options.idleInTransactionTimeoutMilliseconds ?? 10_000,
    idleTimeoutMillis: options.idleTimeoutMilliseconds ?? 10_000,
    keepAlive: true,
    types: { getTypeParser },
  });
  surviveLostConnections(pool, options.onConnectionLost);
  endSilentConnections(pool, { connectionString, applicationName });
  const kysely = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) });
  // Not `kysely.destroy()`: a builder that was never asked anything has not met its pool, and would leave it open.
  return { kysely, pool, close: () => closePool(pool) };
}

/**
 * Of the pool that cold look-ups read with: the one statement there is the same for every customer, so that planning it anew
 * (which costs more than running it) gains nothing, and compiling it even less.
 */
export const LOOKUP_SESSION = [
  'set plan_cache_mode = force_generic_plan',
  'set enable_seqscan = off',
  'set jit = off',
] as const;

const INT8_OID: number = pg.types.builtins.INT8;

/** INVARIANT: quantities are integers that JSON carries exactly, so a bigint is a number or the read fails (law 9). */
function safeInteger(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) {
    throw new RangeError(`The stored integer \`${text}\` is beyond 2^53-1 and cannot be read exactly.`);
  }
  return value;
}

function getTypeParser(oid: number, format?: 'text' | 'binary'): (value: string) => unknown {
  if (oid === INT8_OID && format !== 'binary') {
    return safeInteger;
  }
  return pg.types.getTypeParser(oid, format === 'binary' ? 'text' : format);
}
