import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ServerProcess, startServerProcess } from '@pennon/testkit/server-process';
import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { type KeptDatabase, keepEmbeddedDatabase } from '../src/store/embedded/keep-embedded-database.js';
import { endDatabaseIn } from './embedded-support.js';
import { NOTICES_CATALOG } from './notices-support.js';
import { entitlement, warm } from './runtime-support.js';
import { grantSurely, type HookListener, listenForHooks, makeDue, makeHook } from './webhooks-support.js';

/* No outbound event is lost through `kill -9` of PostgreSQL and of a process, nor told under another id. */

const CUSTOMERS = ['one', 'two', 'three'];
const GRANTS = 15;

let kept: KeptDatabase;
let server: TestServer;
let listener: HookListener;
const victims: ServerProcess[] = [];
const directories: string[] = [];

beforeAll(async () => {
  listener = await listenForHooks();
  kept = await startDatabase();
  server = await startTestServer({ databaseUrl: kept.url(), catalog: NOTICES_CATALOG });
  await warm(server, 'anybody');
}, 90_000);
afterAll(async () => {
  for (const victim of victims) await victim.kill();
  await server?.stop();
  await kept?.stop();
  await listener?.stop();
  for (const directory of directories) {
    endDatabaseIn(join(directory, 'postgres'));
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  }
});

/** As it runs with users: every commit is on disk. */
function startDatabase(): Promise<KeptDatabase> {
  const directory = mkdtempSync(join(tmpdir(), 'pennon-hooks-'));
  chmodSync(directory, 0o711);
  directories.push(directory);
  return keepEmbeddedDatabase({ directory: join(directory, 'postgres') });
}

async function startVictim(): Promise<ServerProcess> {
  const victim = await startServerProcess(server);
  victims.push(victim);
  return victim;
}

/** Each event once, in the order of its stream. */
function eventsOf(customer: string) {
  const bodies = new Map<string, string>();
  for (const { headers, text, event } of listener.received) {
    expect(headers['webhook-id']).toBe(event.id);
    // One id, one body, over processes and restarts of the database.
    expect(bodies.get(event.id) ?? text).toBe(text);
    bodies.set(event.id, text);
  }
  return [...bodies.values()]
    .map((text) => JSON.parse(text))
    .filter(({ data }) => data.customer === customer)
    .sort((left, right) => (left.sequence < right.sequence ? -1 : 1));
}

describe('webhooks, killed', () => {
  it('lose nothing: with the database, with a process, with both', async () => {
    for (const key of CUSTOMERS) {
      const path = `/api/v1/environments/${server.environment}/customers`;
      const made = await server.request('POST', path, { body: { key, reason: 'A test.' } });
      expect(made.status, made.text).toBe(201);
    }
    await makeHook(server, listener.url);
    const granted: string[] = [];
    const kills: ((victim: ServerProcess) => Promise<void>)[] = [
      async () => void process.kill(kept.pid(), 'SIGKILL'),
      (victim) => victim.kill(),
      async (victim) => {
        process.kill(kept.pid(), 'SIGKILL');
        await victim.kill();
      },
    ];
    for (const [round, kill] of kills.entries()) {
      const victim = await startVictim();
      const callers = CUSTOMERS.map(async (customer) => {
        for (let call = 0; call < GRANTS; call += 1) {
          granted.push(
            await grantSurely(server, [victim.url, server.url], customer, `${round}-${customer}-${call}`),
          );
        }
      });
      // What arrives meanwhile is left unanswered, so that whoever dies does it with deliveries in hand.
      listener.answer(null);
      await new Promise((resolve) => setTimeout(resolve, 700));
      await kill(victim);
      listener.answer(204);
      await Promise.all(callers);
      await victim.kill();
    }
    expect(new Set(granted).size).toBe(kills.length * CUSTOMERS.length * GRANTS);

    await vi.waitFor(
      async () => {
        // As if the claims of the dead had lapsed.
        await makeDue(server);
        const told = new Set(listener.of('grant.changed').map(({ event }) => event.data.grant.id));
        expect(granted.filter((id) => !told.has(id))).toEqual([]);
        const { rows } = await server.parts.database.pool.query(
          `select (select count(*) from state_due)::int as due, (select count(*) from outbox_event where sequence is null)::int as fresh,
             (select count(*) from webhook_delivery where state <> 'delivered')::int as waiting`,
        );
        expect(rows[0]).toEqual({ due: 0, fresh: 0, waiting: 0 });
      },
      { timeout: 60_000, interval: 500 },
    );

    for (const customer of CUSTOMERS) {
      const events = eventsOf(customer);
      expect(events.map(({ sequence }) => Number(sequence))).toEqual(events.map((_, index) => index + 1));
      expect(events.filter(({ type }) => type === 'grant.changed')).toHaveLength(kills.length * GRANTS);
      // What was told last is how it is.
      const answer = await entitlement(server, 'calls', customer, { consistency: 'strong' });
      expect(answer.body.limit.value).toBe(10 + kills.length * GRANTS);
      // Each says what the one before said last: nothing was told twice under two ids, and nothing in between was lost.
      const chain = events.filter(
        ({ type, data }) => type === 'entitlement.changed' && data.feature === 'calls',
      );
      expect(chain[0]?.data.before).toMatchObject({ limit: { value: 10 } });
      for (const [index, { data }] of chain.slice(1).entries()) {
        expect(data.before).toEqual(chain[index]?.data.after);
      }
      const last = (type: string) => events.findLast((event) => event.type === type)?.data;
      expect(last('entitlement.changed')).toMatchObject({
        feature: 'calls',
        after: { limit: answer.body.limit },
      });
      expect(last('customer.state_changed').grants).toHaveLength(kills.length * GRANTS);
    }
  }, 180_000);

  it('go on after a dump was restored: under the next numbers, and with what was not numbered yet', async () => {
    const target = await startDatabase();
    const keys = { admin: server.adminKey, server: server.serverKey, client: server.clientKey };
    await (await startTestServer({ databaseUrl: target.url(), keys })).stop();
    await copyRows(server.databaseUrl, target.url());
    // As if the dump was taken just after the commit.
    const { rows: open } = await queryOnce(
      target.url(),
      `update outbox_event set sequence = null where id = (select max(id::text)::uuid from outbox_event)
       returning id, coalesce(customer_id, environment_id) as stream`,
    );
    const { rows: ids } = await queryOnce(
      target.url(),
      `select transaction_id >= pg_snapshot_xmax(pg_current_snapshot()) as "isAhead" from outbox_event where sequence is null`,
    );
    expect(ids).toContainEqual({ isAhead: true });

    const restored = await startTestServer({ databaseUrl: target.url(), keys });
    try {
      const { pool: own } = restored.parts.database;
      const numbered = async () =>
        (await own.query('select sequence from outbox_event where id = $1', [open[0].id])).rows[0].sequence;
      // The lease of whoever numbered came with the dump, and runs out first.
      await vi.waitFor(async () => expect(await numbered()).toEqual(expect.any(Number)), { timeout: 20_000 });
      const { rows: streams } = await own.query(
        'select last_sequence from event_stream where stream_id = $1',
        [open[0].stream],
      );
      expect(streams).toEqual([{ last_sequence: await numbered() }]);
      // What an operator does whose listeners were told more than the dump knows: see the reference.
      await own.query('update event_stream set last_sequence = last_sequence + 1000000');
      const granted = await grantSurely(restored, [restored.url], 'one', 'after');
      await vi.waitFor(
        () => {
          const after = eventsOf('one').filter(({ sequence }) => Number(sequence) > 1_000_000);
          expect(after[0]).toMatchObject({ type: 'grant.changed', data: { grant: { id: granted } } });
        },
        { timeout: 10_000 },
      );
    } finally {
      await restored.stop();
      await target.stop();
    }
  }, 90_000);
});

async function queryOnce(url: string, text: string, values: readonly unknown[] = []) {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await client.query(text, [...values]);
  } finally {
    await client.end();
  }
}

/** What `pg_dump` and `pg_restore` do to the rows; both clusters have the tables already. */
async function copyRows(from: string, to: string): Promise<void> {
  const { rows: tables } = await queryOnce(
    from,
    `select relname as name from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')
       and not relispartition and relname not like 'schema_migration%'`,
  );
  const target = new pg.Client({ connectionString: to });
  await target.connect();
  try {
    await target.query('set session_replication_role = replica');
    for (const { name } of tables) {
      const { rows } = await queryOnce(
        from,
        `select coalesce(json_agg(t), '[]')::text as all from "${name}" t`,
      );
      await target.query(`delete from "${name}"`);
      await target.query(
        `insert into "${name}" select * from json_populate_recordset(null::"${name}", $1::json)`,
        [rows[0].all],
      );
    }
  } finally {
    await target.end();
  }
}
