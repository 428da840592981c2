import { type Migration, Migrator, sql } from 'kysely';
import type { SchemaDifference } from '../service/schema-watch.js';
import { type Database, openDatabase } from './database.js';
import { isDatabaseUnavailable } from './database-error.js';
import { MigrationError } from './migration-error.js';
import * as dataDecisions from './migrations/0001-data-decisions.js';
import * as rememberedAnswers from './migrations/0002-remembered-answers.js';
import * as customerRecords from './migrations/0003-customer-records.js';
import * as planChanges from './migrations/0004-plan-changes.js';
import * as bundlesAndEnds from './migrations/0005-bundles-and-ends.js';
import * as vouchers from './migrations/0006-vouchers.js';
import * as lookUpsByKey from './migrations/0007-look-ups-by-key.js';
import * as reservations from './migrations/0008-reservations.js';
import * as balances from './migrations/0009-balances.js';
import * as recordedUsage from './migrations/0010-recorded-usage.js';
import * as endsAndWithdrawnCodes from './migrations/0012-ends-and-withdrawn-codes.js';
import * as notices from './migrations/0013-notices.js';
import * as periodsByTheirEnd from './migrations/0014-periods-by-their-end.js';
import * as billing from './migrations/0015-billing.js';
import * as webhooks from './migrations/0016-webhooks.js';
import * as consumptionsByPlace from './migrations/0017-consumptions-by-place.js';

/** Listed by hand, in order: a bundler sees them, and no folder is read at start. */
const MIGRATIONS: Readonly<Record<string, Migration>> = {
  '0001-data-decisions': dataDecisions,
  '0002-remembered-answers': rememberedAnswers,
  '0003-customer-records': customerRecords,
  '0004-plan-changes': planChanges,
  '0005-bundles-and-ends': bundlesAndEnds,
  '0006-vouchers': vouchers,
  '0007-look-ups-by-key': lookUpsByKey,
  '0008-reservations': reservations,
  '0009-balances': balances,
  '0012-ends-and-withdrawn-codes': endsAndWithdrawnCodes,
  '0010-recorded-usage': recordedUsage,
  '0013-notices': notices,
  '0014-periods-by-their-end': periodsByTheirEnd,
  '0015-billing': billing,
  '0016-webhooks': webhooks,
  '0017-consumptions-by-place': consumptionsByPlace,
};

/**
 * Brings the schema up to this release: from empty, or from any earlier release; does nothing when it is there. Processes that
 * start together wait for each other on the migrator's advisory lock. Returns the names of the migrations applied.
 */
export async function migrate(connectionString: string): Promise<readonly string[]> {
  // A pool of its own: migrations wait longer for locks and statements than any request may.
  const database = openDatabase({
    connectionString,
    applicationName: 'pennon migrate',
    maxConnections: 2,
    statementTimeoutMilliseconds: 600_000,
    lockTimeoutMilliseconds: 120_000,
    idleInTransactionTimeoutMilliseconds: 600_000,
  });
  try {
    const migrator = new Migrator({
      db: database.kysely,
      provider: { getMigrations: () => Promise.resolve(MIGRATIONS) },
      migrationTableName: 'schema_migration',
      migrationLockTableName: 'schema_migration_lock',
    });
    const { error, results } = await migrator.migrateToLatest();
    if (error !== undefined) {
      throw toMigrationError(error);
    }
    return (results ?? []).map((result) => result.migrationName);
  } finally {
    await database.close();
  }
}

/** Compares what was applied with what this release would apply; changes nothing. */
export async function readSchemaDifference({ kysely }: Database): Promise<SchemaDifference> {
  const found = await sql<{ readonly exists: boolean }>`
    select to_regclass('schema_migration') is not null as exists`.execute(kysely);
  const rows =
    found.rows[0]?.exists === true
      ? (await sql<{ readonly name: string }>`select name from schema_migration`.execute(kysely)).rows
      : [];
  const applied = new Set(rows.map(({ name }) => name));
  return {
    missing: Object.keys(MIGRATIONS).filter((name) => !applied.has(name)),
    unknown: [...applied].filter((name) => !Object.hasOwn(MIGRATIONS, name)).sort(),
  };
}

function toMigrationError(error: unknown): unknown {
  const message = error instanceof Error ? error.message : String(error);
  const missing = /previously executed migration (\S+) is missing/.exec(message)?.[1];
  if (missing !== undefined) {
    return new MigrationError(
      `The database already has the migration \`${missing}\` of a newer release. Start that release, or restore a backup taken before it.`,
      error,
    );
  }
  if (isDatabaseUnavailable(error)) {
    // Not reachable: the caller tells an unreachable database from a failed migration.
    return error;
  }
  return new MigrationError(`The database could not be brought up to date: ${message}`, error);
}
