import { type ServerProcess, startServerProcess } from '@pennon/testkit/server-process';
import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { warm } from './runtime-support.js';

/* The law of notices: none without its change, no change without its notice, over processes that are killed. */

const LIMIT = 100;
const WARN_AT = [10, 20, 30, 40, 50, 60, 70, 80, 90];
const CATALOG = `
product: { key: test, name: Test, defaultPlan: free }
features:
  - { key: calls, type: metered, reset: { every: year, anchor: calendar }, enforcement: soft, warnAt: [${WARN_AT.join(', ')}], category: limit, owner: a@example.com, purpose: A test, removal: permanent }
plans:
  - { key: free, entitlements: [{ feature: calls, value: ${LIMIT} }] }
`;
const CUSTOMERS = ['one', 'two', 'three'];

let server: TestServer;
let processes: ServerProcess[];

beforeAll(async () => {
  server = await startTestServer({ catalog: CATALOG });
  processes = [await startServerProcess(server), await startServerProcess(server)];
  for (const who of CUSTOMERS) await warm(server, who);
}, 90_000);
afterAll(async () => {
  await Promise.all(processes.map((one) => one.kill()));
  await server.stop();
});

/** One try after the other with one key, at another process each time, until somebody answers. */
async function consumeSurely(urls: readonly string[], who: string, amount: number, key: string) {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    const response = await fetch(`${urls[attempt % urls.length]}/oep/v1/consume`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${server.serverKey}`,
        'content-type': 'application/json',
        'idempotency-key': key,
      },
      body: JSON.stringify({ context: { targetingKey: who }, key: 'calls', amount }),
      signal: AbortSignal.timeout(5000),
    }).catch(() => null);
    if (response?.status === 200) return;
    await new Promise((resolve) => setTimeout(resolve, 20 + Math.random() * 50));
  }
  throw new Error('No answer after 200 tries.');
}

interface Told {
  readonly type: string;
  readonly level: number;
  readonly used: number;
  readonly at: string;
}

async function read(who: string) {
  const { pool } = server.parts.database;
  const notices = await pool.query<Told>(
    `select type, (data::json->>'level')::int as level, (data::json->>'used')::int as used, occurred_at::text as at
     from outbox_event o join customer c on c.id = o.customer_id where c.key = $1 order by used, o.id`,
    [who],
  );
  const rows = await pool.query<{ before: number; after: number; at: string }>(
    `select used_after::int - consumed::int as before, used_after::int as after, decided_at::text as at
     from consumption x join customer c on c.id = x.customer_id where c.key = $1 order by used_after`,
    [who],
  );
  return { notices: notices.rows, consumptions: rows.rows };
}

/** What had to be told, by the rows of what was consumed: each level by the one that came to it. */
function due(consumptions: Awaited<ReturnType<typeof read>>['consumptions']): readonly Told[] {
  const levels = [
    ...WARN_AT.map((level) => ({ type: 'limit.warned', level, amount: level })),
    { type: 'limit.reached', level: 100, amount: LIMIT },
    { type: 'limit.exceeded', level: 100, amount: LIMIT + 1 },
  ];
  return levels.flatMap(({ type, level, amount }) => {
    const crossing = consumptions.find(({ before, after }) => before < amount && after >= amount);
    return crossing === undefined ? [] : [{ type, level, used: crossing.after, at: crossing.at }];
  });
}

describe('notices of two processes over one database', () => {
  it('K-14 tell one crossing once, whoever crosses', async () => {
    const urls = processes.map((one) => one.url);
    await Promise.all(
      Array.from({ length: 60 }, (_, index) =>
        consumeSurely(index % 2 === 0 ? urls : [...urls].reverse(), 'one', 2, `one-${index}`),
      ),
    );
    const { notices, consumptions } = await read('one');
    expect(consumptions).toHaveLength(60);
    expect(notices).toEqual(due(consumptions));
    expect(notices.at(-1)).toMatchObject({ type: 'limit.exceeded' });
  });

  it('K-14 through kill -9: every change that crossed has its notice, and there is no other', async () => {
    for (const [round, who] of ['two', 'three'].entries()) {
      const victim = await startServerProcess(server);
      const urls = [victim.url, ...processes.map((one) => one.url)];
      const callers = Array.from({ length: 20 }, async (_, caller) => {
        for (let call = 0; call < 4; call += 1) {
          const turned = caller % 2 === 0 ? urls : urls.slice(1);
          await consumeSurely(turned, who, 1 + ((caller + call) % 3), `${who}-${caller}-${call}`);
        }
      });
      await new Promise((resolve) => setTimeout(resolve, 60 + round * 60));
      await victim.kill();
      await Promise.all(callers);
      const { notices, consumptions } = await read(who);
      expect(consumptions).toHaveLength(80);
      expect(notices).toEqual(due(consumptions));
      expect(notices).toHaveLength(WARN_AT.length + 2);
    }
  }, 90_000);
});
