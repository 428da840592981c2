import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { CloudEventSchema, HOOK_EVENTS, isHookEventType } from '@pennon/protocol/webhooks/events';
import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import { Compile } from 'typebox/compile';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { readToldEvents } from '../src/service/hooks/told-events.js';
import { newId } from '../src/service/new-id.js';
import { giveUpOverdue } from '../src/store/hook-deliveries.js';
import { NOTICES_CATALOG } from './notices-support.js';
import { consume, warm } from './runtime-support.js';
import {
  type HookListener,
  hooksPath,
  isSignedWith,
  listenForHooks,
  makeDue,
  makeHook,
} from './webhooks-support.js';

let server: TestServer;
let listener: HookListener;
const removed: string[] = [];

beforeAll(async () => {
  server = await startTestServer({ catalog: NOTICES_CATALOG, checkResponses: true });
  listener = await listenForHooks();
  await warm(server, 'anybody');
}, 60_000);
afterAll(async () => {
  await server?.stop();
  await listener?.stop();
});
afterEach(async () => {
  for (const id of removed.splice(0)) {
    await server.request('DELETE', hooksPath(server, `/${id}?reason=over`), { headers: { 'if-match': '*' } });
  }
  listener.answer(204);
  listener.received.splice(0);
});

async function hook(more: Readonly<Record<string, unknown>> = {}, url = listener.url) {
  const made = await makeHook(server, url, more);
  removed.push(made.id);
  return made;
}

function customer(path = '') {
  return `/api/v1/environments/${server.environment}/customers${path}`;
}

async function create(path: string, body: Readonly<Record<string, unknown>>) {
  const made = await server.request('POST', `/api/v1/environments/${server.environment}/${path}`, {
    body: { reason: 'A test.', ...body },
  });
  expect(made.status, made.text).toBe(201);
  return made.body;
}

async function arrived(type: string, count = 1) {
  await vi.waitFor(() => expect(listener.of(type).length).toBeGreaterThanOrEqual(count), {
    timeout: 8000,
    interval: 20,
  });
  return listener.of(type);
}

async function deliveriesOf(id: string, query = '') {
  const answer = await server.request('GET', hooksPath(server, `/${id}/deliveries${query}`));
  expect(answer.status, answer.text).toBe(200);
  return answer.body.items;
}

async function settled(id: string, event: string, state: string) {
  await vi.waitFor(
    async () => {
      const { body } = await server.request('GET', hooksPath(server, `/${id}/deliveries/${event}`));
      expect(body.state).toBe(state);
    },
    { timeout: 8000, interval: 30 },
  );
  return (await server.request('GET', hooksPath(server, `/${id}/deliveries/${event}`))).body;
}

describe('webhooks', () => {
  it('are told of every change in a signed CloudEvent that its schema describes, numbered for each customer', async () => {
    const { secret } = await hook();
    await create('customers', { key: 'told' });
    const license = await create('customers/told/licenses', { plan: 'free', kind: 'paid' });
    const grant = await create('grants', {
      target: { kind: 'customer', key: 'told' },
      kind: 'support',
      effect: { type: 'set', feature: 'calls', value: 4 },
    });
    await consume(server, 'told', { key: 'calls', amount: 4 });
    await server.publish(NOTICES_CATALOG.replace('warnAt: [90, 50]', 'warnAt: [90, 60]'));
    await arrived('catalog.published');
    await arrived('limit.reached');
    const told = listener.received.filter(({ event }) => event.data.customer === 'told');
    expect(told.map(({ event }) => event.type)).toEqual(
      expect.arrayContaining(['license.changed', 'grant.changed', 'limit.warned', 'limit.reached']),
    );
    for (const one of listener.received) {
      const { type } = one.event;
      expect(isSignedWith(secret, one)).toBe(true);
      expect(one.headers['webhook-id']).toBe(one.event.id);
      expect(one.headers['content-type']).toBe('application/cloudevents+json');
      expect(Compile(CloudEventSchema).Errors(one.event)).toEqual([]);
      if (!isHookEventType(type)) throw new Error(type);
      expect(Compile(HOOK_EVENTS[type]).Errors(one.event.data), type).toEqual([]);
    }
    const numbers = told.map(({ event }) => Number(event.sequence)).sort((left, right) => left - right);
    expect(numbers).toEqual(numbers.map((_, index) => index + 1));
    const [licensed] = listener.of('license.changed');
    expect(licensed?.event).toMatchObject({
      subject: `license/${license.id}`,
      data: { action: 'license.create', customer: 'told', license: { id: license.id, customer: 'told' } },
    });
    const [granted] = listener.of('grant.changed');
    expect(granted?.event.data).toMatchObject({ action: 'grant.create', grant: { id: grant.id } });
    // Of two changes the later one has the higher version.
    expect(granted?.event.data.customerVersion).toBeGreaterThan(licensed?.event.data.customerVersion);
  });

  it('are told only of what they ask for', async () => {
    await hook({ types: ['grant.changed'] });
    await create('customers', { key: 'choosy' });
    await create('customers/choosy/licenses', { plan: 'free', kind: 'paid' });
    await create('grants', {
      target: { kind: 'customer', key: 'choosy' },
      kind: 'support',
      effect: { type: 'unlimited', feature: 'calls' },
    });
    await arrived('grant.changed');
    expect(new Set(listener.received.map(({ event }) => event.type))).toEqual(new Set(['grant.changed']));
  });

  it('name the person of a grant to the listener, and keep nobody’s name in the outbox', async () => {
    await hook({ types: ['grant.changed', 'membership.changed'] });
    await create('grants', {
      target: { kind: 'user', key: 'ann@example.com' },
      kind: 'support',
      effect: { type: 'unlimited', feature: 'mine' },
    });
    const [granted] = await arrived('grant.changed');
    expect(granted?.event.data.grant.target).toEqual({ kind: 'user', key: 'ann@example.com' });
    expect(granted?.event.data.customer).toBeNull();
    const { rows } = await server.parts.database.pool.query(
      `select 1 from outbox_event where position('ann@example.com' in data) > 0`,
    );
    expect(rows).toEqual([]);
  });

  it('are sent the same id and body again until they accept, and each attempt is logged', async () => {
    const { id } = await hook({ types: ['grant.changed'] });
    listener.answer(500);
    await create('customers', { key: 'again' });
    await create('grants', {
      target: { kind: 'customer', key: 'again' },
      kind: 'support',
      effect: { type: 'unlimited', feature: 'calls' },
    });
    const [first] = await arrived('grant.changed');
    const event = first?.event.id;
    await vi.waitFor(async () => expect((await deliveriesOf(id))[0]).toMatchObject({ attempts: 1 }));
    await vi.waitFor(async () => {
      const { body } = await server.request('GET', hooksPath(server, `/${id}/deliveries/${event}`));
      expect(body.log).toHaveLength(1);
    });
    listener.answer(204);
    await makeDue(server);
    await arrived('grant.changed', 2);
    const [, second] = listener.of('grant.changed');
    expect(second?.text).toBe(first?.text);
    expect(second?.headers['webhook-id']).toBe(event);
    const done = await settled(id, event, 'delivered');
    expect(done.log).toMatchObject([
      { attempt: 1, outcome: 'answered', status: 500 },
      { attempt: 2, outcome: 'answered', status: 204 },
    ]);
  });

  it('are given up after the last attempt, listed as dead, and sent by a replay', async () => {
    const { id } = await hook({ types: ['grant.changed'] });
    listener.answer(500);
    await create('customers', { key: 'dead' });
    await create('grants', {
      target: { kind: 'customer', key: 'dead' },
      kind: 'support',
      effect: { type: 'unlimited', feature: 'calls' },
    });
    const [first] = await arrived('grant.changed');
    const event = first?.event.id;
    await vi.waitFor(async () => {
      const { body } = await server.request('GET', hooksPath(server, `/${id}/deliveries/${event}`));
      expect(body.log).toHaveLength(1);
    });
    await server.parts.database.pool.query(
      `update webhook_delivery set attempts = 11, next_attempt_at = now(), claimed_until = null where event_id = $1`,
      [event],
    );
    server.parts.hookJobs.refresh();
    await settled(id, event, 'dead');
    expect((await deliveriesOf(id, '?state=dead')).map((one: { event: string }) => one.event)).toEqual([
      event,
    ]);
    listener.answer(204);
    const replay = (body: Readonly<Record<string, unknown>>) =>
      server.request('POST', hooksPath(server, `/${id}/replay`), {
        body: { reason: 'Back again.', ...body },
      });
    const replayed = await replay({ from: '2020-01-01T00:00:00Z' });
    expect(replayed.body).toEqual({ replayed: 1, nextFrom: null });
    await settled(id, event, 'delivered');
    const before = listener.received.length;
    expect((await replay({ events: [event] })).body.replayed).toBe(1);
    await vi.waitFor(() => expect(listener.received.length).toBe(before + 1), { timeout: 5000 });
    expect((await replay({ from: '2020-01-01T00:00:00Z' })).body.replayed).toBe(0);
    expect((await replay({ from: '2020-01-01T00:00:00Z', dead: false })).body.replayed).toBeGreaterThan(0);
    expect((await replay({})).body.code).toBe('REPLAY_UNCLEAR');
    // As if twelve processes in a row had ended with it in hand: nobody sends it to end a thirteenth.
    await settled(id, event, 'delivered');
    const sent = listener.received.length;
    await server.parts.database.pool.query(
      `update webhook_delivery set state = 'waiting', attempts = 12, next_attempt_at = now(), claimed_until = null, ended_at = null
       where webhook_id = $1 and event_id = $2`,
      [id, event],
    );
    server.parts.hookJobs.refresh();
    const { log } = await settled(id, event, 'dead');
    expect(log.at(-1)).toMatchObject({ attempt: 13, outcome: 'refused', why: 'attempts-lost' });
    expect(listener.received.length).toBe(sent);
  });

  it('rotate: both secrets sign while they overlap, then the new one only', async () => {
    const { id, secret } = await hook({ types: ['grant.changed'] });
    const rotate = (overlapSeconds: number) =>
      server.request('POST', hooksPath(server, `/${id}/rotate`), {
        headers: { 'if-match': '*' },
        body: { overlapSeconds, reason: 'It is time.' },
      });
    const second = (await rotate(3600)).body.secret as string;
    const test = async () => {
      const answer = await server.request('POST', hooksPath(server, `/${id}/test`), {
        body: { reason: 'Does it arrive?' },
      });
      expect(answer.body).toMatchObject({ accepted: true, outcome: 'answered', status: 204, why: null });
      const last = listener.received.at(-1);
      if (last === undefined) throw new Error('Nothing arrived.');
      return last;
    };
    const both = await test();
    expect(both.event.type).toBe('webhook.test');
    expect([isSignedWith(secret, both), isSignedWith(second, both)]).toEqual([true, true]);
    const third = (await rotate(0)).body.secret as string;
    const after = await test();
    expect([secret, second, third].map((one) => isSignedWith(one, after))).toEqual([false, false, true]);
  });

  it('S-6 refuse an inner address at create, at change and at a test', async () => {
    const refused = [
      'http://127.0.0.2/',
      'https://169.254.169.254/',
      'https://[::1]/',
      'https://u:p@example.com/',
    ];
    for (const url of refused) {
      const made = await server.request('POST', hooksPath(server), { body: { url, reason: 'A test.' } });
      expect(made.status, url).toBe(422);
      expect(made.body.code).toMatch(/^URL_/);
    }
    const { id } = await hook();
    for (const url of refused) {
      const changed = await server.request('PATCH', hooksPath(server, `/${id}`), {
        headers: { 'if-match': '*' },
        body: { url, reason: 'A test.' },
      });
      expect(changed.status, url).toBe(422);
    }
    await server.parts.database.pool.query(`update webhook set url = 'http://127.0.0.2/' where id = $1`, [
      id,
    ]);
    const tested = await server.request('POST', hooksPath(server, `/${id}/test`), {
      body: { reason: 'A test.' },
    });
    expect(tested.body).toMatchObject({ accepted: false, outcome: 'refused', status: null });
  });

  it('a listener that is gone switches its webhook off, which the audit trail says', async () => {
    const { id } = await hook({ types: ['grant.changed'] });
    listener.answer(410);
    await create('customers', { key: 'gone' });
    await create('grants', {
      target: { kind: 'customer', key: 'gone' },
      kind: 'support',
      effect: { type: 'unlimited', feature: 'calls' },
    });
    await vi.waitFor(
      async () => {
        const { body } = await server.request('GET', hooksPath(server, `/${id}`));
        expect(body).toMatchObject({ state: 'disabled', stateReason: 'gone', version: 2 });
      },
      { timeout: 8000 },
    );
    const trail = await server.request(
      'GET',
      `/api/v1/environments/${server.environment}/audit?objectKind=webhook&objectId=${id}`,
    );
    expect(trail.body.items[0]).toMatchObject({ action: 'webhook.disable', actor: { kind: 'system' } });
    expect(trail.text).not.toContain(listener.url);
  });

  it('one of an environment that a process has not heard of yet waits, and one that is kept no longer does not', async () => {
    await hook({ types: ['grant.changed'] });
    await create('customers', { key: 'new-here' });
    await create('grants', {
      target: { kind: 'customer', key: 'new-here' },
      kind: 'support',
      effect: { type: 'unlimited', feature: 'calls' },
    });
    const [first] = await arrived('grant.changed');
    const { database, directory } = server.parts;
    const asked = await database.kysely
      .selectFrom('outbox_event')
      .select(['id as event_id', 'environment_id', 'occurred_at'])
      .where('id', '=', first?.event.id)
      .execute();
    const told = await readToldEvents(database.kysely, directory, asked);
    expect(told.get(first?.event.id)?.environment).toBe(server.environment);
    for (const blind of [
      { ...directory, environment: () => null },
      { ...directory, product: () => null },
    ]) {
      expect([...(await readToldEvents(database.kysely, blind, asked)).values()]).toEqual([null]);
    }
    const forgotten = asked.map((one) => ({ ...one, event_id: newId() }));
    expect((await readToldEvents(database.kysely, directory, forgotten)).size).toBe(0);
  });

  it('the last word of a listener that was left does not switch off the one that came after it', async () => {
    let asked = () => undefined as unknown;
    const isAsked = new Promise((resolve) => {
      asked = () => resolve(null);
    });
    let answerGone = () => undefined as unknown;
    const left = createServer((request, reply) => {
      request.resume();
      answerGone = () => reply.writeHead(410).end();
      asked();
    });
    left.listen(0, '127.0.0.1');
    await once(left, 'listening');
    const { port } = left.address() as AddressInfo;
    const { id } = await hook({ types: ['grant.changed'] }, `http://127.0.0.1:${port}/`);
    await create('customers', { key: 'moved' });
    await create('grants', {
      target: { kind: 'customer', key: 'moved' },
      kind: 'support',
      effect: { type: 'unlimited', feature: 'calls' },
    });
    await isAsked;
    const moved = await server.request('PATCH', hooksPath(server, `/${id}`), {
      headers: { 'if-match': '*' },
      body: { url: listener.url, reason: 'Moved.' },
    });
    expect(moved.status, moved.text).toBe(200);
    answerGone();
    await vi.waitFor(async () => expect(await deliveriesOf(id, '?state=dead')).toHaveLength(1), {
      timeout: 8000,
    });
    const { body } = await server.request('GET', hooksPath(server, `/${id}`));
    expect(body).toMatchObject({ state: 'enabled', stateReason: null, url: listener.url });
    left.close();
    left.closeAllConnections();
  });

  it('what a dead listener left no turn to for a day is dead too, and what a well one has is not', async () => {
    listener.answer(500);
    const { id } = await hook({ types: ['grant.changed'] });
    const well = await listenForHooks();
    const other = await hook({ types: ['membership.changed'] }, well.url);
    await create('customers', { key: 'late' });
    for (let round = 0; round < 6; round += 1) {
      await create('grants', {
        target: { kind: 'customer', key: 'late' },
        kind: 'support',
        effect: { type: 'add', feature: 'calls', amount: 1 },
      });
    }
    const read = async (one: string) => (await server.request('GET', hooksPath(server, `/${one}`))).body;
    await vi.waitFor(
      async () => {
        await makeDue(server);
        expect((await read(id)).failingSince).toEqual(expect.any(String));
      },
      { timeout: 8000 },
    );
    expect((await read(other.id)).failingSince).toBeNull();
    const renewed = await server.request('PATCH', hooksPath(server, `/${id}`), {
      headers: { 'if-match': '*' },
      body: { state: 'enabled', reason: 'Perhaps it is mended.' },
    });
    expect(renewed.body.failingSince).toBeNull();
    // It is not, and that is noted again.
    await vi.waitFor(
      async () => {
        await makeDue(server);
        expect((await read(id)).failingSince).toEqual(expect.any(String));
      },
      { timeout: 8000 },
    );
    await vi.waitFor(async () => expect(await deliveriesOf(id)).toHaveLength(6), { timeout: 8000 });
    // In one transaction, so that none of them is tried in between.
    await server.parts.database.kysely.transaction().execute(async (transaction) => {
      const at = new Date(Date.now() - 25 * 3_600_000);
      await transaction.updateTable('webhook').set({ failing_since: at }).where('id', '=', id).execute();
      await transaction
        .updateTable('webhook_delivery')
        .set({ next_attempt_at: at, claimed_until: null })
        .where('webhook_id', '=', id)
        .execute();
      await giveUpOverdue(transaction, new Date(Date.now() - 24 * 3_600_000), 100);
    });
    expect(await deliveriesOf(id, '?state=dead')).toHaveLength(6);
    listener.answer(204);
    const replay = { from: '2020-01-01T00:00:00Z', reason: 'Back again.' };
    await server.request('POST', hooksPath(server, `/${id}/replay`), { body: replay });
    await vi.waitFor(async () => expect((await read(id)).failingSince).toBeNull(), { timeout: 8000 });
    await well.stop();
  }, 30_000);

  it('one that is dead delays no other', async () => {
    const dead = await listenForHooks();
    dead.answer(null);
    await hook({ types: ['grant.changed'] }, dead.url);
    await hook({ types: ['grant.changed'] });
    await create('customers', { key: 'many' });
    const before = performance.now();
    for (let round = 0; round < 60; round += 1) {
      await create('grants', {
        target: { kind: 'customer', key: 'many' },
        kind: 'support',
        effect: { type: 'add', feature: 'calls', amount: 1 },
      });
    }
    await arrived('grant.changed', 60);
    // The dead one holds each of its requests for 15 seconds.
    expect(performance.now() - before).toBeLessThan(12_000);
    expect(dead.received.length).toBeGreaterThan(0);
    await dead.stop();
  }, 30_000);

  it('nothing is written for an environment in which nobody listens', async () => {
    const count = async () =>
      Number(
        (
          await server.parts.database.pool.query(
            `select count(*) as n from outbox_event where type = 'grant.changed'`,
          )
        ).rows[0].n,
      );
    const before = await count();
    await create('customers', { key: 'quiet' });
    await create('grants', {
      target: { kind: 'customer', key: 'quiet' },
      kind: 'support',
      effect: { type: 'unlimited', feature: 'calls' },
    });
    expect(await count()).toBe(before);
    expect((await server.request('GET', customer('/quiet'))).status).toBe(200);
  });
});
