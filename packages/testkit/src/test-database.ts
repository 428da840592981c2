import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { inject } from 'vitest';

export interface TestDatabase {
  /** `postgres://…` of a database that nobody else uses. */
  readonly url: string;
  /** Removes it, ending connections that are still open. */
  drop(): Promise<void>;
}

/** Makes an own, empty database on the one PostgreSQL of the test run (see `global-setup.ts`). Takes about 30 ms. */
export function createTestDatabase(): Promise<TestDatabase> {
  return create('');
}

/** One that has the schema already, as a process leaves it that starts on an empty database: a copy instead of every migration. */
export function createMigratedDatabase(): Promise<TestDatabase> {
  return create(` template ${inject('migratedDatabase')}`);
}

async function create(template: string): Promise<TestDatabase> {
  const adminUrl = inject('adminDatabaseUrl');
  const name = `test_${randomBytes(8).toString('hex')}`;
  await runAsAdmin(adminUrl, `create database ${name}${template}`);
  const url = new URL(adminUrl);
  url.pathname = `/${name}`;
  return {
    url: url.href,
    drop: () => runAsAdmin(adminUrl, `drop database if exists ${name} with (force)`),
  };
}

async function runAsAdmin(url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}
