import { type ServerProcess, startServerProcess } from '@pennon/testkit/server-process';
import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BATCH, event, USAGE_CATALOG, usageOf } from './usage-support.js';

let server: TestServer;
let processes: ServerProcess[];
beforeAll(async () => {
  server = await startTestServer({ catalog: USAGE_CATALOG });
  processes = [await startServerProcess(server), await startServerProcess(server)];
}, 90_000);
afterAll(async () => {
  await Promise.all(processes.map((one) => one.kill()));
  await server.stop();
});

type Events = readonly ReturnType<typeof event>[];

/** One try: the status of each event, or `null` where the outcome is unknown. */
async function tryTell(url: string, events: Events): Promise<readonly string[] | null> {
  const response = await fetch(`${url}/oep/v1/usage`, {
    method: 'POST',
    headers: { authorization: `Bearer ${server.serverKey}`, 'content-type': BATCH },
    body: JSON.stringify(events),
    signal: AbortSignal.timeout(10_000),
  }).catch(() => null);
  if (response === null || response.status === 503) return null;
  if (response.status !== 202) throw new Error(`${response.status}: ${await response.text()}`);
  const body = (await response.json().catch(() => null)) as { items: { status: string }[] } | null;
  return body === null ? null : body.items.map(({ status }) => status);
}

/** As a careful client does it: the same events, at another process each time, until there is an answer. */
async function tellSurely(urls: readonly string[], events: Events): Promise<readonly string[]> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    const statuses = await tryTell(urls[attempt % urls.length] ?? '', events);
    if (statuses !== null) return statuses;
    await new Promise((resolve) => setTimeout(resolve, 20 + Math.random() * 50));
  }
  throw new Error('No answer after 200 tries.');
}

/** What account, events and history say of a customer's calls: the same, or something was lost or doubled. */
async function stored(who: string) {
  const { pool } = server.parts.database;
  const { rows } = await pool.query(
    `select c.key,
       (select used::int from account a where a.customer_id = c.id and a.feature = 'calls') as used,
       (select coalesce(sum(amount), 0)::int from usage_event e where e.customer_id = c.id) as events,
       (select count(distinct event_key)::int from usage_event e where e.customer_id = c.id) as keys,
       (select count(*)::int from usage_event e where e.customer_id = c.id) as rows,
       (select coalesce(sum(amount), 0)::int from usage_hour h where h.customer_id = c.id) as history
     from customer c where c.key = $1`,
    [who],
  );
  return rows[0];
}

const batch = (who: (index: number) => string, size: number, amount = 1): Events =>
  Array.from({ length: size }, (_, index) => event(who(index), { key: 'calls', amount }));

describe('recording on two processes', () => {
  it('OEP 4 the same events at both at once count once', async () => {
    const urls = processes.map((one) => one.url);
    for (let round = 0; round < 12; round += 1) {
      const events = batch((index) => `both-${index % 3}`, 30);
      const turned = [...events].reverse();
      const [one, two] = await Promise.all([
        tellSurely([urls[0] ?? ''], events),
        tellSurely([urls[1] ?? ''], turned),
      ]);
      const again = [...(two ?? [])].reverse();
      for (const [index, status] of (one ?? []).entries()) {
        expect([status, again[index]].sort()).toEqual(['accepted', 'duplicate']);
      }
    }
    for (const who of ['both-0', 'both-1', 'both-2']) {
      expect(await stored(who)).toMatchObject({ used: 120, events: 120, keys: 120, rows: 120, history: 120 });
    }
  }, 60_000);

  it('OEP 4 one name for two customers, told at both at once, is recorded for one of them', async () => {
    const urls = processes.map((one) => one.url);
    await tellSurely(
      urls,
      batch((index) => `name-${index % 2}`, 2),
    );
    for (let round = 0; round < 12; round += 1) {
      const one = event('name-0', { key: 'calls' });
      const answers = await Promise.all([
        tellSurely([urls[0] ?? ''], [one]),
        tellSurely([urls[1] ?? ''], [{ ...one, subject: 'name-1' }]),
      ]);
      expect(answers.flat().sort()).toEqual(['accepted', 'refused']);
    }
    const [first, second] = [await stored('name-0'), await stored('name-1')];
    expect(first.used + second.used).toBe(14);
  }, 60_000);

  it('consume and record at both at once: nothing is lost between them', async () => {
    const urls = processes.map((one) => one.url);
    await tellSurely(urls, [event('mixed', { key: 'calls', amount: 0 })]);
    const consume = async (key: string) => {
      for (;;) {
        const response = await fetch(`${urls[0]}/oep/v1/consume`, {
          method: 'POST',
          headers: {
            authorization: `Bearer ${server.serverKey}`,
            'content-type': 'application/json',
            'idempotency-key': key,
          },
          body: JSON.stringify({ context: { targetingKey: 'mixed' }, key: 'calls', amount: 1 }),
        });
        if (response.status === 200) return ((await response.json()) as { consumed: number }).consumed;
      }
    };
    const [taken] = await Promise.all([
      Promise.all(Array.from({ length: 60 }, (_, index) => consume(`mixed-${index}`))),
      ...Array.from({ length: 10 }, () =>
        tellSurely(
          urls,
          batch(() => 'mixed', 20),
        ),
      ),
    ]);
    const sum = taken.reduce((total, one) => total + one, 0);
    const { used, events } = await stored('mixed');
    expect(events).toBe(200);
    expect(used).toBe(200 + sum);
  }, 60_000);

  it('survives kill -9 in the middle: what was answered is recorded, and nothing is recorded twice', async () => {
    const victim = await startServerProcess(server);
    const urls = [victim.url, ...processes.map((one) => one.url)];
    const callers = Array.from({ length: 8 }, async (_, caller) => {
      for (let call = 0; call < 12; call += 1) {
        const turned = caller % 2 === 0 ? urls : [...urls].reverse();
        const statuses = await tellSurely(
          turned,
          batch((index) => `crash-${index % 5}`, 25, 2),
        );
        expect(statuses.every((status) => status === 'accepted' || status === 'duplicate')).toBe(true);
      }
    });
    await new Promise((resolve) => setTimeout(resolve, 300));
    await victim.kill();
    await Promise.all(callers);
    for (let index = 0; index < 5; index += 1) {
      const amount = 8 * 12 * 5 * 2;
      expect(await stored(`crash-${index}`)).toMatchObject({
        used: amount,
        events: amount,
        keys: amount / 2,
        rows: amount / 2,
        history: amount,
      });
    }
    expect((await usageOf(server, 'crash-0', 'calls')).usage).toBe(960);
  }, 90_000);
});
