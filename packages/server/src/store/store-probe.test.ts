import { createServer, type Socket } from 'node:net';
import { expect, it } from 'vitest';
import { createStoreProbe } from './store-probe.js';

/** As much of a database as a probe asks: it answers what is set, and the commit when it is told to. */
async function standbyAway() {
  const commits: Socket[] = [];
  const message = (type: string, body: Buffer): Buffer => {
    const head = Buffer.alloc(5);
    head.write(type, 'latin1');
    head.writeInt32BE(body.length + 4, 1);
    return Buffer.concat([head, body]);
  };
  const ready = message('Z', Buffer.from('I'));
  const done = (tag: string) => Buffer.concat([message('C', Buffer.from(`${tag}\0`)), ready]);
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (bytes) => {
      const text = bytes.toString('latin1');
      if (text.includes('pg_logical_emit_message')) commits.push(socket);
      else if (text.startsWith('Q')) socket.write(done('SET'));
      else if (text.startsWith('X')) socket.end();
      else socket.write(Buffer.concat([message('R', Buffer.alloc(4)), ready]));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return {
    url: `postgres://someone@127.0.0.1:${port}/any`,
    commits,
    answer: () => commits.forEach((socket) => void socket.write(done('SELECT 0'))),
    close: () => server.close(),
  };
}

it('a commit that waits for its standby is waited for, and no second one is sent beside it', async () => {
  const store = await standbyAway();
  const probe = createStoreProbe(store.url);
  try {
    for (let count = 0; count < 4; count += 1) {
      await expect(probe(AbortSignal.timeout(150))).rejects.toThrow('did not answer in time');
    }
    expect(store.commits).toHaveLength(1);
    const last = probe(AbortSignal.timeout(2000));
    store.answer();
    await last;
    const next = probe(AbortSignal.timeout(2000));
    await expect.poll(() => store.commits.length).toBe(2);
    store.answer();
    await next;
  } finally {
    store.close();
  }
});
