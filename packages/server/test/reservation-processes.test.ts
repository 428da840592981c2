import { type ServerProcess, startServerProcess } from '@pennon/testkit/server-process';
import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { customer, idempotencyKey, RUNTIME_CATALOG, warm } from './runtime-support.js';

/* What is held, on several processes over one database: exact under races, and after kill -9. */

let server: TestServer;
let processes: ServerProcess[];

beforeAll(async () => {
  server = await startTestServer({ catalog: RUNTIME_CATALOG });
  processes = [await startServerProcess(server), await startServerProcess(server)];
}, 90_000);
afterAll(async () => {
  await Promise.all(processes.map((one) => one.kill()));
  await server.stop();
});

interface Answer {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: answers of every shape are looked into.
  readonly body: any;
}

/** One try; `null`: the outcome is unknown, the same key asks again. */
async function attempt(url: string, path: string, body: object, key: string): Promise<Answer | null> {
  const response = await fetch(`${url}/oep/v1/${path}`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${server.serverKey}`,
      'content-type': 'application/json',
      'idempotency-key': key,
    },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(5000),
  }).catch(() => null);
  if (response === null || response.status === 503) return null;
  const read = await response.json().catch(() => null);
  return read === null ? null : { status: response.status, body: read };
}

/** As a careful client does it: the same key, at another process each time, until there is an answer. */
async function surely(urls: readonly string[], path: string, body: object, key: string): Promise<Answer> {
  for (let turn = 0; turn < 200; turn += 1) {
    const answer = await attempt(urls[turn % urls.length] ?? '', path, body, key);
    if (answer !== null) return answer;
    await new Promise((resolve) => setTimeout(resolve, 20 + Math.random() * 50));
  }
  throw new Error('No answer after 200 tries.');
}

const urls = () => processes.map((one) => one.url);
const turned = (index: number) => (index % 2 === 0 ? urls() : urls().reverse());

function reserveOne(who: string, index: number, more: object = {}, from = turned(index)): Promise<Answer> {
  const body = {
    context: { targetingKey: who },
    key: 'calling-minutes',
    amount: 1,
    ttlSeconds: 3600,
    ...more,
  };
  return surely(from, 'reservations', body, `${who}-${index}`);
}

async function stored(who: string) {
  const { pool } = server.parts.database;
  const account = await pool.query(
    `select a.used::int, a.reserved::int from account a join customer c on c.id = a.customer_id
     where c.key = $1 and a.feature = 'calling-minutes'`,
    [who],
  );
  const states = await pool.query(
    `select r.state, count(*)::int as count, sum(r.amount)::int as amount, coalesce(sum(r.settled), 0)::int as settled
     from reservation r join customer c on c.id = r.customer_id where c.key = $1 group by r.state`,
    [who],
  );
  const most = await pool.query(
    `select max(used_after + reserved_after)::int as most from consumption x join customer c on c.id = x.customer_id where c.key = $1`,
    [who],
  );
  const of = (state: string) =>
    states.rows.find((row) => row.state === state) ?? { count: 0, amount: 0, settled: 0 };
  return { ...account.rows[0], of, most: most.rows[0].most };
}

describe('reservations on two processes', () => {
  it('X-5 hold exactly the limit under 200 parallel callers, with equal replays', async () => {
    await customer(server, 'crowd', 'pro');
    await warm(server, 'crowd');
    const answers = await Promise.all(Array.from({ length: 200 }, (_, index) => reserveOne('crowd', index)));
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(100);
    const { used, reserved, most, of } = await stored('crowd');
    expect({ used, reserved, most, held: of('held').count }).toEqual({
      used: 0,
      reserved: 100,
      most: 100,
      held: 100,
    });
    const again = await Promise.all(
      Array.from({ length: 200 }, (_, index) => reserveOne('crowd', index, {}, turned(index + 1))),
    );
    expect(again).toEqual(answers);
    expect((await stored('crowd')).reserved).toBe(100);
  });

  it('X-5 settling and releasing one reservation at once has one outcome', async () => {
    await customer(server, 'torn', 'pro');
    await warm(server, 'torn');
    const made = await Promise.all(Array.from({ length: 60 }, (_, index) => reserveOne('torn', index)));
    const outcomes = await Promise.all(
      made.map(async ({ body }, index) => {
        const path = `reservations/${body.id}`;
        const [first, other] = await Promise.all([
          surely(turned(index), `${path}/settle`, { amount: 1 }, idempotencyKey()),
          surely(turned(index + 1), `${path}/release`, {}, idempotencyKey()),
        ]);
        return [first.status, other.status].join(' ');
      }),
    );
    expect(outcomes.filter((one) => one !== '200 409' && one !== '409 200')).toEqual([]);
    const settled = outcomes.filter((one) => one === '200 409').length;
    const { used, reserved, of } = await stored('torn');
    expect({ used, reserved }).toEqual({ used: settled, reserved: 0 });
    expect([of('settled').count, of('released').count]).toEqual([settled, 60 - settled]);
  });

  it('X-5 settling at the very end is either in time or too late, and the room tells which', async () => {
    await customer(server, 'edge', 'pro');
    await warm(server, 'edge');
    const made = await Promise.all(
      Array.from({ length: 80 }, (_, index) => reserveOne('edge', index, { ttlSeconds: 2 })),
    );
    const outcomes = await Promise.all(
      made.map(async ({ body }, index) => {
        // From before the end to after it.
        const at = Date.parse(body.expiresAt) - 120 + index * 3;
        await new Promise((resolve) => setTimeout(resolve, at - Date.now()));
        const path = `reservations/${body.id}/settle`;
        const { status } = await surely(turned(index), path, { amount: 1 }, `edge-settle-${index}`);
        return status;
      }),
    );
    expect(outcomes.filter((status) => status !== 200 && status !== 410)).toEqual([]);
    const inTime = outcomes.filter((status) => status === 200).length;
    const room = { context: { targetingKey: 'edge' }, key: 'calling-minutes', amount: 100 - inTime };
    expect((await surely(urls(), 'consume', room, 'rest')).body).toMatchObject({ allowed: true });
    const { used, reserved, most, of } = await stored('edge');
    expect({ used, reserved }).toEqual({ used: 100, reserved: 0 });
    expect(most).toBeLessThanOrEqual(100);
    expect([of('settled').count, of('expired').count]).toEqual([inTime, 80 - inTime]);
    const { rows } = await server.parts.database.pool.query(
      `select x.operation, count(*)::int as count from consumption x join customer c on c.id = x.customer_id
       where c.key = 'edge' and x.operation in ('settle', 'expire') group by 1 order by 1`,
    );
    expect(rows.reduce((sum, row) => sum + row.count, 0)).toBe(80);
  }, 60_000);

  it('lose nothing to kill -9: what was answered holds, and nothing ends twice', async () => {
    await customer(server, 'crash', 'pro');
    await warm(server, 'crash');
    const victim = await startServerProcess(server);
    const all = [victim.url, ...urls()];
    const callers = Array.from({ length: 30 }, async (_, caller) => {
      let settled = 0;
      let held = 0;
      for (let call = 0; call < 8; call += 1) {
        const from = caller % 2 === 0 ? all : all.slice(1);
        const key = `crash-${caller}-${call}`;
        const body = {
          context: { targetingKey: 'crash' },
          key: 'calling-minutes',
          amount: 2,
          ttlSeconds: 3600,
        };
        const made = await surely(from, 'reservations', body, key);
        if (made.status !== 201) continue;
        const path = `reservations/${made.body.id}`;
        if ((caller + call) % 5 === 0) {
          held += 2;
        } else if ((caller + call) % 3 === 0) {
          expect((await surely(from, `${path}/release`, {}, key)).status).toBe(200);
        } else {
          const done = await surely(from, `${path}/settle`, { amount: 1 }, key);
          expect(done.status).toBe(200);
          settled += done.body.settled;
        }
      }
      return { settled, held };
    });
    await new Promise((resolve) => setTimeout(resolve, 250));
    await victim.kill();
    const told = await Promise.all(callers);
    const sum = (member: 'settled' | 'held') => told.reduce((total, one) => total + one[member], 0);
    const { used, reserved, most, of } = await stored('crash');
    expect({ used, reserved }).toEqual({ used: sum('settled'), reserved: sum('held') });
    expect([of('settled').settled, of('held').amount]).toEqual([sum('settled'), sum('held')]);
    expect(most).toBeLessThanOrEqual(100);
  }, 90_000);
});
