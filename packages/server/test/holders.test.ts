import { randomUUID } from 'node:crypto';
import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  ask,
  consume,
  customer,
  entitlement,
  idempotencyKey,
  RUNTIME_CATALOG,
  warm,
} from './runtime-support.js';

const SEATS = 'max_professionals';

let server: TestServer;
let second: TestServer;
beforeAll(async () => {
  server = await startTestServer({ catalog: RUNTIME_CATALOG });
  const keys = { admin: server.adminKey, server: server.serverKey, client: server.clientKey };
  second = await startTestServer({ databaseUrl: server.databaseUrl, keys });
}, 60_000);
afterAll(async () => {
  await second?.stop();
  await server?.stop();
});

let customers = 0;
async function fresh(plan = 'pro'): Promise<string> {
  customers += 1;
  const key = `seats-${customers}`;
  await customer(server, key, plan);
  await warm(server, key);
  await warm(second, key);
  return key;
}

function claim(who: string, holder: unknown, more: object = {}, on = server) {
  return consume(on, who, { key: SEATS, holder, ...more });
}

function give(who: string, body: object, token = idempotencyKey()) {
  const sent = { context: { targetingKey: who }, key: SEATS, ...body };
  return ask(server, '/oep/v1/release', sent, { headers: { 'idempotency-key': token } });
}

async function holders(who: string, query = '') {
  const path = `/api/v1/environments/production/customers/${who}/holders${query}`;
  const listed = await server.request('GET', path);
  expect(listed.status, listed.text).toBe(200);
  return listed.body;
}

async function names(who: string): Promise<string[]> {
  return (await holders(who)).items.map((one: { holder: string }) => one.holder);
}

describe('a holder', () => {
  it('K-5 takes its unit once, however often it claims it, also where no room is left', async () => {
    const who = await fresh();
    for (const holder of ['seat:ada', 'seat:bob', 'seat:cyd']) {
      expect((await claim(who, holder)).body).toMatchObject({ allowed: true, consumed: 1 });
    }
    const fourth = await claim(who, 'seat:dan');
    expect(fourth.body).toMatchObject({ allowed: false, reason: 'LIMIT_REACHED', entitlement: { usage: 3 } });
    const again = await claim(who, 'seat:ada', {}, second);
    expect(again.body).toMatchObject({
      allowed: true,
      reason: 'PLAN',
      consumed: 0,
      entitlement: { usage: 3 },
    });
    expect(await names(who)).toEqual(['seat:ada', 'seat:bob', 'seat:cyd']);
    expect((await give(who, { holder: 'seat:bob' })).body).toMatchObject({
      released: 1,
      entitlement: { usage: 2 },
    });
    expect((await give(who, { holder: 'seat:bob' })).body).toMatchObject({
      released: 0,
      entitlement: { usage: 2 },
    });
    expect((await give(who, { holder: 'seat:nobody' })).body.released).toBe(0);
    expect((await claim(who, 'seat:dan')).body.allowed).toBe(true);
    expect(await names(who)).toEqual(['seat:ada', 'seat:cyd', 'seat:dan']);
  });

  it('claims again where the limit has fallen below what is in use, and not where the right is gone', async () => {
    const who = await fresh();
    await claim(who, 'one');
    await claim(who, 'two');
    const { pool } = server.parts.database;
    await pool.query(`update account set used = 9 from customer c where c.id = customer_id and c.key = $1`, [
      who,
    ]);
    expect((await claim(who, 'one')).body).toMatchObject({
      allowed: true,
      consumed: 0,
      entitlement: { usage: 9, hasAccess: false },
    });
    const gone = await fresh('enterprise');
    await claim(gone, 'one');
    const grant = {
      product: 'test',
      target: { kind: 'customer', key: gone },
      kind: 'support',
      effect: { type: 'deny', feature: SEATS },
      reason: 'A test.',
    };
    expect(
      (await server.request('POST', '/api/v1/environments/production/grants', { body: grant })).status,
    ).toBe(201);
    expect((await claim(gone, 'one')).body).toMatchObject({ allowed: false, reason: 'REVOKED' });
    expect((await give(gone, { holder: 'one' })).body.released).toBe(1);
  });

  it('may hold several units, and give some of them back', async () => {
    const who = await fresh();
    expect((await claim(who, 'cluster', { amount: 3 })).body.consumed).toBe(3);
    expect((await give(who, { holder: 'cluster', amount: 2 })).body).toMatchObject({ released: 2 });
    expect((await holders(who)).items).toMatchObject([
      { holder: 'cluster', amount: 1, feature: SEATS, scope: '' },
    ]);
    expect((await give(who, { holder: 'cluster', amount: 5 })).body).toMatchObject({ released: 1 });
    expect((await holders(who)).items).toEqual([]);
    expect((await entitlement(server, SEATS, who)).body.usage).toBe(0);
  });

  it('is one of several items, all or nothing, and counts once where it is named twice', async () => {
    const who = await fresh();
    const items = (...list: readonly object[]) =>
      consume(server, who, { items: list.map((one) => ({ key: SEATS, ...one })) });
    expect((await items({ holder: 'a' }, { holder: 'a' }, { holder: 'b' })).body).toMatchObject({
      allowed: true,
      items: [{ consumed: 1 }, { consumed: 0 }, { consumed: 1 }],
    });
    expect((await items({ holder: 'a' }, { holder: 'c' }, { holder: 'd' })).body.allowed).toBe(false);
    expect(await names(who)).toEqual(['a', 'b']);
    expect((await entitlement(server, SEATS, who)).body.usage).toBe(2);
  });

  it('X-5 is exact under 60 callers on two processes: nobody takes twice, nobody too many', async () => {
    const who = await fresh();
    const calls = Array.from({ length: 60 }, async (_, index) => {
      const token = idempotencyKey();
      for (;;) {
        const on = index % 2 === 0 ? server : second;
        const answer = await consume(on, who, { key: SEATS, holder: `seat-${index % 6}` }, token);
        if (answer.status !== 503) return { seat: index % 6, ...answer.body };
      }
    });
    const answers = await Promise.all(calls);
    const seated = new Set(answers.filter(({ allowed }) => allowed).map(({ seat }) => seat));
    expect(seated.size).toBe(3);
    expect(answers.reduce((sum, { consumed }) => sum + consumed, 0)).toBe(3);
    expect(await names(who)).toHaveLength(3);
    expect((await entitlement(server, SEATS, who, { consistency: 'strong' })).body.usage).toBe(3);
  });

  it('is refused by name where the feature resets by itself, and where it is no name', async () => {
    const who = await fresh();
    const refused = await consume(server, who, { key: 'calling-minutes', holder: 'x' });
    expect([refused.status, refused.body.errorCode]).toEqual([400, 'TYPE_MISMATCH']);
    expect(refused.body.errorDetails).toContain('`calling-minutes` resets every 1 month');
    for (const holder of ['', 7, {}, 'x'.repeat(201), 'a\u0000b', 'a\nb', '\ud800']) {
      const answer = await claim(who, holder);
      expect([answer.status, answer.body.errorCode], JSON.stringify(holder)).toEqual([400, 'PARSE_ERROR']);
    }
    const reserved = { context: { targetingKey: who }, key: SEATS, amount: 1, holder: 'x' };
    const reserve = await ask(server, '/oep/v1/reservations', reserved, {
      headers: { 'idempotency-key': idempotencyKey() },
    });
    expect([reserve.status, reserve.body.errorCode]).toEqual([400, 'PARSE_ERROR']);
  });

  it('is listed by feature, page by page', async () => {
    const who = await fresh('enterprise');
    const all = Array.from({ length: 7 }, (_, index) => `h${index}`);
    for (const holder of all) await claim(who, holder);
    const seen: string[] = [];
    let cursor: string | null = null;
    do {
      const page: { items: { holder: string }[]; nextCursor: string | null } = await holders(
        who,
        `?limit=3&product=test&feature=${SEATS}${cursor === null ? '' : `&cursor=${cursor}`}`,
      );
      seen.push(...page.items.map((one) => one.holder));
      cursor = page.nextCursor;
    } while (cursor !== null);
    expect(seen).toEqual(all);
    expect((await holders(who, '?feature=calling-minutes')).items).toEqual([]);
    const absent = await server.request('GET', '/api/v1/environments/production/customers/nobody/holders');
    expect(absent.status).toBe(404);
  });

  it('S-10 loses the name of a person who is erased, and holds on', async () => {
    const who = await fresh();
    const user = `/api/v1/environments/production/customers/${who}/users/ada`;
    await server.request('PUT', user, { body: { reason: 'A test.' } });
    await claim(who, 'seat:ada');
    await claim(who, 'seat:adam');
    const held = await ask(
      server,
      '/oep/v1/reservations',
      {
        context: { targetingKey: who, user: 'ada' },
        key: 'per-user-exports',
        amount: 1,
        attributes: { by: 'ada' },
      },
      { headers: { 'idempotency-key': idempotencyKey() } },
    );
    expect(held.status).toBe(201);
    const erased = await server.request('POST', `${user}/erase`, {
      body: { reason: 'Asked to.' },
      headers: { 'if-match': '*' },
    });
    expect(erased.status, erased.text).toBe(200);
    const [other, first] = await names(who);
    expect(first).toMatch(/^seat:erased-/);
    expect(other).toBe('seat:adam');
    const { rows } = await server.parts.database.pool.query(
      `select r.scope, r.context, r.attributes from reservation r join customer c on c.id = r.customer_id where c.key = $1`,
      [who],
    );
    expect(JSON.stringify(rows)).not.toContain('"ada');
    expect(rows[0].attributes).toBeNull();
    const settled = await ask(
      server,
      `/oep/v1/reservations/${held.body.id}/settle`,
      {},
      {
        headers: { 'idempotency-key': idempotencyKey() },
      },
    );
    expect(settled.body).toMatchObject({ state: 'settled', settled: 1 });
  });
});

describe('OEP 4 a holder on recorded events', () => {
  const tellOf = (who: string, holder: unknown, more: Record<string, unknown> = {}, id = randomUUID()) => ({
    ...{ specversion: '1.0', id, source: '/seats', type: 'seat', subject: who },
    data: { key: SEATS, holder, ...more },
  });

  async function tell(events: readonly object[], on = server) {
    const answer = await on.request('POST', '/oep/v1/usage', {
      body: events,
      key: server.serverKey,
      headers: { 'content-type': 'application/cloudevents-batch+json' },
    });
    expect(answer.status, answer.text).toBe(202);
    return answer.body.items.map(
      (item: { status: string; errorCode?: string }) => item.errorCode ?? item.status,
    );
  }

  it('takes once, in one batch and in the next, on each process, and whether it was consumed or recorded first', async () => {
    const who = await fresh();
    const first = tellOf(who, 'seat:ada');
    expect(await tell([first, tellOf(who, 'seat:ada'), tellOf(who, 'seat:bob')])).toEqual([
      'accepted',
      'accepted',
      'accepted',
    ]);
    expect(await tell([first, tellOf(who, 'seat:ada', { amount: 1 })], second)).toEqual([
      'duplicate',
      'accepted',
    ]);
    expect((await claim(who, 'seat:bob')).body).toMatchObject({ allowed: true, consumed: 0 });
    await claim(who, 'seat:cyd');
    expect(await tell([tellOf(who, 'seat:cyd')])).toEqual(['accepted']);
    expect((await holders(who)).items).toHaveLength(3);
    expect((await entitlement(server, SEATS, who)).body).toMatchObject({ usage: 3 });
  });

  it('a correction gives back what its holder holds, a second time nothing, and never what others hold', async () => {
    const who = await fresh();
    const told = tellOf(who, 'seat:ada', { amount: 2 });
    await tell([told, tellOf(who, 'seat:bob')]);
    const undo = tellOf(who, 'seat:ada', { corrects: told.id });
    expect(await tell([undo])).toEqual(['accepted']);
    expect(await tell([undo])).toEqual(['duplicate']);
    expect(await tell([tellOf(who, 'seat:ada', { corrects: told.id, amount: -1 })])).toEqual([
      'CORRECTION_EXCEEDS_EVENT',
    ]);
    expect(await names(who)).toEqual(['seat:bob']);
    expect((await entitlement(server, SEATS, who)).body).toMatchObject({ usage: 1 });
    // An event of one who holds already counted nothing, so that there is nothing of it to take back.
    const nothing = tellOf(who, 'seat:bob', { amount: 5 });
    expect(await tell([nothing, nothing])).toEqual(['accepted', 'duplicate']);
    expect(await tell([tellOf(who, 'seat:bob', { corrects: nothing.id, amount: -5 })])).toEqual([
      'CORRECTION_EXCEEDS_EVENT',
    ]);
    expect((await entitlement(server, SEATS, who)).body).toMatchObject({ usage: 1 });
  });

  it('both processes at once: one unit', async () => {
    const who = await fresh();
    const events = () => Array.from({ length: 5 }, () => tellOf(who, 'seat:ada'));
    await Promise.all([
      tell(events()),
      tell(events(), second),
      claim(who, 'seat:ada'),
      tell(events(), second),
    ]);
    expect((await entitlement(server, SEATS, who)).body).toMatchObject({ usage: 1 });
  });

  it('is refused where it means nothing', async () => {
    const who = await fresh();
    expect(await tell([tellOf(who, ''), tellOf(who, 7), tellOf(who, 'x'.repeat(5000))])).toEqual([
      'EVENT_INVALID',
      'EVENT_INVALID',
      'EVENT_INVALID',
    ]);
  });
});
