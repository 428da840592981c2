import { type ServerProcess, startServerProcess } from '@pennon/testkit/server-process';
import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { customer, idempotencyKey, RUNTIME_CATALOG, warm } from './runtime-support.js';

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
  readonly allowed: boolean;
  readonly consumed: number;
}

/** One try; `null`: the outcome is unknown, the same key asks again. */
async function tryConsume(url: string, who: string, body: object, key: string): Promise<Answer | null> {
  const response = await fetch(`${url}/oep/v1/consume`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${server.serverKey}`,
      'content-type': 'application/json',
      'idempotency-key': key,
    },
    body: JSON.stringify({ context: { targetingKey: who }, ...body }),
    signal: AbortSignal.timeout(5000),
  }).catch(() => null);
  if (response === null || response.status === 503) {
    return null;
  }
  if (response.status !== 200) {
    throw new Error(`${response.status}: ${await response.text()}`);
  }
  return (await response.json().catch(() => null)) as Answer | null;
}

/** As a careful client does it: the same key, at another process each time, until there is an answer. */
async function consumeSurely(
  urls: readonly string[],
  who: string,
  body: object,
  key: string,
): Promise<Answer> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    const url = urls[attempt % urls.length] ?? '';
    const answer = await tryConsume(url, who, body, key);
    if (answer !== null) {
      return answer;
    }
    await new Promise((resolve) => setTimeout(resolve, 20 + Math.random() * 50));
  }
  throw new Error('No answer after 200 tries.');
}

async function stored(who: string, feature: string) {
  const { pool } = server.parts.database;
  const account = await pool.query(
    `select a.used from account a join customer c on c.id = a.customer_id where c.key = $1 and a.feature = $2`,
    [who, feature],
  );
  const rows = await pool.query(
    `select count(*)::int as calls, count(distinct idempotency_key)::int as keys,
       coalesce(sum(consumed), 0)::int as consumed, max(used_after)::int as most
     from consumption x join customer c on c.id = x.customer_id where c.key = $1 and x.feature = $2`,
    [who, feature],
  );
  return { used: Number(account.rows[0]?.used), ...rows.rows[0] };
}

describe('consume on two processes', () => {
  it('X-5 is exact under 200 parallel callers, without overshoot', async () => {
    await customer(server, 'hot', 'pro');
    await warm(server, 'hot');
    const urls = processes.map((one) => one.url);
    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, index) => {
        const turned = index % 2 === 0 ? urls : [...urls].reverse();
        return consumeSurely(turned, 'hot', { key: 'calling-minutes', amount: 1 }, `hot-${index}`);
      }),
    );
    expect(answers.filter((answer) => answer.allowed)).toHaveLength(100);
    expect(await stored('hot', 'calling-minutes')).toEqual({
      used: 100,
      calls: 200,
      keys: 200,
      consumed: 100,
      most: 100,
    });
    // The same keys again, at the other process: the same answers, and nothing more is taken.
    const again = await Promise.all(
      Array.from({ length: 200 }, (_, index) => {
        const turned = index % 2 === 1 ? urls : [...urls].reverse();
        return consumeSurely(turned, 'hot', { key: 'calling-minutes', amount: 1 }, `hot-${index}`);
      }),
    );
    expect(again).toEqual(answers);
    expect((await stored('hot', 'calling-minutes')).used).toBe(100);
  });

  it('X-5 shares a customer for whom both processes always have more: nobody is kept waiting for a second', async () => {
    await customer(server, 'shared', 'enterprise');
    await warm(server, 'shared');
    const until = performance.now() + 1500;
    const rounds = await Promise.all(
      processes.flatMap(({ url }, place) =>
        Array.from({ length: 48 }, async (_, caller) => {
          const done = { place, answered: 0, unknown: 0 };
          for (let call = 0; performance.now() < until; call += 1) {
            const key = `shared-${place}-${caller}-${call}`;
            const answer = await tryConsume(url, 'shared', { key: 'ai-tokens', amount: 0 }, key);
            if (answer === null) done.unknown += 1;
            else done.answered += 1;
          }
          return done;
        }),
      ),
    );
    const sum = (place: number, what: 'answered' | 'unknown') =>
      rounds.filter((round) => round.place === place).reduce((all, round) => all + round[what], 0);
    expect([sum(0, 'unknown'), sum(1, 'unknown')]).toEqual([0, 0]);
    const all = sum(0, 'answered') + sum(1, 'answered');
    expect(Math.min(sum(0, 'answered'), sum(1, 'answered'))).toBeGreaterThan(all * 0.15);
  });

  it('X-5 whoever comes to a customer whom another process has had for itself gets through at once', async () => {
    await customer(server, 'taken', 'enterprise');
    await warm(server, 'taken');
    const [one = '', other = ''] = processes.map(({ url }) => url);
    const startedAt = performance.now();
    const until = (milliseconds: number) => performance.now() - startedAt < milliseconds;
    const ask = (url: string, key: string) =>
      tryConsume(url, 'taken', { key: 'ai-tokens', amount: 0 }, `taken-${key}`);
    const busy = Array.from({ length: 48 }, async (_, caller) => {
      for (let call = 0; until(2000); call += 1) await ask(one, `${caller}-${call}`);
    });
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const answers: unknown[] = [];
    while (until(1900)) answers.push(await ask(other, `late-${answers.length}`));
    await Promise.all(busy);
    expect(answers).not.toContain(null);
    expect(answers.length).toBeGreaterThan(5);
  });

  it('X-5 one key at both processes at once is decided once', async () => {
    await customer(server, 'twice', 'pro');
    await warm(server, 'twice');
    const urls = processes.map((one) => one.url);
    for (let round = 0; round < 20; round += 1) {
      const key = idempotencyKey();
      const [one, two] = await Promise.all(
        urls.map((url) => consumeSurely([url], 'twice', { key: 'calling-minutes', amount: 1 }, key)),
      );
      expect(one).toEqual(two);
    }
    expect((await stored('twice', 'calling-minutes')).used).toBe(20);
  });

  it('survives kill -9 in the middle: what was answered holds, nothing is taken twice, nothing overshoots', async () => {
    await customer(server, 'crash', 'pro');
    await warm(server, 'crash');
    const victim = await startServerProcess(server);
    const urls = [victim.url, ...processes.map((one) => one.url)];
    const callers = Array.from({ length: 60 }, async (_, caller) => {
      const taken: Answer[] = [];
      for (let call = 0; call < 12; call += 1) {
        const turned = caller % 2 === 0 ? urls : urls.slice(1);
        const body = { key: 'ai-tokens', amount: 1 + ((caller + call) % 3) };
        taken.push(await consumeSurely(turned, 'crash', body, `crash-${caller}-${call}`));
      }
      return taken;
    });
    await new Promise((resolve) => setTimeout(resolve, 250));
    await victim.kill();
    const answers = (await Promise.all(callers)).flat();
    const taken = answers.reduce((sum, answer) => sum + answer.consumed, 0);
    const { used, calls, keys, consumed, most } = await stored('crash', 'ai-tokens');
    expect({ used, consumed, keys, calls }).toEqual({ used: taken, consumed: taken, keys: 720, calls: 720 });
    expect(most).toBeLessThanOrEqual(1000);
    expect(taken).toBeGreaterThan(990);
    expect(answers.some((answer) => !answer.allowed)).toBe(true);
  }, 90_000);
});
