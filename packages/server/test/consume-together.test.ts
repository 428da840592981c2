import { type ServerProcess, startServerProcess } from '@pennon/testkit/server-process';
import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { customer, RUNTIME_CATALOG } from './runtime-support.js';

/* Requests of many customers, which share transactions. */

const MANY = 40;
const LIMIT = 100;

let server: TestServer;
let other: ServerProcess;
let client: pg.Client;

beforeAll(async () => {
  server = await startTestServer({ catalog: RUNTIME_CATALOG });
  other = await startServerProcess(server);
  client = new pg.Client({ connectionString: server.databaseUrl });
  await client.connect();
  for (let index = 0; index < MANY; index += 1) await customer(server, nameOf(index), 'pro');
}, 90_000);
afterAll(async () => {
  await client.end();
  await other.kill();
  await server.stop();
});

function nameOf(index: number): string {
  return `many-${index}`;
}

async function consume(url: string, who: string, key: string, amount: number) {
  const response = await fetch(`${url}/oep/v1/consume`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${server.serverKey}`,
      'content-type': 'application/json',
      'idempotency-key': key,
    },
    body: JSON.stringify({ context: { targetingKey: who }, key: 'calling-minutes', amount }),
    signal: AbortSignal.timeout(10_000),
  });
  return {
    status: response.status,
    body: (await response.json()) as { readonly allowed?: boolean; readonly consumed?: number },
  };
}

async function consumeSurely(urls: readonly string[], who: string, key: string, amount: number) {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    const answer = await consume(urls[attempt % urls.length] ?? '', who, key, amount);
    if (answer.status !== 503) return answer;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error('No answer after 200 tries.');
}

async function transactionsOf(): Promise<number> {
  const { rows } = await client.query(
    `select count(*)::int as rows, count(distinct xmin::text)::int as transactions from consumption`,
  );
  return rows[0].rows - rows[0].transactions;
}

describe('consumes of many customers at once', () => {
  it('X-5 are exact for each of them on two processes, and replays are equal', async () => {
    const urls = [server.url, other.url];
    const calls = Array.from({ length: MANY * 6 }, (_, index) => ({
      who: nameOf(index % MANY),
      key: `exact-${index}`,
      turned: index % 2 === 0 ? urls : [...urls].reverse(),
    }));
    // Six calls of 30 for a limit of 100: three fit.
    const answers = await Promise.all(
      calls.map(({ turned, who, key }) => consumeSurely(turned, who, key, 30)),
    );
    for (let index = 0; index < MANY; index += 1) {
      const own = answers.filter((_, place) => calls[place]?.who === nameOf(index));
      expect(own.filter(({ body }) => body.allowed === true)).toHaveLength(Math.floor(LIMIT / 30));
    }
    const { rows } = await client.query(
      `select c.key, a.used::int as used, (select sum(consumed)::int from consumption x where x.customer_id = c.id) as told
       from account a join customer c on c.id = a.customer_id where a.feature = 'calling-minutes'`,
    );
    expect(rows).toHaveLength(MANY);
    for (const row of rows) expect(row).toEqual({ key: row.key, used: 90, told: 90 });
    expect(await transactionsOf(), 'decisions that shared a transaction').toBeGreaterThan(0);

    const again = await Promise.all(
      calls.map(({ turned, who, key }) => consumeSurely([...turned].reverse(), who, key, 30)),
    );
    expect(again.map(({ body }) => body)).toEqual(answers.map(({ body }) => body));
  }, 60_000);

  it('law 2: wait for nobody who is at one of them', async () => {
    const held = nameOf(3);
    const free = Array.from({ length: MANY }, (_, index) => nameOf(index)).filter((who) => who !== held);
    await client.query('begin');
    await client.query('select 1 from customer where key = $1 for update', [held]);
    let heldAnswer: number | null = null;
    const waiting = consume(server.url, held, 'held', 1).then(({ status }) => {
      heldAnswer = status;
    });
    // Several times what may be under way together, and each of them may meet the one who is held.
    const answers = await Promise.all(
      free.flatMap((who) =>
        [0, 1, 2].map((call) => consumeSurely([server.url], who, `free-${who}-${call}`, 1)),
      ),
    );
    expect(heldAnswer === null || heldAnswer === 503).toBe(true);
    expect(answers.map(({ body }) => body.allowed)).toEqual(answers.map(() => true));
    await client.query('commit');
    await waiting;
    expect((await consumeSurely([server.url], held, 'held', 1)).body).toMatchObject({ allowed: true });
  }, 60_000);

  it('one whose row the database refuses takes nobody with it', async () => {
    const broken = nameOf(5);
    await client.query(
      `alter table account add constraint broken check (customer_id <> '${await idOf(broken)}' or used < 91) not valid`,
    );
    try {
      const answers = await Promise.all(
        Array.from({ length: MANY }, async (_, index) => {
          const who = nameOf(index);
          const answer = who === broken ? consume(server.url, who, 'break', 1) : null;
          return { who, answer: await (answer ?? consumeSurely([server.url], who, `broken-${who}`, 1)) };
        }),
      );
      for (const { who, answer } of answers) {
        if (who === broken) expect(answer.status).toBe(503);
        else expect(answer.body).toMatchObject({ allowed: true, consumed: 1 });
      }
    } finally {
      await client.query('alter table account drop constraint broken');
    }
    expect((await consumeSurely([server.url], broken, 'break', 1)).body).toMatchObject({ allowed: true });
  }, 60_000);
});

async function idOf(who: string): Promise<string> {
  const { rows } = await client.query('select id from customer where key = $1', [who]);
  return rows[0].id;
}
