import { type ServerProcess, startServerProcess } from '@pennon/testkit/server-process';
import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { NOTICES_CATALOG } from './notices-support.js';
import { warm } from './runtime-support.js';
import { grantSurely, type HookListener, listenForHooks, makeDue, makeHook } from './webhooks-support.js';

/* The law of webhooks: what was acknowledged is told, under one id, over processes that are killed while they number and send. */

let server: TestServer;
let listener: HookListener;

beforeAll(async () => {
  listener = await listenForHooks();
  server = await startTestServer({ catalog: NOTICES_CATALOG });
  await warm(server, 'anybody');
}, 90_000);
afterAll(async () => {
  await server?.stop();
  await listener?.stop();
});

const CUSTOMERS = ['one', 'two', 'three'];
const GRANTS = 25;

describe('webhooks of several processes over one database', () => {
  it('through kill -9 tell every acknowledged change, under one id and body, numbered without a gap', async () => {
    for (const customer of CUSTOMERS) {
      const made = await server.request('POST', `/api/v1/environments/${server.environment}/customers`, {
        body: { key: customer, reason: 'A test.' },
      });
      expect(made.status).toBe(201);
    }
    await makeHook(server, listener.url, { types: ['grant.changed'] });
    const granted: string[] = [];
    for (let round = 0; round < 2; round += 1) {
      const victim: ServerProcess = await startServerProcess(server);
      const urls = [victim.url, server.url];
      const callers = CUSTOMERS.map(async (customer) => {
        for (let call = 0; call < GRANTS; call += 1) {
          granted.push(await grantSurely(server, urls, customer, `${round}-${customer}-${call}`));
        }
      });
      // Every other request of the listener's is left unanswered, so that the victim dies with deliveries in hand.
      listener.answer(null);
      await new Promise((resolve) => setTimeout(resolve, 400 + round * 250));
      await victim.kill();
      listener.answer(204);
      await Promise.all(callers);
    }
    const told = () => new Set(listener.received.map(({ event }) => event.data.grant.id as string));
    await vi.waitFor(
      async () => {
        // As if the claims of the dead had lapsed.
        await makeDue(server);
        expect(granted.filter((id) => !told().has(id))).toEqual([]);
      },
      { timeout: 60_000, interval: 500 },
    );
    expect(granted).toHaveLength(2 * CUSTOMERS.length * GRANTS);

    const bodies = new Map<string, string>();
    for (const { headers, text, event } of listener.received) {
      expect(headers['webhook-id']).toBe(event.id);
      expect(bodies.get(event.id) ?? text).toBe(text);
      bodies.set(event.id, text);
    }
    expect(bodies.size).toBe(granted.length);
    const events = [...bodies.values()].map((text) => JSON.parse(text));
    for (const customer of CUSTOMERS) {
      const own = events.filter(({ data }) => data.customer === customer);
      const numbers = own.map(({ sequence }) => Number(sequence)).sort((left, right) => left - right);
      expect(numbers).toEqual(Array.from({ length: 2 * GRANTS }, (_, index) => index + 1));
    }
  }, 120_000);
});
