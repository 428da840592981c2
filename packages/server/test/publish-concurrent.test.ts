import { isJsonObject } from '@pennon/engine/model/json';
import { ServiceError } from '@pennon/server/service/service-error';
import { createMigratedDatabase, type TestDatabase } from '@pennon/testkit/test-database';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { flagText, PRODUCT, prepare, type RunningProcess, startProcess } from './publish-support.js';

function document(flags: Readonly<Record<string, boolean>>): string {
  return JSON.stringify({ flags: Object.entries(flags).map(([key, on]) => JSON.parse(flagText(key, on))) });
}

describe('two writers', () => {
  let database: TestDatabase;
  let left: RunningProcess;
  let right: RunningProcess;
  beforeEach(async () => {
    database = await createMigratedDatabase();
    await prepare(database.url);
    left = await startProcess(database.url);
    right = await startProcess(database.url);
    await left.apply(document({ a: false, b: false }));
  });
  afterEach(async () => {
    await left.stop();
    await right.stop();
    await database.drop();
  });

  const put = (process: RunningProcess, key: string, on: boolean, hash: string | null) =>
    process.edit({
      type: 'item',
      kind: 'flag',
      key,
      method: 'replace',
      file: { name: 'flag', text: flagText(key, on) },
      precondition: hash === null ? { kind: 'exists' } : { kind: 'match', tags: [hash] },
    });

  const hashOf = async (key: string): Promise<string> => {
    const row = await left.database.kysely
      .selectFrom('catalog_item')
      .select('hash')
      .where('key', '=', key)
      .where('to_revision', 'is', null)
      .executeTakeFirstOrThrow();
    return row.hash;
  };

  it('on different items both get through, whichever comes first, and each makes a revision', async () => {
    const [hashA, hashB] = [await hashOf('a'), await hashOf('b')];
    for (let round = 0; round < 5; round += 1) {
      const on = round % 2 === 0;
      const [first, second] = round % 2 === 0 ? [left, right] : [right, left];
      await Promise.all([put(first, 'a', on, null), put(second, 'b', on, null)]);
    }
    const rows = await left.database.kysely
      .selectFrom('revision')
      .select('number')
      .orderBy('number')
      .execute();
    expect(rows.map((row) => row.number)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    expect([await hashOf('a'), await hashOf('b')]).not.toEqual([hashA, hashB]);
  });

  it('on the same item exactly one wins and the other is 412 with both sides, in both orders', async () => {
    for (const [first, second] of [
      [left, right],
      [right, left],
    ] as const) {
      const hash = await hashOf('a');
      const now = first === left;
      const outcomes = await Promise.allSettled([put(first, 'a', now, hash), put(second, 'a', now, hash)]);
      const refused = outcomes.filter((outcome) => outcome.status === 'rejected');
      // The same content twice: the second either finds it done or is told that it moved.
      expect(outcomes.filter((outcome) => outcome.status === 'fulfilled').length).toBeGreaterThanOrEqual(1);
      for (const { reason } of refused) expect(reason).toMatchObject({ kind: 'precondition-failed' });

      const next = await hashOf('a');
      const rival = await Promise.allSettled([
        put(first, 'a', !now, next),
        second.edit({
          type: 'item',
          kind: 'flag',
          key: 'a',
          method: 'patch',
          file: { name: 'flag', text: '{"purpose":"another"}' },
          precondition: { kind: 'match', tags: [next] },
        }),
      ]);
      const lost = rival.filter((outcome) => outcome.status === 'rejected');
      expect(lost).toHaveLength(1);
      const fault: unknown = lost[0]?.reason;
      expect(fault).toBeInstanceOf(ServiceError);
      const conflicts = (fault as ServiceError).details.conflicts as readonly { theirs: unknown }[];
      expect(conflicts).toHaveLength(1);
      expect(isJsonObject(conflicts[0]?.theirs)).toBe(true);
    }
  });

  it('whole documents with a base merge by item; what both changed is a conflict and nothing is written', async () => {
    const base = 1;
    await put(right, 'b', true, null);
    const merged = await left.apply(document({ a: true, b: false }), { base });
    expect(merged.changed.map(({ key }) => key)).toEqual(['a']);
    expect(left.current()?.flags.get('b')?.fallback.name).toBe('on');

    await right.edit({
      type: 'item',
      kind: 'flag',
      key: 'a',
      method: 'patch',
      file: { name: 'flag', text: '{"purpose":"theirs"}' },
      precondition: { kind: 'exists' },
    });
    const clash = left.apply(document({ a: false, b: false }).replace('"purpose":"a"', '"purpose":"mine"'), {
      base,
    });
    await expect(clash).rejects.toMatchObject({
      kind: 'precondition-failed',
      details: {
        conflicts: [{ kind: 'flag', key: 'a', mine: { purpose: 'mine' }, theirs: { purpose: 'theirs' } }],
      },
    });
  });

  it('what somebody added since the base is neither lacking nor pruned', async () => {
    await right.edit({
      type: 'item',
      kind: 'flag',
      key: null,
      method: 'create',
      file: { name: 'flag', text: flagText('c', true) },
      precondition: { kind: 'absent' },
    });
    const result = await left.apply(document({ a: true }), { base: 1, prune: true });
    expect(result.changed.map(({ key, change }) => `${key} ${change}`).sort()).toEqual([
      'a changed',
      'b removed',
    ]);
    await left.snapshots.atLeast(
      PRODUCT.id,
      left.directory.environment('production')?.id ?? '',
      result.revision,
      2000,
    );
    expect([...(left.current()?.flags.keys() ?? [])].sort()).toEqual(['a', 'c']);
  });

  it('twenty writers on twenty items all get through on two processes', async () => {
    await left.apply(
      document(Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`f${index}`, false]))),
    );
    const outcomes = await Promise.allSettled(
      Array.from({ length: 20 }, (_, index) => put(index % 2 === 0 ? left : right, `f${index}`, true, null)),
    );
    const faults = outcomes.flatMap((outcome) =>
      outcome.status === 'rejected' ? [String(outcome.reason)] : [],
    );
    expect(faults).toEqual([]);
  });
});
