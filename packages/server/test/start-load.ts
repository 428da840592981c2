import { expect } from 'vitest';
import { type Answer, asker, type Keys } from './start-support.js';

/* Consumes and publishes without a pause while a server is killed, and afterwards holds it to every word that it gave. */

const CUSTOMER = 'loaded';
const FEATURE = 'calling-minutes';
const FLAG = '/api/v1/products/saleshub/flags/load-number';
const CONSUMERS = 4;
/** Its only variant counts the publishes, so that the answer of an evaluation tells which of them is served. */
const COUNTING_FLAG = {
  key: 'load-number',
  type: 'integer',
  category: 'release',
  owner: 'team@example.com',
  purpose: 'Counts the publishes',
  removal: 'After the test',
  expires: '2099-01-01',
  variants: { count: 0 },
  default: 'count',
  off: 'count',
};

export interface Load {
  /** Resolves once that many consumes and at least one publish were acknowledged. */
  running(consumes: number): Promise<void>;
  /** Lets everything under way come to its end. */
  stop(): Promise<void>;
  /** How many consumes were acknowledged. */
  acknowledged(): number;
  /**
   * What was acknowledged is there, answers to a replay are the same, and what nobody heard of happened wholly or not at all: sent
   * again under its key it is counted once.
   */
  expectKept(address: string): Promise<void>;
}

/** Begins after a customer with room for all of it was made. */
export async function startLoad(address: string, keys: Keys): Promise<Load> {
  const admin = asker(address, keys.admin);
  const server = asker(address, keys.server);
  const customer = `/api/v1/environments/production/customers/${CUSTOMER}`;
  expect((await admin('PUT', customer, { name: 'Loaded', reason: 'a test' })).status).toBe(201);
  const license = { product: 'saleshub', plan: 'enterprise', planVersion: 0, kind: 'paid', reason: 'a test' };
  expect((await admin('POST', `${customer}/licenses`, license)).status).toBe(201);
  const made = await admin('PUT', `${FLAG}?reason=load`, COUNTING_FLAG, { 'if-none-match': '*' });
  expect(made.status, JSON.stringify(made.body)).toBe(201);
  const before = await headRevision(address, keys);

  const sent: string[] = [];
  const answers = new Map<string, Answer>();
  const published = { sent: 0, made: 0, acknowledged: 0 };
  let stopped = false;

  async function consumeOn(worker: number): Promise<void> {
    for (let number = 0; !stopped; number += 1) {
      const key = `load-${worker}-${number}`;
      sent.push(key);
      const answer = await consume(server, key).catch(() => null);
      if (answer?.status === 200) answers.set(key, answer);
      else await pause();
    }
  }

  async function publishOn(): Promise<void> {
    while (!stopped) {
      const number = published.sent + 1;
      published.sent = number;
      const answer = await publish(admin, number).catch(() => null);
      if (answer?.status === 200) {
        published.acknowledged = number;
        published.made += 1;
      } else await pause();
    }
  }

  const work = [publishOn(), ...Array.from({ length: CONSUMERS }, (_, worker) => consumeOn(worker))];
  return {
    acknowledged: () => answers.size,
    async running(consumes) {
      await expect.poll(() => answers.size, { timeout: 30_000 }).toBeGreaterThanOrEqual(consumes);
      await expect.poll(() => published.acknowledged, { timeout: 30_000 }).toBeGreaterThanOrEqual(1);
    },
    async stop() {
      stopped = true;
      await Promise.all(work);
    },
    async expectKept(laterAddress) {
      const later = asker(laterAddress, keys.server);
      const usage = await readUsage(later);
      expect(usage).toBeGreaterThanOrEqual(answers.size);
      expect(usage).toBeLessThanOrEqual(sent.length);
      const queue = sent.values();
      await Promise.all(
        Array.from({ length: 16 }, async () => {
          for (const key of queue) {
            const again = await known(() => consume(later, key));
            expect(again.status, JSON.stringify(again.body)).toBe(200);
            const acknowledged = answers.get(key);
            if (acknowledged !== undefined) expect(again.body).toEqual(acknowledged.body);
          }
        }),
      );
      expect(await readUsage(later)).toBe(sent.length);

      const flag = await asker(laterAddress, keys.admin)('GET', FLAG);
      const number = Number((flag.body.variants as { count: number }).count);
      expect(number).toBeGreaterThanOrEqual(published.acknowledged);
      expect(number).toBeLessThanOrEqual(published.sent);
      // Every change is one revision: none without its content, and what is stored is what is served.
      const revisions = (await headRevision(laterAddress, keys)) - before;
      expect(revisions).toBeGreaterThanOrEqual(published.made);
      expect(revisions).toBeLessThanOrEqual(number);
      expect(await servedNumber(later)).toBe(number);
    },
  };
}

type Asked = ReturnType<typeof asker>;

function consume(ask: Asked, key: string): Promise<Answer> {
  const body = { context: { targetingKey: CUSTOMER }, key: FEATURE, amount: 1 };
  return ask('POST', '/oep/v1/consume', body, { 'idempotency-key': key });
}

function publish(ask: Asked, number: number): Promise<Answer> {
  const body = { variants: { count: number } };
  return ask('PATCH', `${FLAG}?reason=load`, body, { 'if-match': '*' });
}

async function readUsage(ask: Asked): Promise<number> {
  const question = { context: { targetingKey: CUSTOMER } };
  const { status, body } = await known(() =>
    ask('POST', `/oep/v1/evaluate/entitlements/${FEATURE}`, question),
  );
  expect(status, JSON.stringify(body)).toBe(200);
  return Number(body.usage);
}

async function headRevision(address: string, keys: Keys): Promise<number> {
  const { body } = await asker(address, keys.admin)('GET', '/api/v1/products/saleshub');
  return Number(body.headRevision);
}

async function servedNumber(ask: Asked): Promise<unknown> {
  const { body } = await ask('POST', '/ofrep/v1/evaluate/flags/load-number', {
    context: { targetingKey: CUSTOMER },
  });
  return body.value;
}

/** Asks again while the answer is 503: a cold look-up on a busy machine may pass its deadline, and says with it that nothing is known yet. */
async function known(ask: () => Promise<Answer>): Promise<Answer> {
  for (let tries = 1; ; tries += 1) {
    const answer = await ask();
    if (answer.status !== 503 || tries === 50) return answer;
    await pause();
  }
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 20));
}
