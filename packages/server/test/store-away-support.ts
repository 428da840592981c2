import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import { Wire } from '@pennon/testkit/wire';
import { consume, customer, idempotencyKey, warm } from './runtime-support.js';

/* A server that reaches its database over a wire that can be cut, and one beside it that always does. */

const metered =
  'type: metered, category: limit, owner: team@example.com, purpose: A test, removal: permanent';
const monthly = 'reset: { every: month, anchor: license }';

export const AWAY_CATALOG = `
product: { key: test, name: Test }
features:
  - { key: hard-calls, ${metered}, ${monthly} }
  - { key: closed-calls, ${metered}, ${monthly}, enforcement: soft }
  - { key: open-calls, ${metered}, ${monthly}, enforcement: soft, overage: { amount: 2 }, onStoreAway: open }
  - { key: known-calls, ${metered}, ${monthly}, enforcement: soft, overage: { amount: 2 }, onStoreAway: lastKnown }
  - { key: seen-calls, ${metered}, ${monthly}, enforcement: observe, onStoreAway: open }
  - { key: user-calls, ${metered}, ${monthly}, per: user, enforcement: soft, onStoreAway: open }
  - { key: seats, ${metered}, reset: never, enforcement: soft, onStoreAway: open }
  - { key: tokens, ${metered}, ${monthly}, enforcement: observe, onStoreAway: open, measure: 'tokens_in + tokens_out' }
  - { key: not-sold, ${metered}, ${monthly}, enforcement: soft, onStoreAway: open }
plans:
  - key: pro
    entitlements:
      - { feature: hard-calls, value: 5 }
      - { feature: closed-calls, value: 5 }
      - { feature: open-calls, value: 5 }
      - { feature: known-calls, value: 5 }
      - { feature: seen-calls, value: 5 }
      - { feature: user-calls, value: 5 }
      - { feature: seats, value: 5 }
      - { feature: tokens, value: 100 }
`;

export interface AwayServers {
  readonly near: TestServer;
  readonly far: TestServer;
  readonly wire: Wire;
  /** Lines of the far one's log. */
  readonly lines: string[];
  readonly wiredUrl: string;
  stop(): Promise<void>;
}

export async function startAwayServers(): Promise<AwayServers> {
  const near = await startTestServer({ catalog: AWAY_CATALOG });
  const url = new URL(near.databaseUrl);
  const wire = new Wire(url.hostname, Number(url.port));
  url.host = `127.0.0.1:${await wire.listen()}`;
  // Not the socket, which goes before it.
  url.search = '';
  const lines: string[] = [];
  const keys = { admin: near.adminKey, server: near.serverKey, client: near.clientKey };
  const far = await startTestServer({
    databaseUrl: url.href,
    keys,
    onLogLine: (line) => lines.push(line),
    logLevel: 'info',
  });
  // Long before they are asked about: that one is new is heard of a moment later, and what was known of it is then forgotten.
  for (let number = 1; number <= CUSTOMERS; number += 1) await customer(near, nameOf(number), 'pro');
  await heardAgain(far);
  return {
    near,
    far,
    wire,
    lines,
    wiredUrl: url.href,
    async stop() {
      wire.goAway(false);
      await far.stop();
      wire.close();
      await near.stop();
    },
  };
}

const CUSTOMERS = 20;
let count = 0;

/** A customer of the plan that nobody has asked about, known to these processes. */
export async function known(...servers: readonly TestServer[]): Promise<string> {
  if (count === CUSTOMERS) throw new Error('Make more customers.');
  count += 1;
  const who = nameOf(count);
  for (const server of servers) await warm(server, who);
  return who;
}

function nameOf(number: number): string {
  return `away-${number}`;
}

/** What the database says of an account. */
export async function usedOf(near: TestServer, who: string, feature: string, scope = ''): Promise<number> {
  const { rows } = await near.parts.database.pool.query(
    `select a.used::int from account a join customer c on c.id = a.customer_id
     where c.key = $1 and a.feature = $2 and a.scope = $3`,
    [who, feature, scope],
  );
  return rows[0]?.used ?? 0;
}

/** Until nothing waits in that process's journal any more. */
export async function counted(server: TestServer): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (server.parts.storeAway.report().waiting > 0) {
    if (performance.now() > deadline) {
      throw new Error(`Not counted: ${JSON.stringify(server.parts.storeAway.report())}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Until the process has heard of its store again: it then forgets what it knew of customers, because it may have missed something. */
export async function heardAgain(server: TestServer): Promise<void> {
  const { clock, feed } = server.parts;
  const began = clock.now();
  while ((feed.knownUntil() ?? 0) <= began) {
    if (clock.now() - began > 20_000) throw new Error('The process does not hear of its store.');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Until the process has noticed; a hard consume is what notices nothing, so that an open one of nothing is asked. */
export async function awayNoticed(server: TestServer, who: string): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (server.parts.storeAway.report().awayMilliseconds === null) {
    if (performance.now() > deadline) throw new Error('The process has not noticed that its store is away.');
    await consume(server, who, { key: 'seen-calls', amount: 0 }, idempotencyKey());
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
