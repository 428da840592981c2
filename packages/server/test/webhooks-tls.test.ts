import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { type ServerProcess, startServerProcess } from '@pennon/testkit/server-process';
import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import { Webhook } from 'standardwebhooks';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { hooksPath, makeHook } from './webhooks-support.js';

/*
 * A listener with a certificate of an authority of its own, as intranets have them: believed where the process is told of that authority,
 * and for its own name only. The certificates are of nobody and hold until 2126.
 */

const fileOf = (name: string) => fileURLToPath(new URL(`./certificates/${name}`, import.meta.url));
const NETWORKS = '127.0.0.1,::1';

let server: TestServer;
let trusting: ServerProcess;
let listener: https.Server;
let port: number;
const received: { readonly headers: Record<string, string>; readonly text: string }[] = [];

beforeAll(async () => {
  const [cert, key] = [readFileSync(fileOf('localhost.pem')), readFileSync(fileOf('localhost.key'))];
  listener = https.createServer({ cert, key }, async (request, reply) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    received.push({
      headers: request.headers as Record<string, string>,
      text: Buffer.concat(chunks).toString('utf8'),
    });
    reply.writeHead(204).end();
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  port = (listener.address() as AddressInfo).port;
  server = await startTestServer({ webhookNetworks: NETWORKS.split(',') });
  trusting = await startServerProcess(server, {
    environment: { PENNON_WEBHOOK_NETWORKS: NETWORKS, NODE_EXTRA_CA_CERTS: fileOf('ca.pem') },
  });
}, 60_000);
afterAll(async () => {
  await trusting?.kill();
  await server?.stop();
  listener?.closeAllConnections();
  listener?.close();
});

async function test(url: string, id: string) {
  const response = await fetch(`${url}${hooksPath(server, `/${id}/test`)}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${server.adminKey}`, 'content-type': 'application/json' },
    body: JSON.stringify({ reason: 'Does it arrive?' }),
  });
  return (await response.json()) as {
    readonly outcome: string;
    readonly status: number | null;
    readonly why: string | null;
  };
}

it('S-6 is reached over TLS where its authority is known, and nowhere else', async () => {
  const { id, secret } = await makeHook(server, `https://localhost:${port}/hook`);
  expect(await test(trusting.url, id)).toMatchObject({ outcome: 'answered', status: 204, why: null });
  expect(received).toHaveLength(1);
  const [one] = received;
  if (one === undefined) throw new Error('Nothing arrived.');
  expect(new Webhook(secret).verify(one.text, one.headers)).toMatchObject({ type: 'webhook.test' });

  // The same certificate under another name, and the same name where nobody knows the authority: nothing is sent.
  const named = await makeHook(server, `https://127.0.0.1:${port}/hook`);
  expect(await test(trusting.url, named.id)).toMatchObject({ outcome: 'failed', status: null, why: 'tls' });
  expect(await test(server.url, id)).toMatchObject({ outcome: 'failed', status: null, why: 'tls' });
  expect(received).toHaveLength(1);
});
