import { isJsonObject } from '@pennon/engine/model/json';
import { moveEnvironment } from '@pennon/server/service/catalog/move-environment';
import { newId } from '@pennon/server/service/new-id';
import type { AuditTrail, ChangeFeed } from '@pennon/server/service/ports';
import { ServiceError } from '@pennon/server/service/service-error';
import { createMigratedDatabase, type TestDatabase } from '@pennon/testkit/test-database';
import { publishingThread } from '@pennon/testkit/test-server';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  change,
  flagText,
  GUARDED,
  PRODUCT,
  PRODUCTION,
  type ProcessOptions,
  prepare,
  type RunningProcess,
  startProcess,
} from './publish-support.js';

const CATALOG = `
product: { key: saleshub, name: Sales Hub, defaultPlan: free }
features:
  - { key: analytics, type: boolean, category: subscription, owner: a@example.com, purpose: Reports, removal: permanent }
  - { key: seats, type: limit, category: limit, owner: a@example.com, purpose: Seats, removal: permanent }
plans:
  - { key: free, version: 0, rank: 0, entitlements: [{ feature: seats, value: 1 }] }
  - { key: pro, version: 0, rank: 1, entitlements: [{ feature: analytics, value: true }, { feature: seats, value: 10 }] }
addons:
  - { key: more-seats, plans: [pro], entitlements: [{ feature: seats, add: 5 }] }
groups:
  - { key: beta, mode: overlay, entitlements: [{ feature: analytics, value: true }] }
segments:
  - { key: demoing }
flags:
  - { key: new-menu, type: boolean, category: release, owner: w@example.com, purpose: Menu, removal: With the old one, default: true }
  - { key: other, type: boolean, category: release, owner: w@example.com, purpose: Other, removal: Soon, requires: [analytics], default: false }
tests:
  - { name: free has one seat, given: { plan: free }, expect: { seats: 1, analytics: false } }
`;

/** The default plan and what it rests on. */
const KEPT = `
features:
  - { key: seats, type: limit, category: limit, owner: a@example.com, purpose: Seats, removal: permanent }
plans:
  - { key: free, version: 0, rank: 0, entitlements: [{ feature: seats, value: 1 }] }
`;

describe('publishing', () => {
  let database: TestDatabase;
  let server: RunningProcess;
  beforeEach(async () => {
    database = await createMigratedDatabase();
    await prepare(database.url);
    server = await startProcess(database.url, { sharedThread: publishingThread });
  });
  afterEach(async () => {
    await server.stop();
    await database.drop();
  });

  async function refusalOf(work: Promise<unknown>): Promise<ServiceError> {
    const error = await work.then(
      () => null,
      (reason: unknown) => reason,
    );
    if (!(error instanceof ServiceError)) throw new Error(`Not refused but ${String(error)}.`);
    return error;
  }

  const counts = async () => {
    const count = async (table: 'revision' | 'audit_entry' | 'catalog_item' | 'change') => {
      const rows = await server.database.kysely.selectFrom(table).selectAll().execute();
      return rows.length;
    };
    return [
      await count('revision'),
      await count('audit_entry'),
      await count('catalog_item'),
      await count('change'),
    ];
  };

  it('is served from memory by the process that wrote it, before it answers; a second time changes nothing', async () => {
    const result = await server.apply(CATALOG);
    expect(result.revision).toBe(1);
    expect(server.current()?.revision).toBe(1);
    expect([...(server.current()?.flags.keys() ?? [])]).toEqual(['new-menu', 'other']);
    expect(server.current(GUARDED)).toBeNull();
    const before = await counts();
    const again = await server.apply(CATALOG);
    expect(again).toMatchObject({ revision: 1, changed: [], diff: [], lacking: [] });
    expect(await counts()).toEqual(before);
  });

  it('refuses a bad document whole, with every fault located', async () => {
    const bad = `features:
  - { key: analytics, type: boolaen, category: subscription }
flags:
  - { key: a, type: boolean, requires: [nothing] }
  - { key: b, type: boolean, rules: [{ if: 'user.email ==', serve: true }] }
  - { key: "not a key", type: boolean }
  - { key: c, type: boolean, ownr: me }
`;
    const before = await counts();
    const fault = await refusalOf(server.apply(bad));
    expect(fault).toMatchObject({ kind: 'unprocessable', code: 'INVALID_CATALOG' });
    const lines = new Set(fault.items.map(({ line }) => line));
    for (const line of [2, 4, 5, 6, 7]) expect(lines).toContain(line);
    expect(fault.items.every(({ file, line, column }) => file === 'catalog.yaml' && line && column)).toBe(
      true,
    );
    expect(fault.items.map(({ suggestion }) => suggestion)).toContain('owner');
    expect(await counts()).toEqual(before);
    expect(server.current()).toBeNull();
  });

  it('refuses a document of another product at the place where it says so', async () => {
    const fault = await refusalOf(server.apply('product: { key: elsewhere }\n'));
    expect(fault.items[0]).toMatchObject({ code: 'OTHER_PRODUCT', line: 1 });
  });

  it('deletes nothing without prune, and lists what the document lacks', async () => {
    await server.apply(CATALOG);
    const part = 'flags:\n  - { key: third, type: boolean, category: release, default: true }\n';
    const kept = await server.apply(part);
    expect(kept.changed.map(({ key, change: what }) => `${key} ${what}`)).toEqual(['third added']);
    expect(kept.lacking.map(({ key }) => key)).toEqual(
      expect.arrayContaining(['new-menu', 'pro@0', 'analytics']),
    );
    expect(server.current()?.flags.size).toBe(3);
    const pruned = await server.apply(CATALOG, { prune: true });
    expect(pruned.changed.map(({ key, change: what }) => `${key} ${what}`)).toEqual(['third removed']);
  });

  it('a dry run tells everything and does nothing', async () => {
    await server.apply(CATALOG);
    const before = await counts();
    const result = await server.apply(CATALOG.replace('default: true }', 'default: false }'), {
      dryRun: true,
    });
    expect(result).toMatchObject({
      dryRun: true,
      revision: 1,
      changed: [{ key: 'new-menu', change: 'changed' }],
    });
    expect(result.diff.join()).toContain('`new-menu`');
    expect(result.environments.map(({ changed }) => changed)).toEqual([true, true]);
    expect(await counts()).toEqual(before);
  });

  it('what decides nothing differently moves no environment and wakes nobody', async () => {
    await server.apply(CATALOG);
    const before = server.current();
    const result = await server.apply(CATALOG.replace('purpose: Menu', 'purpose: The menu'));
    expect(result.revision).toBe(2);
    expect(result.environments.every(({ changed, revision }) => !changed && revision === 1)).toBe(true);
    expect(server.current()).toBe(before);
  });

  it('P-8 a published plan version is frozen, and the next number is proposed', async () => {
    await server.apply(CATALOG);
    const fault = await refusalOf(server.apply(CATALOG.replace('value: 10 }', 'value: 12 }')));
    expect(fault).toMatchObject({ kind: 'conflict', code: 'FROZEN' });
    expect(fault.message).toContain('version 1');
    const renamed = await server.apply(
      CATALOG.replace('key: pro, version: 0', 'key: pro, name: Professional, version: 0'),
    );
    expect(renamed.revision).toBe(2);
  });

  it('P-8 a plan version that was removed does not come back as another', async () => {
    await server.apply(CATALOG);
    const pro =
      '  - { key: pro, version: 0, rank: 1, entitlements: [{ feature: analytics, value: true }, { feature: seats, value: 10 }] }\n';
    const addon =
      'addons:\n  - { key: more-seats, plans: [pro], entitlements: [{ feature: seats, add: 5 }] }\n';
    await server.apply(CATALOG.replace(pro, '').replace(addon, ''), { prune: true });
    const fault = await refusalOf(server.apply(CATALOG.replace('value: 10 }', 'value: 99 }')));
    expect(fault.code).toBe('FROZEN');
    await server.apply(CATALOG);
  });

  it('R-43 a retired key never returns as another kind or type', async () => {
    await server.apply(CATALOG);
    const without = CATALOG.split('\n')
      .filter((line) => !line.includes('new-menu'))
      .join('\n');
    await server.apply(without, { prune: true });
    const asFeature = without.replace('features:', 'features:\n  - { key: new-menu, type: boolean }');
    expect((await refusalOf(server.apply(asFeature))).items[0]?.code).toBe('KEY_RETIRED');
    const asText = `flags:\n  - { key: new-menu, type: string, variants: { a: x }, 'off': a, default: a }\n`;
    expect((await refusalOf(server.apply(asText))).items[0]?.code).toBe('KEY_RETIRED');
    await server.apply(CATALOG);
  });

  it('X-7 assertions of the catalog block a publish that breaks them, and are named', async () => {
    await server.apply(CATALOG);
    const generous = `plans:
  - { key: free, version: 1, rank: 0, entitlements: [{ feature: seats, value: 5 }] }
`;
    const fault = await refusalOf(server.apply(generous));
    expect(fault).toMatchObject({ kind: 'unprocessable', code: 'ASSERTION_FAILED' });
    expect(fault.items[0]?.message).toContain('`free has one seat`');
    expect(server.current()?.revision).toBe(1);
  });

  it('C-5 lint warns by default and blocks where the product says so', async () => {
    const bare = 'flags:\n  - { key: bare, type: boolean, category: release, default: true }\n';
    const warned = await server.apply(bare, { dryRun: true });
    expect(warned.warnings.map(({ code, line }) => `${code} ${line}`)).toContain('OWNER 2');
    const strict = `product: { key: saleshub, lint: { owner: error } }\n${bare}`;
    const fault = await refusalOf(server.apply(strict));
    expect(fault.items[0]).toMatchObject({ code: 'OWNER', line: 3 });
  });

  it('what other items still name cannot be removed, and they are named', async () => {
    await server.apply(CATALOG);
    const remove = (kind: 'feature' | 'plan', key: string) =>
      server.edit({
        type: 'item',
        kind,
        key,
        method: 'delete',
        file: { name: kind, text: '' },
        precondition: { kind: 'exists' },
      });
    const fault = await refusalOf(remove('feature', 'analytics'));
    expect(fault).toMatchObject({ kind: 'conflict', code: 'STILL_IN_USE' });
    const text = fault.items.map(({ message }) => message).join('\n');
    for (const user of ['`pro@0`', '`beta`', '`other`', '`free has one seat`']) expect(text).toContain(user);
    expect((await refusalOf(remove('plan', 'pro@0'))).items[0]?.message).toContain('`more-seats@0`');
  });

  it('what licenses, memberships and grants still name cannot be removed, and they are named and counted', async () => {
    await server.apply(CATALOG);
    const now = new Date();
    const [environment_id, product_id, customer_id] = [PRODUCTION.id, PRODUCT.id, newId()];
    const shared = { environment_id, product_id, starts_at: now, ends_at: null, version: 1, created_at: now };
    const { kysely } = server.database;
    await kysely
      .insertInto('customer')
      .values({ id: customer_id, environment_id, key: 'acme', attributes: '{}', version: 1, created_at: now })
      .execute();
    const license = { ...shared, customer_id, quantity: 1, kind: 'paid', status: 'active', anchor: 'x' };
    const addons = JSON.stringify([{ addon: 'more-seats', version: 0, quantity: 1 }]);
    await kysely
      .insertInto('license')
      .values({ ...license, id: newId(), plan_key: 'pro', plan_version: 0, addons })
      .execute();
    const member = { ...shared, member_kind: 'customer', container_kind: 'segment', reason: 'x' } as const;
    for (const key of ['c1', 'c2', 'c3', 'c4', 'c5']) {
      await kysely
        .insertInto('membership')
        .values({ ...member, id: newId(), member_key: key, container_key: 'demoing' })
        .execute();
    }
    const grant = {
      ...shared,
      kind: 'demo',
      reason: 'x',
      target_kind: 'customer',
      target_key: 'acme',
    } as const;
    const effect = JSON.stringify({ type: 'flag', flag: 'new-menu', variant: 'on' });
    await kysely
      .insertInto('access_grant')
      .values({ ...grant, id: newId(), effect })
      .execute();

    const fault = await refusalOf(server.apply(KEPT, { prune: true, dryRun: true }));
    expect(fault).toMatchObject({ kind: 'conflict', code: 'STILL_IN_USE' });
    const messages = fault.items.map(({ message }) => message);
    expect(messages.some((text) => text.includes('`pro@0`') && text.includes('customer `acme`'))).toBe(true);
    expect(messages.some((text) => text.includes('`more-seats@0`'))).toBe(true);
    expect(messages.some((text) => text.includes('`new-menu`') && text.includes('grant'))).toBe(true);
    expect(messages.some((text) => text.includes('`demoing`') && text.includes('and 2 more'))).toBe(true);
    await kysely.updateTable('license').set({ ends_at: now }).execute();
    await kysely.deleteFrom('membership').execute();
    await kysely.updateTable('access_grant').set({ revoked_at: now }).execute();
    expect((await server.apply(KEPT, { prune: true })).revision).toBe(2);
  });

  it('C-7 law 8: the audit entry tells who, why and the items after, and stands or falls with its revision', async () => {
    await server.apply(CATALOG);
    const row = await server.database.kysely.selectFrom('revision').selectAll().executeTakeFirstOrThrow();
    const { bytes } = await server.database.kysely
      .selectFrom('audit_entry')
      .select('bytes')
      .where('id', '=', row.audit_entry_id)
      .executeTakeFirstOrThrow();
    const entry: unknown = JSON.parse(bytes.toString('utf8'));
    expect(entry).toMatchObject({
      action: 'catalog.publish',
      actor: { kind: 'admin-key', id: 'key-1', onBehalfOf: null },
      reason: 'a test',
      object: { kind: 'catalog', id: PRODUCT.id, version: 1 },
    });
    const after = isJsonObject(entry) ? entry.after : null;
    const items = isJsonObject(after) && Array.isArray(after.items) ? after.items : [];
    expect(items.find((item) => isJsonObject(item) && item.key === 'other')).toMatchObject({
      kind: 'flag',
      document: { key: 'other', requires: ['analytics'] },
    });
  });

  const breakAudit = (when: 'before' | 'after'): ProcessOptions => ({
    audit: (audit): AuditTrail => ({
      ...audit,
      async recordChange(transaction, context, entry) {
        const id = when === 'after' ? await audit.recordChange(transaction, context, entry) : '';
        throw new Error(`planted ${when} the audit entry ${id}`);
      },
    }),
  });
  const breakNotice: ProcessOptions = {
    feed: (feed): ChangeFeed => ({
      ...feed,
      write: () => Promise.reject(new Error('planted in the change row')),
    }),
  };
  it.each([
    ['before the audit entry', breakAudit('before')],
    ['after the audit entry', breakAudit('after')],
    ['at the change row', breakNotice],
  ])('law 8: a fault %s leaves nothing of the publish behind', async (_place, options) => {
    await server.apply(CATALOG);
    const before = await counts();
    const broken = await startProcess(database.url, options);
    try {
      const other = CATALOG.replace('default: true }', 'default: false }');
      await expect(broken.apply(other)).rejects.toThrow(/planted/);
      expect(await counts()).toEqual(before);
      expect(broken.current()?.revision).toBe(1);
      expect((await server.apply(other)).revision).toBe(2);
    } finally {
      await broken.stop();
    }
  });

  it('a protected environment follows only when it is named, and forward only', async () => {
    await server.apply(CATALOG);
    expect(server.current(GUARDED)).toBeNull();
    const move = (revision: number) =>
      moveEnvironment(
        { ...server.publishing, directory: server.directory },
        { kind: 'admin', keyId: 'k', environmentId: null, productId: null },
        change(),
        { product: PRODUCT.key, environment: GUARDED.key, revision, precondition: { kind: 'exists' } },
      );
    await expect(move(1)).rejects.toMatchObject({ kind: 'precondition-failed' });
    const named = await server.apply(CATALOG.replace('default: true }', 'default: false }'), {
      environments: [GUARDED.key],
    });
    expect(named.environments).toEqual([{ key: GUARDED.key, revision: 2, changed: true }]);
    expect(server.current(GUARDED)?.revision).toBe(2);
    expect(server.current(PRODUCTION)?.revision).toBe(1);
    await server.apply(JSON.stringify({ flags: [JSON.parse(flagText('extra', true))] }));
    const moved = await move(3);
    expect(moved.standing.revision).toBe(3);
    expect(server.current(GUARDED)?.flags.has('extra')).toBe(true);
    expect(server.current(GUARDED)?.hash).toBe(server.current(PRODUCTION)?.hash);
    await expect(move(2)).rejects.toMatchObject({ code: 'OLDER_REVISION' });
  });

  it('two environments of one catalog stay apart', async () => {
    const text = flagText('per-place', false, { environments: { production: { rules: [{ serve: true }] } } });
    await server.apply(JSON.stringify({ flags: [JSON.parse(text)] }));
    const result = await server.apply(
      JSON.stringify({
        flags: [
          JSON.parse(flagText('per-place', false, { environments: { production: { enabled: false } } })),
        ],
      }),
    );
    expect(result.environments).toEqual([
      { key: 'development', revision: 1, changed: false },
      { key: 'production', revision: 2, changed: true },
    ]);
  });

  it('puts items where the document has them, and tells when only their order changed', async () => {
    const groups = (...keys: string[]) =>
      JSON.stringify({ groups: keys.map((key) => ({ key, mode: 'overlay', entitlements: [] })) });
    await server.apply(groups('a', 'b', 'c'));
    const result = await server.apply(groups('c', 'a', 'b'));
    expect(result.changed).toMatchObject([{ key: 'c', change: 'moved' }]);
    expect([...(server.current()?.groups.keys() ?? [])]).toEqual(['c', 'a', 'b']);
    await server.apply(groups('c', 'x', 'a'));
    expect([...(server.current()?.groups.keys() ?? [])]).toEqual(['c', 'x', 'a', 'b']);
  });
});
