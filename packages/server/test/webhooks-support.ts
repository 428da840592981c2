import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestServer } from '@pennon/testkit/test-server';

/* A listener on loopback, and short ways to make webhooks. */

export interface Received {
  readonly headers: http.IncomingHttpHeaders;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into events of every type.
  readonly event: any;
}

export interface HookListener {
  readonly url: string;
  readonly received: Received[];
  /** What is answered from now on; default 204. `null`: nothing, until something is answered again: then those connections end. */
  answer(status: number | null, headers?: Readonly<Record<string, string>>): void;
  of(type: string): readonly Received[];
  stop(): Promise<void>;
}

export async function listenForHooks(port = 0): Promise<HookListener> {
  const received: Received[] = [];
  let status: number | null = 204;
  let answered: Readonly<Record<string, string>> = {};
  let held: http.ServerResponse[] = [];
  const server = http.createServer(async (request, reply) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString('utf8');
    received.push({ headers: request.headers, text, event: JSON.parse(text) });
    if (status === null) held.push(reply);
    else reply.writeHead(status, answered).end();
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`,
    received,
    answer(next, headers = {}) {
      status = next;
      answered = headers;
      if (next === null) return;
      for (const reply of held) reply.destroy();
      held = [];
    },
    of: (type) => received.filter(({ event }) => event.type === type),
    async stop() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

export function hooksPath(server: TestServer, rest = ''): string {
  return `/api/v1/environments/${server.environment}/webhooks${rest}`;
}

export async function makeHook(
  server: TestServer,
  url: string,
  more: Readonly<Record<string, unknown>> = {},
): Promise<{ readonly id: string; readonly secret: string; readonly version: number }> {
  const made = await server.request('POST', hooksPath(server), { body: { url, reason: 'A test.', ...more } });
  if (made.status !== 201) throw new Error(made.text);
  return made.body;
}

async function grant(server: TestServer, url: string, customer: string, key: string): Promise<string | null> {
  const response = await fetch(`${url}/api/v1/environments/${server.environment}/grants`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${server.adminKey}`,
      'content-type': 'application/json',
      'idempotency-key': key,
    },
    body: JSON.stringify({
      target: { kind: 'customer', key: customer },
      kind: 'support',
      effect: { type: 'add', feature: 'calls', amount: 1 },
      reason: 'A test.',
    }),
    signal: AbortSignal.timeout(5000),
  }).catch(() => null);
  if (response?.status !== 201) return null;
  // The connection may end within the body: whoever has not read it asks again.
  const made = await response.json().catch(() => null);
  return made === null ? null : (made as { id: string }).id;
}

/** With one key at one process after the other, until somebody answers. */
export async function grantSurely(
  server: TestServer,
  urls: readonly string[],
  customer: string,
  key: string,
): Promise<string> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    const id = await grant(server, urls[attempt % urls.length] ?? server.url, customer, key);
    if (id !== null) return id;
    await new Promise((resolve) => setTimeout(resolve, 20 + Math.random() * 50));
  }
  throw new Error('No answer after 200 tries.');
}

/** As a listener reads the specification. */
export function isSignedWith(secret: string, { headers, text }: Received): boolean {
  const key = Buffer.from(secret.slice('whsec_'.length), 'base64');
  const signed = `${headers['webhook-id']}.${headers['webhook-timestamp']}.${text}`;
  const expected = `v1,${createHmac('sha256', key).update(signed).digest('base64')}`;
  return String(headers['webhook-signature']).split(' ').includes(expected);
}

/** As if all that waits were due. */
export async function makeDue(server: TestServer): Promise<void> {
  await server.parts.database.pool.query(
    `update webhook_delivery set next_attempt_at = now(), claimed_until = null where state = 'waiting'`,
  );
  server.parts.hookJobs.refresh();
}
