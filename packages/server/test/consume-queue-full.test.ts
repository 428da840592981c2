import { connect } from 'node:net';
import { LIMITS } from '@pennon/engine/model/limits';
import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { consume, customer, idempotencyKey, RUNTIME_CATALOG, warm } from './runtime-support.js';

/* What callers are told when more wait for one customer than may: at once, 503, and never a denial. */

const CONNECTIONS = 40;
/** So many may wait in this test: 2000 calls within the second in which they are told would be a test of the machine. */
const QUEUE = 200;
/** More than one batch and the queue behind it together. */
const CALLS = QUEUE + 4 * LIMITS.consumeBatch.value;

let server: TestServer;
beforeAll(async () => {
  const { value } = LIMITS.consumeQueue;
  Object.assign(LIMITS.consumeQueue, { value: QUEUE });
  try {
    server = await startTestServer({ catalog: RUNTIME_CATALOG });
  } finally {
    Object.assign(LIMITS.consumeQueue, { value });
  }
}, 90_000);
afterAll(() => server.stop());

interface Told {
  readonly token: string;
  readonly status: number;
  readonly retryAfter: string | null;
  readonly body: { readonly errorCode?: string; readonly errorDetails?: string };
}

/** All of them at once, one behind the other on each connection: no client waits for an answer before it asks again. */
function askTogether(who: string, tokens: readonly string[]): Promise<readonly Told[]> {
  const { hostname, port } = new URL(server.url);
  const body = JSON.stringify({ context: { targetingKey: who }, key: 'calling-minutes', amount: 1 });
  const text = (token: string) =>
    `POST /oep/v1/consume HTTP/1.1\r\nhost: ${hostname}\r\nauthorization: Bearer ${server.serverKey}\r\ncontent-type: application/json\r\nidempotency-key: ${token}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname, () => socket.write(tokens.map(text).join('')));
    let received = '';
    const told: Told[] = [];
    socket.setEncoding('utf8').on('error', reject);
    socket.on('data', (part: string) => {
      received += part;
      for (;;) {
        const end = received.indexOf('\r\n\r\n');
        const head = received.slice(0, end);
        const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
        if (end < 0 || received.length < end + 4 + length) return;
        told.push({
          token: tokens[told.length] ?? '',
          status: Number(head.split(' ')[1]),
          retryAfter: /retry-after: (\S+)/i.exec(head)?.[1] ?? null,
          body: JSON.parse(received.slice(end + 4, end + 4 + length)),
        });
        received = received.slice(end + 4 + length);
        if (told.length < tokens.length) continue;
        socket.destroy();
        resolve(told);
        return;
      }
    });
  });
}

describe('more calls for one customer than may wait', () => {
  it('X-5 OEP 503 are told so at once, none is denied, nothing is taken, and the same keys work afterwards', async () => {
    const who = 'crowded';
    await customer(server, who, 'pro');
    await warm(server, who);
    await consume(server, who, { key: 'calling-minutes', amount: 0 });
    const client = await server.parts.database.pool.connect();
    let full: readonly Told[] = [];
    try {
      await client.query('begin');
      await client.query('set local idle_in_transaction_session_timeout = 0');
      await client.query('select 1 from customer where key = $1 for update', [who]);
      // On a loaded machine a round may come in too slowly to fill the queue before the first of it are told.
      for (let round = 0; round < 6 && full.length < 20; round += 1) {
        const tokens = Array.from({ length: CALLS }, idempotencyKey);
        const each = CALLS / CONNECTIONS;
        const rounds = Array.from({ length: CONNECTIONS }, (_, index) =>
          askTogether(who, tokens.slice(Math.floor(index * each), Math.floor((index + 1) * each))),
        );
        const told = (await Promise.all(rounds)).flat();
        expect(told).toHaveLength(CALLS);
        for (const { status, retryAfter, body } of told) {
          expect([status, body.errorCode, retryAfter]).toEqual([503, 'UNAVAILABLE', '1']);
        }
        full = told.filter(({ body }) =>
          body.errorDetails?.startsWith('Too many requests for this customer'),
        );
      }
      // Whoever still waits for the lock would get it, and take what its callers were told nothing is known of.
      await expect.poll(() => server.parts.consumption.report().lanes, { timeout: 10_000 }).toBe(0);
    } finally {
      await client.query('rollback');
      client.release();
    }
    expect(full.length).toBeGreaterThanOrEqual(20);
    const { body: before } = await consume(server, who, { key: 'calling-minutes', amount: 0 });
    expect(before.entitlement.usage).toBe(0);
    const again = full.slice(0, 10).map(({ token }) => token);
    for (const token of [...again, ...again]) {
      const answer = await consume(server, who, { key: 'calling-minutes', amount: 1 }, token);
      expect([answer.status, answer.body.allowed]).toEqual([200, true]);
    }
    const { body: after } = await consume(server, who, { key: 'calling-minutes', amount: 0 });
    expect(after.entitlement.usage).toBe(10);
  }, 90_000);
});
