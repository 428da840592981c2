import { connect } from 'node:net';
import { startTestServer } from '@pennon/testkit/test-server';
import { expect, it } from 'vitest';

it('closes although somebody holds a connection on which nothing was ever asked', async () => {
  const server = await startTestServer();
  const { hostname, port } = new URL(server.url);
  const silent = connect(Number(port), hostname);
  await new Promise((resolve) => silent.once('connect', resolve));
  const ended = new Promise((resolve) => silent.once('close', resolve));
  silent.on('error', () => undefined);
  // An answered call: by now the server has taken the connection.
  expect((await server.request('GET', '/healthz')).status).toBe(200);
  await server.stop();
  await ended;
});
