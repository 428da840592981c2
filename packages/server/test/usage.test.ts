import { randomUUID } from 'node:crypto';
import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BATCH, event, tell, USAGE_CATALOG, usageOf } from './usage-support.js';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ catalog: USAGE_CATALOG });
}, 60_000);
afterAll(() => server.stop());

const HOUR = 3_600_000;
const at = (instant: number) => new Date(instant).toISOString();
const codes = (answer: { body: { items: { status: string; errorCode?: string }[] } }) =>
  answer.body.items.map(({ status, errorCode }) => errorCode ?? status);

async function periods(who: string, feature: string) {
  const { rows } = await server.parts.database.pool.query(
    `select p.used, p.period_start from account_period p join customer c on c.id = p.customer_id
     where c.key = $1 and p.feature = $2 order by p.period_start`,
    [who, feature],
  );
  return rows.map((row) => ({ used: Number(row.used), start: (row.period_start as Date).getTime() }));
}

describe('record usage', () => {
  it('K-9 counts one event and a batch, and whoever asks sees it at once', async () => {
    const one = await tell(server, event('acme', { key: 'calls', amount: 3 }));
    expect(one.status).toBe(202);
    expect(one.body).toMatchObject({ accepted: 1, duplicates: 0, refused: 0 });
    const many = await tell(
      server,
      Array.from({ length: 20 }, () => event('acme', { key: 'calls' })),
    );
    expect(many.body).toMatchObject({ accepted: 20 });
    expect(await usageOf(server, 'acme', 'calls')).toEqual({ usage: 23, overage: 0, hasAccess: true });
  });

  it('OEP 3 is never refused for room: what is over shows as overage, and denies what comes after', async () => {
    await tell(server, event('over', { key: 'calls', amount: 250 }));
    expect(await usageOf(server, 'over', 'calls')).toEqual({ usage: 250, overage: 150, hasAccess: false });
    const denied = await server.request('POST', '/oep/v1/consume', {
      body: { context: { targetingKey: 'over' }, key: 'calls' },
      key: server.serverKey,
      headers: { 'idempotency-key': 'over' },
    });
    expect(denied.body).toMatchObject({ allowed: false, reason: 'LIMIT_REACHED' });
  });

  it('OEP 4 of `aggregation: count` a consume is one, as an event is: another amount is refused', async () => {
    const ask = (path: string, body: object) =>
      server.request('POST', `/oep/v1/${path}`, {
        body: { context: { targetingKey: 'counted' }, ...body },
        key: server.serverKey,
        headers: { 'idempotency-key': randomUUID() },
      });
    const item = (amount: number) => ({ key: 'logins', amount });
    for (const [path, body] of [
      ['consume', item(2)],
      ['consume', item(0)],
      ['consume', { ...item(7), mode: 'upTo' }],
      ['consume', { items: [{ key: 'calls', amount: 3 }, item(3)] }],
      ['reservations', item(2)],
    ] as const) {
      const refused = await ask(path, body);
      expect([refused.status, refused.body.errorCode]).toEqual([400, 'TYPE_MISMATCH']);
      expect(refused.body.errorDetails).toContain('`logins` has `aggregation: count`');
    }
    expect((await ask('consume', { key: 'logins' })).body).toMatchObject({ allowed: true, consumed: 1 });
    expect((await ask('consume', { items: [item(1), item(1)] })).status).toBe(200);
    expect(await usageOf(server, 'counted', 'logins')).toMatchObject({ usage: 3 });
    expect(await usageOf(server, 'counted', 'calls')).toMatchObject({ usage: 0 });
  });

  it('OEP 4 an event told again counts once, in one batch and in another, and another one under its name is told so', async () => {
    const told = event('twice', { key: 'calls', amount: 2 });
    expect(codes(await tell(server, [told, told]))).toEqual(['accepted', 'duplicate']);
    expect(codes(await tell(server, [told]))).toEqual(['duplicate']);
    expect(codes(await tell(server, [{ ...told, source: '/other' }]))).toEqual(['accepted']);
    const reused = [
      { ...told, data: { key: 'calls', amount: 3 } },
      { ...told, subject: 'somebody' },
      { ...told, data: { key: 'hourly', amount: 2 } },
    ];
    expect(codes(await tell(server, reused))).toEqual([
      'EVENT_ID_REUSED',
      'EVENT_ID_REUSED',
      'EVENT_ID_REUSED',
    ]);
    expect((await usageOf(server, 'twice', 'calls')).usage).toBe(4);
  });

  it('OEP 4 an amount that is measured, or a value that is counted, says as much of which event it is as one that was sent', async () => {
    const measured = (attributes: object) => event('same', { key: 'tokens', attributes }, { id: 'measured' });
    const seen = (visitor: unknown) =>
      event('same', { key: 'visitors', attributes: { visitor } }, { id: 'seen' });
    const first = [measured({ tokens_in: 1, tokens_out: 2, model: 'large' }), seen('ada')];
    expect(codes(await tell(server, first))).toEqual(['accepted', 'accepted']);
    const again = [
      ...first,
      measured({ model: 'large', tokens_out: 2, tokens_in: 1 }),
      measured({ tokens_in: 2, tokens_out: 1 }),
      event('same', { key: 'tokens', amount: 3 }, { id: 'measured' }),
    ];
    expect(new Set(codes(await tell(server, again)))).toEqual(new Set(['duplicate']));
    expect(codes(await tell(server, [measured({ tokens_in: 5, tokens_out: 2 }), seen('bob')]))).toEqual([
      'EVENT_ID_REUSED',
      'EVENT_ID_REUSED',
    ]);
    expect((await usageOf(server, 'same', 'tokens')).usage).toBe(3);
    expect((await usageOf(server, 'same', 'visitors')).usage).toBe(1);
  });

  it('OEP 4 a value is known once an event counted it, not by one that was refused beside others', async () => {
    const saw = (visitor: unknown, data: object = {}, more: object = {}) =>
      event('unseen', { key: 'visitors', attributes: { visitor }, ...data }, { ...more });
    const beside = event('unseen', { key: 'calls' });
    expect(codes(await tell(server, [saw('x', { amount: 5 }), saw('y', { corrects: 'z' }), beside]))).toEqual(
      ['TYPE_MISMATCH', 'CORRECTED_EVENT_NOT_FOUND', 'accepted'],
    );
    expect(codes(await tell(server, [saw('a', {}, { id: 'one' }), saw('z', {}, { id: 'one' })]))).toEqual([
      'accepted',
      'EVENT_ID_REUSED',
    ]);
    for (const value of ['x', 'y', 'z', { a: 1, b: 2 }, { b: 2, a: 1 }, 'x', 'a']) {
      await tell(server, saw(value));
    }
    expect((await usageOf(server, 'unseen', 'visitors')).usage).toBe(5);
  });

  it('OEP 4 a bad event refuses that one, with a code and what to do', async () => {
    const cases: readonly [unknown, string][] = [
      [event('mixed', { key: 'calls', amount: 1 }), 'accepted'],
      [event('mixed', { key: 'nothing' }), 'ENTITLEMENT_NOT_FOUND'],
      [event('mixed', { key: 'seats' }), 'TYPE_MISMATCH'],
      [event('mixed', { key: 'calls', amount: -1 }), 'TYPE_MISMATCH'],
      [event('mixed', { key: 'calls', amount: 1.5 }), 'TYPE_MISMATCH'],
      [event('mixed', { key: 'calls', amount: '1' }), 'TYPE_MISMATCH'],
      [event('mixed', { key: 'tokens', attributes: { tokens_in: 1 } }), 'TYPE_MISMATCH'],
      [event('mixed', { key: 'peak' }), 'TYPE_MISMATCH'],
      [event('mixed', { key: 'visitors' }), 'TYPE_MISMATCH'],
      [event('mixed', { key: 'logins', amount: 2 }), 'TYPE_MISMATCH'],
      [event('mixed', { key: 'per-user' }), 'TARGETING_KEY_MISSING'],
      [event('mixed', { key: 'calls', holder: 'x' }), 'TYPE_MISMATCH'],
      [event('mixed', { key: 'calls', attributes: { text: 'x'.repeat(5000) } }), 'EVENT_TOO_LARGE'],
      [event('mixed', { key: 'calls' }, { specversion: '0.3' }), 'EVENT_INVALID'],
      [event('mixed', { key: 'calls' }, { id: '' }), 'EVENT_INVALID'],
      [event('mixed', { key: 'calls' }, { source: 7 }), 'EVENT_INVALID'],
      [event('mixed', { key: 'calls' }, { time: 'yesterday' }), 'EVENT_INVALID'],
      [event('mixed', { key: 'calls' }, { time: '2027-02-30T00:00:00Z' }), 'EVENT_INVALID'],
      [event('mixed', { key: 'calls' }, { datacontenttype: 'text/plain' }), 'EVENT_INVALID'],
      [event('', { key: 'calls' }), 'EVENT_INVALID'],
      [event('x'.repeat(300), { key: 'calls' }), 'EVENT_INVALID'],
      ['no object', 'EVENT_INVALID'],
      [null, 'EVENT_INVALID'],
      [event('mixed', { key: 'calls' }, { time: at(Date.now() + HOUR) }), 'EVENT_IN_FUTURE'],
      [event('mixed', { key: 'calls', amount: -1, corrects: 'never-told' }), 'CORRECTED_EVENT_NOT_FOUND'],
      [event('mixed', { key: 'calls', amount: 1 }), 'accepted'],
    ];
    const answer = await tell(
      server,
      cases.map(([one]) => one),
    );
    expect(answer.status).toBe(202);
    expect(codes(answer)).toEqual(cases.map(([, code]) => code));
    for (const item of answer.body.items) {
      if (item.status === 'refused') expect(item.errorDetails.length).toBeGreaterThan(20);
    }
    expect((await usageOf(server, 'mixed', 'calls')).usage).toBe(2);
  });

  it('OEP 5 a late event counts into its own period while that accepts, then into the current one, or is refused', async () => {
    const now = server.parts.clock.now();
    const thisHour = now - (now % HOUR);
    const before = at(thisHour - HOUR / 2);
    const old = at(thisHour - 30 * HOUR);
    await tell(server, event('late', { key: 'hourly', amount: 1 }));
    const answer = await tell(server, [
      event('late', { key: 'hourly', amount: 5 }, { time: before }),
      event('late', { key: 'hourly', amount: 7 }, { time: before }),
      event('late', { key: 'hourly', amount: 11 }, { time: old }),
      event('late', { key: 'strict', amount: 1 }, { time: before }),
      event('late', { key: 'moved', amount: 13 }, { time: before }),
    ]);
    expect(
      answer.body.items.map((item: { period?: string; status: string }) => item.period ?? item.status),
    ).toEqual(['earlier', 'earlier', 'moved', 'refused', 'moved']);
    expect(codes(answer)[3]).toBe('EVENT_TOO_LATE');
    expect((await usageOf(server, 'late', 'hourly')).usage).toBe(12);
    expect((await usageOf(server, 'late', 'moved')).usage).toBe(13);
    expect(await periods('late', 'hourly')).toEqual([{ used: 12, start: thisHour - HOUR }]);
    // Once more, in a call of its own: the same row.
    await tell(server, event('late', { key: 'hourly', amount: 2 }, { time: before }));
    expect(await periods('late', 'hourly')).toEqual([{ used: 14, start: thisHour - HOUR }]);
  });

  it('OEP 5 a period that ends is closed by the next event, and what is told of it later is added there', async () => {
    const now = server.parts.clock.now();
    const thisHour = now - (now % HOUR);
    await tell(server, event('rolled', { key: 'hourly', amount: 40 }));
    await server.parts.database.pool.query(
      `update account set period_start = period_start - interval '1 hour', period_end = period_end - interval '1 hour'
       where feature = 'hourly' and customer_id = (select id from customer where key = 'rolled')`,
    );
    await tell(server, [
      event('rolled', { key: 'hourly', amount: 2 }),
      event('rolled', { key: 'hourly', amount: 3 }, { time: at(thisHour - 1000) }),
    ]);
    expect((await usageOf(server, 'rolled', 'hourly')).usage).toBe(2);
    expect(await periods('rolled', 'hourly')).toEqual([{ used: 43, start: thisHour - HOUR }]);
  });

  it('OEP 5 a correction takes back what an earlier event counted, where it counted, and never more', async () => {
    const now = server.parts.clock.now();
    const before = at(now - (now % HOUR) - HOUR / 2);
    const first = event('corrected', { key: 'calls', amount: 10 }, { id: 'c-1' });
    const late = event('corrected', { key: 'hourly', amount: 9 }, { id: 'c-2', time: before });
    await tell(server, [first, late]);
    const take = (corrects: string, key: string, amount?: number) =>
      event('corrected', { key, corrects, ...(amount === undefined ? {} : { amount }) });
    expect(
      codes(
        await tell(server, [
          take('c-1', 'calls', -4),
          take('c-1', 'calls', -7),
          take('c-1', 'calls', 2),
          take('c-2', 'hourly', -3),
          take('c-1', 'hourly', -1),
        ]),
      ),
    ).toEqual(['accepted', 'CORRECTION_EXCEEDS_EVENT', 'accepted', 'accepted', 'CORRECTED_EVENT_NOT_FOUND']);
    expect((await usageOf(server, 'corrected', 'calls')).usage).toBe(8);
    expect((await periods('corrected', 'hourly')).map(({ used }) => used)).toEqual([6]);
    // Without an amount all that is left; then nothing is.
    expect(codes(await tell(server, [take('c-1', 'calls'), take('c-1', 'calls', -1)]))).toEqual([
      'accepted',
      'CORRECTION_EXCEEDS_EVENT',
    ]);
    expect((await usageOf(server, 'corrected', 'calls')).usage).toBe(0);
    // In one batch with the event itself.
    const both = event('corrected', { key: 'calls', amount: 6 }, { id: 'c-3' });
    expect(codes(await tell(server, [both, take('c-3', 'calls', -1)]))).toEqual(['accepted', 'accepted']);
    expect((await usageOf(server, 'corrected', 'calls')).usage).toBe(5);
    // Of what has no sum nothing can be taken back.
    await tell(server, event('corrected', { key: 'peak', amount: 4 }, { id: 'c-4' }));
    expect(codes(await tell(server, [take('c-4', 'peak', -1)]))).toEqual(['TYPE_MISMATCH']);
  });

  it('OEP 5 what counted in a period that takes no more is not corrected where the feature refuses what is late, and is told so', async () => {
    await tell(server, event('final', { key: 'strict', amount: 4 }, { id: 'f-1' }));
    await server.parts.database.pool.query(
      `update usage_event set counted_at = counted_at - interval '2 hours' where event_id = 'f-1'`,
    );
    const answer = await tell(server, event('final', { key: 'strict', amount: -1, corrects: 'f-1' }));
    expect(codes(answer)).toEqual(['EVENT_TOO_LATE']);
    expect(answer.body.items[0].errorDetails).toContain('`f-1` counted takes no more events');
    expect(answer.body.items[0].errorDetails).not.toContain('without `time`');
  });

  it('counts, values that differ, the highest and the latest', async () => {
    const visitor = (name: unknown) => event('kinds', { key: 'visitors', attributes: { visitor: name } });
    const now = server.parts.clock.now();
    await tell(server, [
      event('kinds', { key: 'logins' }),
      event('kinds', { key: 'logins', amount: 1 }),
      ...['a', 'b', 'a', 1, '1', true].map(visitor),
      event('kinds', { key: 'peak', amount: 4 }),
      event('kinds', { key: 'peak', amount: 9 }),
      event('kinds', { key: 'peak', amount: 2 }),
      event('kinds', { key: 'storage', amount: 50 }, { time: at(now - 1000) }),
      event('kinds', { key: 'storage', amount: 700 }, { time: at(now - 3000) }),
      event('kinds', { key: 'tokens', attributes: { tokens_in: 20, tokens_out: 5, model: 'm' } }),
    ]);
    await tell(server, [visitor('b'), visitor('c'), event('kinds', { key: 'peak', amount: 8 })]);
    const of = async (key: string) => (await usageOf(server, 'kinds', key)).usage;
    expect([await of('logins'), await of('visitors'), await of('peak'), await of('storage')]).toEqual([
      2, 6, 9, 50,
    ]);
    expect(await of('tokens')).toBe(25);
    await tell(server, event('kinds', { key: 'storage', amount: 800 }));
    expect(await usageOf(server, 'kinds', 'storage')).toEqual({ usage: 800, overage: 300, hasAccess: true });
  });

  it('what can only be recorded is not consumed', async () => {
    for (const key of ['visitors', 'peak', 'storage']) {
      const answer = await server.request('POST', '/oep/v1/consume', {
        body: { context: { targetingKey: 'acme' }, key },
        key: server.serverKey,
        headers: { 'idempotency-key': `record-only-${key}` },
      });
      expect([answer.status, answer.body.errorCode]).toEqual([400, 'TYPE_MISMATCH']);
      expect(answer.body.errorDetails).toContain('/oep/v1/usage');
    }
  });

  it('counts per user, for the user that the event names', async () => {
    await tell(server, [
      event('shared', { key: 'per-user', amount: 2, user: 'ada' }),
      event('shared', { key: 'per-user', amount: 3, user: { key: 'bob' } }),
    ]);
    expect((await usageOf(server, 'shared', 'per-user', { user: { key: 'ada' } })).usage).toBe(2);
    expect((await usageOf(server, 'shared', 'per-user', { user: { key: 'bob' } })).usage).toBe(3);
  });

  it('registers a customer that nobody knew where there is a default plan, else refuses the event', async () => {
    expect(codes(await tell(server, [event('newcomer', { key: 'calls' })]))).toEqual(['accepted']);
    const found = await server.request('GET', '/api/v1/environments/production/customers/newcomer');
    expect(found.status).toBe(200);
    // A typing error in the feature leaves nobody behind.
    await tell(server, [event('nobody', { key: 'cals' })]);
    const none = await server.request('GET', '/api/v1/environments/production/customers/nobody');
    expect(none.status).toBe(404);
    const bare = await startTestServer({
      catalog: USAGE_CATALOG.replace(', defaultPlan: free', ''),
    });
    try {
      expect(codes(await tell(bare, [event('stranger', { key: 'calls' })]))).toEqual(['CUSTOMER_NOT_FOUND']);
    } finally {
      await bare.stop();
    }
  });

  it('is for server keys alone', async () => {
    const told = event('acme', { key: 'calls' });
    expect((await tell(server, told, { key: null })).status).toBe(401);
    expect((await tell(server, told, { key: server.clientKey })).status).toBe(403);
    expect((await tell(server, told, { key: server.adminKey })).status).toBe(403);
  });

  it('refuses bodies that are none, whole', async () => {
    const send = async (text: string, type: string = BATCH) => {
      const response = await fetch(`${server.url}/oep/v1/usage`, {
        method: 'POST',
        headers: { authorization: `Bearer ${server.serverKey}`, 'content-type': type },
        body: text,
      });
      return [response.status, (await response.json()).errorCode];
    };
    const one = JSON.stringify(event('acme', { key: 'calls' }));
    expect(await send(`[${one.replace('"type":"usage"', '"type":"usage","type":"usage"')}]`)).toEqual([
      400,
      'PARSE_ERROR',
    ]);
    expect(await send('[')).toEqual([400, 'PARSE_ERROR']);
    expect(await send('"text"')).toEqual([400, 'PARSE_ERROR']);
    expect(await send(one)).toEqual([400, 'PARSE_ERROR']);
    expect(await send(`[${one}]`, 'application/cloudevents+json')).toEqual([400, 'PARSE_ERROR']);
    expect(await send(`[${one}]`, 'text/plain')).toEqual([415, 'GENERAL']);
    expect(await send(`[${Array(1001).fill('{}').join(',')}]`)).toEqual([400, 'PARSE_ERROR']);
    expect(await send(`[${'['.repeat(100)}`)).toEqual([400, 'PARSE_ERROR']);
    expect((await send(`["${'x'.repeat(2 * 1024 * 1024)}"]`))[0]).toBe(413);
    expect(await send('[]')).toEqual([400, 'PARSE_ERROR']);
  });

  it('writes the history of usage by hour and dimension in the same transaction', async () => {
    const tokens = (attributes: object) => event('history', { key: 'tokens', attributes });
    await tell(server, [
      tokens({ tokens_in: 1, tokens_out: 1, model: 'large', region: 'eu', other: 'x' }),
      tokens({ tokens_in: 2, tokens_out: 2, model: 'large', region: 'eu' }),
      tokens({ tokens_in: 3, tokens_out: 3, model: 'small' }),
    ]);
    const { rows } = await server.parts.database.pool.query(
      `select dimensions, amount::int, events::int, used_after::int, limit_after::int from usage_hour h
       join customer c on c.id = h.customer_id where c.key = 'history' order by dimensions`,
    );
    expect(rows).toEqual([
      {
        dimensions: '{"model":"large","region":"eu"}',
        amount: 6,
        events: 2,
        used_after: 6,
        limit_after: 1000,
      },
      { dimensions: '{"model":"small"}', amount: 6, events: 1, used_after: 12, limit_after: 1000 },
    ]);
  });
});
