import { randomUUID } from 'node:crypto';
import type { ConsumptionRow } from '@pennon/server/store/account-transaction';
import { createConsumptionCopier } from '@pennon/server/store/consumption-copy';
import { sendGroup } from '@pennon/server/store/statement-group';
import { sayThatItStands } from '@pennon/server/store/writing';
import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

let server: TestServer;
let client: pg.Client;

beforeAll(async () => {
  server = await startTestServer();
  client = new pg.Client({ connectionString: server.databaseUrl, pipeline: true } as pg.ClientConfig);
  await client.connect();
}, 60_000);
afterAll(async () => {
  await client.end();
  await server.stop();
});

const NOW = Date.UTC(2026, 10, 22, 4, 5, 6, 789);

function row(over: Partial<ConsumptionRow>): ConsumptionRow {
  return {
    id: randomUUID(),
    item: 0,
    operation: 'consume',
    idempotencyKey: randomUUID(),
    requestHash: `${'ab'.repeat(31)}0f`,
    feature: 'units',
    scope: '',
    allowed: true,
    reason: 'PLAN',
    enforcement: 'hard',
    requested: 1,
    consumed: 1,
    usedAfter: 1,
    reservedAfter: 0,
    limitAtDecision: 10,
    periodStart: Date.UTC(2026, 10, 1),
    revision: 3,
    attributes: null,
    answer: '1;PLAN',
    actor: 'server-key:x',
    ...over,
  };
}

const MOST = Number.MAX_SAFE_INTEGER;
/** Another value for each column: what a row shares with the one before it is written once, and what it does not share is not. */
const OTHER: Omit<ConsumptionRow, 'id' | 'idempotencyKey' | 'usedAfter' | 'answer'> = {
  ...{
    item: 1,
    operation: 'release',
    requestHash: 'cd'.repeat(32),
    feature: 'seats',
    scope: 's',
    allowed: false,
  },
  ...{
    reason: 'GRANT',
    enforcement: 'soft',
    requested: 2,
    consumed: 2,
    reservedAfter: 1,
    limitAtDecision: 11,
  },
  ...{ periodStart: Date.UTC(2026, 9, 1), revision: 4, attributes: '{}', actor: 'server-key:y' },
};
const ROWS: readonly ConsumptionRow[] = [
  ...Object.entries(OTHER).flatMap(([column, value]) => [row({}), row({ [column]: value })]),
  row({}),
  row({ usedAfter: 2 }),
  row({ usedAfter: MOST, limitAtDecision: null, requested: MOST, consumed: MOST, revision: 2 ** 32 + 5 }),
  row({ scope: 'zoë@例え.jp 🎏', answer: `${'long;'.repeat(50)}ünï`, attributes: '{"a":"\\t\\"ß"}' }),
  row({ periodStart: null, allowed: false, consumed: 0, item: 7, operation: 'release' }),
  row({ periodStart: Date.UTC(1999, 11, 31, 23, 59, 59, 999), attributes: 'x'.repeat(300_000) }),
  row({}),
];

async function stored(customerId: string) {
  const { rows } = await client.query(
    `select id, item, operation, idempotency_key, encode(request_hash, 'hex') as hash, feature, scope, allowed, reason, enforcement,
       requested, consumed, used_after, reserved_after, limit_at_decision, (extract(epoch from period_start) * 1000)::bigint as start,
       revision, attributes, answer, actor, (extract(epoch from decided_at) * 1000)::bigint as decided, product_id, environment_id
     from consumption where customer_id = $1`,
    [customerId],
  );
  return rows;
}

const BEGIN = { name: 'begin', text: 'begin', values: [] };
const COMMIT = { name: 'commit', text: 'commit', values: [] };

function someone() {
  const ids = { customerId: randomUUID(), productId: randomUUID(), environmentId: randomUUID() };
  return { ...ids, accounts: [], idempotencyKeys: [], reservationIds: [], holders: [] };
}

/** As a transaction says it that asked; `null`: it did not ask. */
function saying(stands: boolean | null) {
  const condition = stands === null ? 'null' : String(stands);
  const said = stands === null ? 'null::text' : sayThatItStands(condition);
  return { name: `saying-${stands}`, text: `select ${said}`, values: [] };
}

describe('consumptions copied where everything stands as it was expected', () => {
  it.each([
    ['it was said to stand', true, ROWS.length],
    ['it was said not to', false, 0],
    ['nothing was said', null, 0],
  ])('are written as it was said: %s', async (_, stands, written) => {
    const request = someone();
    const copier = createConsumptionCopier();
    const results = await sendGroup(client, [
      BEGIN,
      saying(stands),
      copier.copyOf(NOW, [{ request, write: { consumptions: ROWS } }], 'standing'),
      COMMIT,
    ]);
    expect(results.map(({ tag }) => tag)).toEqual(['BEGIN', 'SELECT 1', `COPY ${written}`, 'COMMIT']);
    const found = await stored(request.customerId);
    expect(found.map(({ id }) => id).sort()).toEqual(written === 0 ? [] : ROWS.map(({ id }) => id).sort());
  });

  it('are not written for what an earlier transaction of the connection said, be it over or rolled back', async () => {
    const copier = createConsumptionCopier();
    for (const end of ['commit', 'rollback']) {
      const request = someone();
      const write = { consumptions: ROWS };
      await sendGroup(client, [
        BEGIN,
        saying(true),
        copier.copyOf(NOW, [{ request: someone(), write }], 'standing'),
        { name: end, text: end, values: [] },
      ]);
      const results = await sendGroup(client, [
        BEGIN,
        copier.copyOf(NOW, [{ request, write }], 'standing'),
        COMMIT,
      ]);
      expect(results.map(({ tag }) => tag)).toEqual(['BEGIN', 'COPY 0', 'COMMIT']);
      expect(await stored(request.customerId)).toEqual([]);
    }
  });

  it('are not asked whether they overshoot where they are not written', async () => {
    const copier = createConsumptionCopier();
    const [wrong, right] = [someone(), someone()];
    const over = { consumptions: [row({ usedAfter: 11 })] };
    const results = await sendGroup(client, [
      BEGIN,
      saying(false),
      copier.copyOf(NOW, [{ request: wrong, write: over }], 'standing'),
      copier.copyOf(NOW, [{ request: right, write: { consumptions: [row({})] } }], 'always'),
      COMMIT,
    ]);
    expect(results.map(({ tag }) => tag)).toEqual(['BEGIN', 'SELECT 1', 'COPY 0', 'COPY 1', 'COMMIT']);
    expect(await stored(wrong.customerId)).toEqual([]);
    expect(await stored(right.customerId)).toHaveLength(1);
  });

  it('2 are refused by the table’s own check where they overshoot and are written', async () => {
    const copier = createConsumptionCopier();
    const request = someone();
    const group = sendGroup(client, [
      BEGIN,
      saying(true),
      copier.copyOf(NOW, [{ request, write: { consumptions: [row({ usedAfter: 11 })] } }], 'standing'),
      COMMIT,
    ]);
    await expect(group).rejects.toMatchObject({ code: '23514', constraint: 'consumption_within_limit' });
    await client.query('rollback');
    expect(await stored(request.customerId)).toEqual([]);
  });
});

describe('consumptions copied one batch behind another', () => {
  it('are made beside those that are on their way still: two that follow each other share no bytes', async () => {
    const copier = createConsumptionCopier();
    const requests = Array.from({ length: 4 }, someone);
    const batches = requests.map(() => [row({}), row({ scope: randomUUID() })]);
    const sent: Promise<unknown>[] = [];
    let before: { readonly copy: Buffer; readonly bytes: string } | null = null;
    for (const [index, request] of requests.entries()) {
      const write = { consumptions: batches[index] ?? [] };
      const statement = copier.copyOf(NOW, [{ request, write }], index % 2 === 0 ? 'always' : 'standing');
      if (statement.copy === undefined) throw new Error('It has no rows.');
      // What the one before is made of is not written over by this one.
      if (before !== null) expect(before.copy.toString('hex')).toBe(before.bytes);
      before = { copy: statement.copy, bytes: statement.copy.toString('hex') };
      sent.push(sendGroup(client, [BEGIN, saying(true), statement, COMMIT]));
    }
    await Promise.all(sent);
    for (const [index, { customerId }] of requests.entries()) {
      const found = await stored(customerId);
      const made = batches[index] ?? [];
      expect(found.map(({ id }) => id).sort()).toEqual(made.map(({ id }) => id).sort());
      expect(found.map(({ scope }) => scope).sort()).toEqual(made.map(({ scope }) => scope).sort());
    }
  });
});

describe('consumptions copied into their table', () => {
  it('stand there as they were given, whatever they hold, and batch after batch', async () => {
    const copier = createConsumptionCopier();
    for (const rows of [ROWS, ROWS.slice(0, 2), [...ROWS].reverse()]) {
      const ids = { customerId: randomUUID(), productId: randomUUID(), environmentId: randomUUID() };
      const request = { ...ids, accounts: [], idempotencyKeys: [], reservationIds: [], holders: [] };
      const results = await sendGroup(client, [
        { name: 'begin', text: 'begin', values: [] },
        copier.copyOf(NOW, [{ request, write: { consumptions: rows } }], 'always'),
        { name: 'commit', text: 'commit', values: [] },
      ]);
      expect(results.map(({ tag }) => tag)).toEqual(['BEGIN', `COPY ${rows.length}`, 'COMMIT']);
      const found = await stored(ids.customerId);
      expect(found).toHaveLength(rows.length);
      for (const one of rows) {
        expect(found.find(({ id }) => id === one.id)).toEqual({
          id: one.id,
          item: one.item,
          operation: one.operation,
          idempotency_key: one.idempotencyKey,
          hash: one.requestHash,
          feature: one.feature,
          scope: one.scope,
          allowed: one.allowed,
          reason: one.reason,
          enforcement: one.enforcement,
          requested: String(one.requested),
          consumed: String(one.consumed),
          used_after: String(one.usedAfter),
          reserved_after: String(one.reservedAfter),
          limit_at_decision: one.limitAtDecision === null ? null : String(one.limitAtDecision),
          start: one.periodStart === null ? null : String(one.periodStart),
          revision: String(one.revision),
          attributes: one.attributes,
          answer: one.answer,
          actor: one.actor,
          decided: String(NOW),
          product_id: ids.productId,
          environment_id: ids.environmentId,
        });
      }
    }
  });

  it('2 the table’s own check refuses what overshoots, nothing of the group remains, and the connection still answers', async () => {
    const copier = createConsumptionCopier();
    const ids = { customerId: randomUUID(), productId: randomUUID(), environmentId: randomUUID() };
    const request = { ...ids, accounts: [], idempotencyKeys: [], reservationIds: [], holders: [] };
    const group = sendGroup(client, [
      { name: 'begin', text: 'begin', values: [] },
      copier.copyOf(NOW, [{ request, write: { consumptions: [row({}), row({ usedAfter: 11 })] } }], 'always'),
      { name: 'commit', text: 'commit', values: [] },
    ]);
    await expect(group).rejects.toMatchObject({ code: '23514', constraint: expect.any(String) });
    await client.query('rollback');
    expect(await stored(ids.customerId)).toEqual([]);
  });

  it('a statement before it that fails takes the rows with it, without losing step', async () => {
    const copier = createConsumptionCopier();
    const ids = { customerId: randomUUID(), productId: randomUUID(), environmentId: randomUUID() };
    const request = { ...ids, accounts: [], idempotencyKeys: [], reservationIds: [], holders: [] };
    const group = sendGroup(client, [
      { name: 'begin', text: 'begin', values: [] },
      { name: 'divide', text: 'select 1 / $1::integer', values: ['0'] },
      copier.copyOf(NOW, [{ request, write: { consumptions: ROWS } }], 'always'),
      { name: 'commit', text: 'commit', values: [] },
    ]);
    await expect(group).rejects.toMatchObject({ code: '22012' });
    await client.query('rollback');
    expect(await stored(ids.customerId)).toEqual([]);
    expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
  });
});
