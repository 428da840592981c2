import { canonicalJson } from '@pennon/engine/catalog/canonical-json';
import type { AuditChange } from '@pennon/server/service/ports';
import { readAuditEntries } from '@pennon/server/store/audit-reads';
import { erasePersonalKeys } from '@pennon/server/store/personal-keys';
import { createMigratedDatabase, type TestDatabase } from '@pennon/testkit/test-database';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { change, PRODUCTION, prepare, type RunningProcess, startProcess } from './publish-support.js';

describe('the audit trail', () => {
  let database: TestDatabase;
  let server: RunningProcess;
  beforeAll(async () => {
    database = await createMigratedDatabase();
    await prepare(database.url);
    server = await startProcess(database.url);
  });
  afterAll(async () => {
    await server.stop();
    await database.drop();
  });

  const entry: AuditChange = {
    action: 'customer.change',
    environmentId: PRODUCTION.id,
    productId: null,
    objectKind: 'customer',
    objectId: 'c-1',
    objectVersion: 2,
    after: { key: 'acme', plan: 'pro' },
    personal: {
      subjectKind: 'customer',
      subjectId: 'c-1',
      members: { email: 'jane@acme.example', name: 'Jane' },
    },
  };
  const record = (one: AuditChange) =>
    server.database.kysely
      .transaction()
      .execute((transaction) => server.publishing.audit.recordChange(transaction, change('because'), one));
  const bytesOf = async (id: string): Promise<string> => {
    const { kysely } = server.database;
    const row = await kysely
      .selectFrom('audit_entry')
      .select('bytes')
      .where('id', '=', id)
      .executeTakeFirstOrThrow();
    return row.bytes.toString('utf8');
  };

  it('C-7 stores canonical bytes that name who, what, the object after, and why', async () => {
    const id = await record(entry);
    const bytes = await bytesOf(id);
    expect(canonicalJson(JSON.parse(bytes))).toBe(bytes);
    expect(JSON.parse(bytes)).toMatchObject({
      id,
      action: 'customer.change',
      reason: 'because',
      actor: { kind: 'admin-key', id: 'key-1', onBehalfOf: null },
      object: { kind: 'customer', id: 'c-1', version: 2 },
      after: { key: 'acme', plan: 'pro' },
    });
  });

  it('never has personal members in clear; they are read with the key, and gone for ever once it is erased', async () => {
    const first = await record(entry);
    const second = await record(entry);
    const [one, two] = [await bytesOf(first), await bytesOf(second)];
    for (const bytes of [one, two]) {
      expect(bytes).not.toContain('jane@acme.example');
      expect(bytes).not.toContain('Jane');
    }
    expect(JSON.parse(one).personal.ciphertext).not.toBe(JSON.parse(two).personal.ciphertext);
    const readEntry = async (id: string) => {
      const { kysely } = server.database;
      const rows = await kysely.selectFrom('audit_entry').selectAll().where('id', '=', id).execute();
      return (await readAuditEntries(kysely, PRODUCTION.id, rows))[0];
    };
    const read = await readEntry(first);
    expect(read?.after).toEqual({ ...entry.after, ...entry.personal?.members });
    expect(read?.erased).toEqual([]);
    await server.database.kysely
      .transaction()
      .execute((transaction) => erasePersonalKeys(transaction, PRODUCTION.id, 'customer', ['c-1']));
    const after = await readEntry(first);
    expect(after?.after).toEqual({ ...entry.after, email: 'erased', name: 'erased' });
    expect(after?.erased).toEqual(['/email', '/name']);
    expect(after?.entry).toEqual(read?.entry);
  });

  it('refuses a personal member that also stands in clear, and nothing is written', async () => {
    const count = async () =>
      (await server.database.kysely.selectFrom('audit_entry').select('id').execute()).length;
    const before = await count();
    await expect(record({ ...entry, after: { email: 'jane@acme.example' } })).rejects.toThrow(/`email`/);
    expect(await count()).toBe(before);
  });
});
