import { cp, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startTestServer } from '@pennon/testkit/test-server';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ask, consume, customer, expectStatus, idempotencyKey } from './runtime-support.js';
import {
  type AwayServers,
  awayNoticed,
  counted,
  heardAgain,
  known,
  startAwayServers,
  usedOf,
} from './store-away-support.js';

/* What `onStoreAway` says, on real PostgreSQL behind a wire that is cut. */

let servers: AwayServers;
beforeAll(async () => {
  servers = await startAwayServers();
}, 60_000);
afterAll(() => servers?.stop());
afterEach(async () => {
  servers.wire.goAway(false);
  await counted(servers.far);
  await heardAgain(servers.far);
});

async function cutFor(who: string): Promise<void> {
  servers.wire.goAway(true);
  await awayNoticed(servers.far, who);
}

async function back(): Promise<void> {
  servers.wire.goAway(false);
  await counted(servers.far);
}

const UNAVAILABLE = { status: 503, body: { errorCode: 'UNAVAILABLE' } };

describe('consume with the store away', () => {
  it('K-5 hard and closed are 503, open and observed are allowed, say so, and are counted once afterwards', async () => {
    const { far, near } = servers;
    const who = await known(near, far);
    await consume(far, who, { key: 'open-calls', amount: 4 });
    await cutFor(who);
    for (const key of ['hard-calls', 'closed-calls']) {
      expect(await consume(far, who, { key, amount: 1 })).toMatchObject(UNAVAILABLE);
    }
    const open = await consume(far, who, { key: 'open-calls', amount: 9 });
    expect(open).toMatchObject({
      status: 200,
      body: {
        allowed: true,
        reason: 'FALLBACK',
        consumed: 9,
        entitlement: {
          isFallback: true,
          reason: 'FALLBACK',
          hasAccess: true,
          usage: 13,
          metadata: { fallbackCause: 'STORE_AWAY', fallbackPolicy: 'open' },
        },
      },
    });
    const observed = await consume(far, who, { key: 'seen-calls', amount: 50 });
    expect(observed.body).toMatchObject({ allowed: true, reason: 'FALLBACK', consumed: 50 });
    expect(await usedOf(near, who, 'open-calls')).toBe(4);
    await back();
    expect([await usedOf(near, who, 'open-calls'), await usedOf(near, who, 'seen-calls')]).toEqual([13, 50]);
    expect(await readdir(join(far.dataDirectory ?? '', 'journal'), { recursive: true })).not.toContainEqual(
      expect.stringMatching(/\.journal$/),
    );
    const { rows } = await near.parts.database.pool.query(
      `select reason, enforcement, consumed::int, used_after::int from consumption where feature = 'open-calls'
       and customer_id = (select id from customer where key = $1) order by decided_at`,
      [who],
    );
    expect(rows).toEqual([
      { reason: 'PLAN', enforcement: 'soft', consumed: 4, used_after: 4 },
      { reason: 'FALLBACK', enforcement: 'soft', consumed: 9, used_after: 13 },
    ]);
  });

  it('K-5 lastKnown goes by the last balance and the journal; beyond the overage it is 503, never a denial', async () => {
    const { far, near } = servers;
    const who = await known(near, far);
    await consume(far, who, { key: 'known-calls', amount: 3 });
    await cutFor(who);
    const take = (amount: number, mode = 'all') => consume(far, who, { key: 'known-calls', amount, mode });
    expect((await take(3)).body).toMatchObject({ allowed: true, consumed: 3, entitlement: { usage: 6 } });
    expect(await take(2)).toMatchObject(UNAVAILABLE);
    expect((await take(2, 'upTo')).body).toMatchObject({ allowed: true, consumed: 1 });
    expect(await take(1)).toMatchObject(UNAVAILABLE);
    await back();
    expect(await usedOf(near, who, 'known-calls')).toBe(7);
  });

  it('X-5 the same key gets the same answer, during and after; another body is 422', async () => {
    const { far, near } = servers;
    const who = await known(near, far);
    await cutFor(who);
    const key = idempotencyKey();
    const body = { key: 'open-calls', amount: 2 };
    const first = await consume(far, who, body, key);
    const second = await consume(far, who, body, key);
    expect(first.headers.get('idempotency-replayed')).toBeNull();
    expect(second.headers.get('idempotency-replayed')).toBe('true');
    expect(second.body).toEqual(first.body);
    expect(await consume(far, who, { ...body, amount: 3 }, key)).toMatchObject({
      status: 422,
      body: { errorCode: 'IDEMPOTENCY_MISMATCH' },
    });
    await back();
    for (const server of [far, near]) {
      const later = await consume(server, who, body, key);
      expect(later.headers.get('idempotency-replayed')).toBe('true');
      const { asOf, ...entitlement } = later.body.entitlement;
      const { asOf: told, ...before } = first.body.entitlement;
      expect({ ...later.body, entitlement }).toEqual({ ...first.body, entitlement: before });
      expect([told, entitlement.metadata.journaledAt, asOf]).toEqual(
        [told, entitlement.metadata.journaledAt, asOf].sort(),
      );
    }
    expect(await usedOf(near, who, 'open-calls')).toBe(2);
  });

  it('several keys are all or nothing: with a hard one among them nothing is answered', async () => {
    const { far, near } = servers;
    const who = await known(near, far);
    await cutFor(who);
    const items = (...keys: readonly string[]) => ({ items: keys.map((key) => ({ key, amount: 1 })) });
    expect(await consume(far, who, items('open-calls', 'hard-calls'))).toMatchObject(UNAVAILABLE);
    const both = await consume(far, who, items('open-calls', 'open-calls', 'seen-calls'));
    expect(both.body.items.map((item: { consumed: number }) => item.consumed)).toEqual([1, 1, 1]);
    expect(both.body.items[1].entitlement.usage).toBe(2);
    await back();
    expect([await usedOf(near, who, 'open-calls'), await usedOf(near, who, 'hard-calls')]).toEqual([2, 0]);
  });

  it('accounts of users and measured amounts count where they would have', async () => {
    const { far, near } = servers;
    const who = await known(near, far);
    const context = { targetingKey: who, user: { key: 'ada' } };
    const take = (body: Readonly<Record<string, unknown>>) => consume(far, who, { context, ...body });
    // The user is to be known to the process, as the customer is.
    await take({ key: 'user-calls', amount: 1 });
    await cutFor(who);
    expect((await take({ key: 'user-calls', amount: 2 })).body).toMatchObject({ reason: 'FALLBACK' });
    const measured = await take({ key: 'tokens', attributes: { tokens_in: 30, tokens_out: 12 } });
    expect(measured.body).toMatchObject({ reason: 'FALLBACK', consumed: 42 });
    await back();
    expect(await usedOf(near, who, 'user-calls', 'ada')).toBe(3);
    expect(await usedOf(near, who, 'tokens')).toBe(42);
  });

  it('what only the store can say stays 503: a customer nobody knows, a right that is missing, a holder, a hold, a release', async () => {
    const { far, near } = servers;
    const who = await known(near, far);
    await customer(near, 'away-unknown', 'pro');
    await cutFor(who);
    expect(await consume(far, 'away-unknown', { key: 'open-calls', amount: 1 })).toMatchObject({
      status: 503,
      body: { errorCode: 'UNAVAILABLE', metadata: { cause: 'CUSTOMER_STATE_UNAVAILABLE' } },
    });
    expect(await consume(far, who, { key: 'not-sold', amount: 1 })).toMatchObject(UNAVAILABLE);
    expect(await consume(far, who, { key: 'seats', amount: 1, holder: 'seat:ada' })).toMatchObject(
      UNAVAILABLE,
    );
    expect((await consume(far, who, { key: 'seats', amount: 1 })).body).toMatchObject({ reason: 'FALLBACK' });
    const other = (path: string) =>
      ask(
        far,
        path,
        { context: { targetingKey: who }, key: 'seats', amount: 1 },
        { headers: { 'idempotency-key': idempotencyKey() } },
      );
    expect(await other('/oep/v1/release')).toMatchObject(UNAVAILABLE);
    expect(await other('/oep/v1/reservations')).toMatchObject(UNAVAILABLE);
  });

  it('does not let each call wait, and says so: metrics, /readyz, one line when it begins and one when it ends', async () => {
    const { far, near, lines } = servers;
    const who = await known(near, far);
    lines.length = 0;
    await cutFor(who);
    const began = performance.now();
    for (let call = 0; call < 50; call += 1) await consume(far, who, { key: 'seen-calls', amount: 1 });
    expect(performance.now() - began).toBeLessThan(10_000);
    const metrics = await far.request('GET', '/metrics');
    expect(metrics.text).toMatch(/pennon_fallback_answers_total\{feature="seen-calls",policy="open"\} \d+/);
    expect(metrics.text).toMatch(/pennon_store_away 1/);
    expect(metrics.text).toMatch(/pennon_journal_waiting 5\d/);
    const { problems } = (await far.request('GET', '/readyz')).body;
    expect(problems).toContainEqual(expect.stringMatching(/5\d consumes were answered without the database/));
    await back();
    const told = lines.map((line) => JSON.parse(line).msg as string);
    expect(told.filter((message) => message.startsWith('consumes do not reach'))).toHaveLength(1);
    expect(told.filter((message) => message.startsWith('consumes reach the database'))).toHaveLength(1);
    expect(await usedOf(near, who, 'seen-calls')).toBe(50);
    expect((await far.request('GET', '/metrics')).text).toMatch(/pennon_journal_waiting 0/);
  });

  it('a store that stands still is away, too: the first call waits for its deadline, the others do not', async () => {
    const { far, near, wire } = servers;
    const who = await known(near, far);
    wire.standStill(true);
    try {
      expect((await consume(far, who, { key: 'open-calls', amount: 1 })).body).toMatchObject({
        reason: 'FALLBACK',
      });
      await awayNoticed(far, who);
      const began = performance.now();
      for (let call = 0; call < 5; call += 1) await consume(far, who, { key: 'open-calls', amount: 1 });
      expect(performance.now() - began).toBeLessThan(3000);
    } finally {
      wire.standStill(false);
    }
    await counted(far);
    expect(await usedOf(near, who, 'open-calls')).toBe(6);
  });
});

describe('counting afterwards', () => {
  it('the same key answered by two processes counts once, also where the store had denied it before', async () => {
    const { far, near, wiredUrl } = servers;
    const who = await known(near, far);
    const denied = idempotencyKey();
    await consume(near, who, { key: 'open-calls', amount: 5 });
    expect((await consume(near, who, { key: 'open-calls', amount: 3 }, denied)).body.allowed).toBe(false);
    const keys = { admin: near.adminKey, server: near.serverKey, client: near.clientKey };
    const third = await startTestServer({ databaseUrl: wiredUrl, keys });
    try {
      await consume(third, who, { key: 'seen-calls', amount: 0 });
      await cutFor(who);
      await awayNoticed(third, who);
      const keys = [idempotencyKey(), denied];
      for (const key of keys) {
        const told = await Promise.all(
          [far, third].map((server) => consume(server, who, { key: 'open-calls', amount: 3 }, key)),
        );
        expect(told.map(({ body }) => body.reason)).toEqual(['FALLBACK', 'FALLBACK']);
      }
      servers.wire.goAway(false);
      await Promise.all([counted(far), counted(third)]);
      expect(await usedOf(near, who, 'open-calls')).toBe(5 + 3 + 3);
    } finally {
      await third.stop();
    }
  });

  it('what was denied before under that key, or asked with another body, counts all the same: it was allowed, so it happened', async () => {
    const { far, near } = servers;
    const who = await known(near, far);
    await consume(near, who, { key: 'open-calls', amount: 7 });
    const [denied, other] = [idempotencyKey(), idempotencyKey()];
    expect((await consume(near, who, { key: 'open-calls', amount: 4 }, denied)).body.allowed).toBe(false);
    expect((await consume(near, who, { key: 'seen-calls', amount: 1 }, other)).body.allowed).toBe(true);
    await cutFor(who);
    for (const key of [denied, other]) {
      const told = await consume(far, who, { key: 'open-calls', amount: 4 }, key);
      expect(told.body).toMatchObject({ allowed: true, reason: 'FALLBACK' });
    }
    await back();
    expect(await usedOf(near, who, 'open-calls')).toBe(15);
  });

  it('a call whose commit went through unheard counts once, whatever the caller was told', async () => {
    const { far, near } = servers;
    const who = await known(near, far);
    await consume(far, who, { key: 'open-calls', amount: 0 });
    const key = idempotencyKey();
    expect((await consume(near, who, { key: 'open-calls', amount: 3 }, key)).body.consumed).toBe(3);
    await cutFor(who);
    expect((await consume(far, who, { key: 'open-calls', amount: 3 }, key)).body.reason).toBe('FALLBACK');
    await back();
    expect(await usedOf(near, who, 'open-calls')).toBe(3);
  });

  it('what is counted and not forgotten, as after a crash between the two, counts once when it is read again', async () => {
    const { far, near, wiredUrl } = servers;
    const who = await known(near, far);
    await consume(near, who, { key: 'open-calls', amount: 7 });
    const denied = idempotencyKey();
    await consume(near, who, { key: 'open-calls', amount: 4 }, denied);
    await cutFor(who);
    await consume(far, who, { key: 'open-calls', amount: 4 }, denied);
    for (let call = 0; call < 5; call += 1) await consume(far, who, { key: 'open-calls', amount: 2 });
    const copy = await mkdtemp(join(tmpdir(), 'pennon-copy-'));
    try {
      await cp(join(far.dataDirectory ?? '', 'journal'), join(copy, 'journal'), { recursive: true });
      await back();
      expect(await usedOf(near, who, 'open-calls')).toBe(7 + 4 + 10);
      // Whose it was is not alive any more.
      for (const folder of await readdir(join(copy, 'journal'))) {
        await rm(join(copy, 'journal', folder, 'owner.json'), { force: true });
      }
      const keys = { admin: near.adminKey, server: near.serverKey, client: near.clientKey };
      const heir = await startTestServer({ databaseUrl: wiredUrl, keys, dataDirectory: copy });
      try {
        expect(heir.parts.storeAway.report().waiting).toBeGreaterThanOrEqual(6);
        await counted(heir);
        expect(await usedOf(near, who, 'open-calls')).toBe(7 + 4 + 10);
      } finally {
        await heir.stop();
      }
    } finally {
      await rm(copy, { recursive: true, force: true });
    }
  });

  it('of a customer that was erased meanwhile nothing is counted, and nothing waits', async () => {
    const { far, near } = servers;
    const who = await known(near, far);
    await cutFor(who);
    expect((await consume(far, who, { key: 'open-calls', amount: 1 })).body.reason).toBe('FALLBACK');
    const path = `/api/v1/environments/production/customers/${who}/erase`;
    await expectStatus(near.request('POST', path, { body: { reason: 'A test.' } }), 200);
    await back();
    expect(await usedOf(near, who, 'open-calls')).toBe(0);
  });
});
