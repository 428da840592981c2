import { once } from 'node:events';
import http, { type IncomingHttpHeaders, type RequestListener } from 'node:http';
import net, { type AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { allowedNetworks } from './address-classes.js';
import type { HookPolicy } from './hook-url.js';
import type { ResolveHost } from './resolve-host.js';
import { createHookSender, type HookSender } from './send-hook.js';

/* Real sockets on loopback; names resolve as each test says. */

const open: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

interface Listener {
  readonly port: number;
  readonly received: { readonly headers: IncomingHttpHeaders; readonly body: string }[];
  connections(): number;
}

async function listen(answer: RequestListener, host = '127.0.0.1', port = 0): Promise<Listener> {
  const received: Listener['received'] = [];
  let connections = 0;
  const server = http.createServer(async (request, reply) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    received.push({ headers: request.headers, body: Buffer.concat(chunks).toString('utf8') });
    answer(request, reply);
  });
  server.on('connection', () => {
    connections += 1;
  });
  server.listen(port, host);
  await once(server, 'listening');
  open.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, received, connections: () => connections };
}

function senderTo(networks: readonly string[], resolve: ResolveHost, timeoutMilliseconds = 2000): HookSender {
  const policy: HookPolicy = { allowed: allowedNetworks(networks), allowsAny: networks.length > 0 };
  const sender = createHookSender({ policy, resolve, timeoutMilliseconds });
  open.push(() => sender.close());
  return sender;
}

const to =
  (...addresses: readonly string[]): ResolveHost =>
  async () =>
    addresses;
const ok: RequestListener = (_request, reply) => reply.writeHead(204).end();

function post(sender: HookSender, url: string, text = '{"a":1}') {
  return sender.send({
    url,
    headers: { 'content-type': 'application/json', 'webhook-id': 'one' },
    body: Buffer.from(text),
  });
}

describe('sending to a listener', () => {
  it('posts the body and headers, and uses a connection again', async () => {
    const listener = await listen(ok);
    const sender = senderTo(['127.0.0.1'], to('127.0.0.1'));
    for (const text of ['{"n":1}', '{"n":"ü"}']) {
      expect(await post(sender, `http://hooks.example.com:${listener.port}/in?x=1`, text)).toEqual({
        kind: 'answered',
        status: 204,
        retryAfterSeconds: null,
      });
    }
    expect(listener.connections()).toBe(1);
    const [first, second] = listener.received;
    expect(first?.body).toBe('{"n":1}');
    expect(second?.body).toBe('{"n":"ü"}');
    expect(first?.headers).toMatchObject({
      host: `hooks.example.com:${listener.port}`,
      'webhook-id': 'one',
      'content-type': 'application/json',
      'content-length': '7',
    });
    expect(first?.headers.authorization).toBeUndefined();
  });

  it('S-6 does not follow a redirect', async () => {
    const canary = await listen(ok);
    const listener = await listen((_request, reply) =>
      reply.writeHead(307, { location: `http://hooks.example.com:${canary.port}/` }).end(),
    );
    const sender = senderTo(['127.0.0.1'], to('127.0.0.1'));
    const outcome = await post(sender, `http://hooks.example.com:${listener.port}/`);
    expect(outcome).toMatchObject({ kind: 'answered', status: 307 });
    expect(canary.connections()).toBe(0);
  });

  it('an answer that changes the protocol is an end like any other, and nobody waits for ever', async () => {
    const server = net.createServer((socket) => {
      socket.on('error', () => undefined);
      socket.once('data', () =>
        socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: other\r\n\r\n'),
      );
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    open.push(() => server.close());
    const sender = senderTo(['127.0.0.1'], to('127.0.0.1'));
    const { port } = server.address() as AddressInfo;
    const outcome = await post(sender, `http://hooks.example.com:${port}/`);
    expect(outcome).toEqual({ kind: 'failed', why: 'connection-lost' });
  });

  it('closed, ends what is under way on a connection that was kept, and begins nothing anew', async () => {
    let isFirst = true;
    const listener = await listen((_request, reply) => {
      if (isFirst) reply.writeHead(204).end();
      isFirst = false;
    });
    const sender = senderTo(['127.0.0.1'], to('127.0.0.1'), 10_000);
    const url = `http://hooks.example.com:${listener.port}/`;
    await post(sender, url);
    const second = post(sender, url);
    await expect.poll(() => listener.received.length).toBe(2);
    sender.close();
    expect(await second).toEqual({ kind: 'failed', why: 'connection-lost' });
    expect(listener.connections()).toBe(1);
  });

  it('says when the listener wants to be asked again, in whole seconds only', async () => {
    const answers = ['120', 'Wed, 21 Oct 2030 07:28:00 GMT', '-5', '1e9'];
    const listener = await listen((_request, reply) =>
      reply.writeHead(429, { 'retry-after': answers.shift() ?? '' }).end(),
    );
    const sender = senderTo(['127.0.0.1'], to('127.0.0.1'));
    const seen: unknown[] = [];
    for (let round = 0; round < 4; round += 1) {
      const outcome = await post(sender, `http://hooks.example.com:${listener.port}/`);
      seen.push(outcome.kind === 'answered' ? outcome.retryAfterSeconds : outcome);
    }
    expect(seen).toEqual([120, null, null, null]);
  });
});

describe('where a request is not sent (S-6)', () => {
  const CLOSED = [
    '127.0.0.2',
    '::1',
    '10.0.0.1',
    '169.254.169.254',
    '::ffff:127.0.0.2',
    '64:ff9b::7f00:2',
    '0.0.0.0',
  ];

  it.each(CLOSED)('S-6 a name that resolves to %s is not connected to', async (address) => {
    const canary = await listen(ok, '0.0.0.0');
    const sender = senderTo(['127.0.0.1'], to(address));
    const outcome = await post(sender, `http://hooks.example.com:${canary.port}/`);
    expect(outcome.kind).toBe('refused');
    expect(canary.connections()).toBe(0);
  });

  it('S-6 one address that is refused refuses the whole answer, wherever it stands', async () => {
    const canary = await listen(ok, '0.0.0.0');
    for (const answer of [
      ['127.0.0.1', '10.0.0.1'],
      ['10.0.0.1', '127.0.0.1'],
      ['127.0.0.1', '::1'],
    ]) {
      const outcome = await post(senderTo(['127.0.0.1'], to(...answer)), `http://a.example:${canary.port}/`);
      expect(outcome.kind).toBe('refused');
    }
    expect(canary.connections()).toBe(0);
  });

  it('S-6 a name that resolves elsewhere the next time is judged by what it resolves to then', async () => {
    const listener = await listen((_request, reply) => reply.writeHead(200, { connection: 'close' }).end());
    const canary = await listen(ok, '127.0.0.2', listener.port);
    const answers = [['127.0.0.1'], ['127.0.0.2']];
    let asked = 0;
    const sender = senderTo(['127.0.0.1'], async () => {
      asked += 1;
      return answers.shift() ?? [];
    });
    const url = `http://rebound.example:${listener.port}/`;
    expect(await post(sender, url)).toMatchObject({ kind: 'answered', status: 200 });
    expect(await post(sender, url)).toEqual({ kind: 'refused', why: 'loopback' });
    // Asked once for each connection: between the check and the connection nobody asks again.
    expect(asked).toBe(2);
    expect(listener.received).toHaveLength(1);
    expect(canary.connections()).toBe(0);
  });

  it('S-6 an address that stands in the URL itself asks nobody and is refused', async () => {
    const canary = await listen(ok, '0.0.0.0');
    const sender = senderTo(['10.0.0.0/8'], () => Promise.reject(new Error('asked')));
    for (const host of ['127.0.0.1', '2130706433', '0x7f.1', '[::ffff:127.0.0.1]', '[::1]', '0.0.0.0']) {
      expect(await post(sender, `http://${host}:${canary.port}/`), host).toEqual({
        kind: 'refused',
        why: 'URL_ADDRESS',
      });
    }
    expect(canary.connections()).toBe(0);
  });

  it('S-6 without an allowed network nothing is sent in clear', async () => {
    const canary = await listen(ok);
    const sender = senderTo([], to('127.0.0.1'));
    expect(await post(sender, `http://hooks.example.com:${canary.port}/`)).toEqual({
      kind: 'refused',
      why: 'URL_SCHEME',
    });
    expect(await post(sender, 'https://hooks.example.com/')).toEqual({ kind: 'refused', why: 'loopback' });
    expect(canary.connections()).toBe(0);
  });
});

describe('a listener that does not behave', () => {
  it('is waited for no longer than the deadline', async () => {
    const listener = await listen(() => undefined);
    const sender = senderTo(['127.0.0.1'], to('127.0.0.1'), 150);
    const before = performance.now();
    expect(await post(sender, `http://a.example:${listener.port}/`)).toEqual({
      kind: 'failed',
      why: 'timeout',
    });
    expect(performance.now() - before).toBeLessThan(1500);
  });

  it('is given up at the deadline too where its name server says nothing', async () => {
    const sender = senderTo(['127.0.0.1'], () => new Promise(() => undefined), 100);
    expect(await post(sender, 'http://a.example:1/')).toEqual({ kind: 'failed', why: 'timeout' });
  });

  it('answers by its status, however long its body is', async () => {
    let written = 0;
    const listener = await listen((_request, reply) => {
      reply.writeHead(200);
      const pour = () => {
        while (!reply.destroyed && written < 100_000_000) {
          written += 65_536;
          if (!reply.write(Buffer.alloc(65_536))) return;
        }
      };
      reply.on('drain', pour);
      pour();
    });
    const sender = senderTo(['127.0.0.1'], to('127.0.0.1'));
    const outcome = await post(sender, `http://a.example:${listener.port}/`);
    expect(outcome).toMatchObject({ kind: 'answered', status: 200 });
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(written).toBeLessThan(50_000_000);
  });

  it('is told apart: no name, nobody there, no TLS, a connection that ends', async () => {
    const closed = await listen(ok);
    await open.pop()?.();
    const plain = await listen(ok);
    const rude = net.createServer((socket) => socket.on('data', () => socket.destroy()));
    rude.listen(0, '127.0.0.1');
    await once(rude, 'listening');
    open.push(() => rude.close());
    const rudePort = (rude.address() as AddressInfo).port;
    const sender = senderTo(['127.0.0.1'], to('127.0.0.1'));
    const nameless = senderTo(['127.0.0.1'], () => Promise.reject(new Error('ENOTFOUND')));
    const why = async (from: HookSender, url: string) => {
      const outcome = await post(from, url);
      return outcome.kind === 'failed' ? outcome.why : outcome;
    };
    expect(await why(nameless, 'https://a.example/')).toBe('name-not-resolved');
    expect(await why(sender, `http://a.example:${closed.port}/`)).toBe('not-connected');
    expect(await why(sender, `https://a.example:${plain.port}/`)).toBe('tls');
    expect(await why(sender, `http://a.example:${rudePort}/`)).toBe('connection-lost');
  });

  it('is asked again at once where it closed a connection that was kept', async () => {
    let answered = 0;
    const server = net.createServer((socket) => {
      let requests = 0;
      socket.on('error', () => undefined);
      socket.on('data', () => {
        requests += 1;
        // The second request on a connection meets its end.
        if (requests > 1) return socket.destroy();
        answered += 1;
        return socket.write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n');
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    open.push(() => server.close());
    const sender = senderTo(['127.0.0.1'], to('127.0.0.1'));
    const url = `http://a.example:${(server.address() as AddressInfo).port}/`;
    for (let round = 0; round < 3; round += 1) {
      expect(await post(sender, url)).toMatchObject({ kind: 'answered', status: 200 });
    }
    expect(answered).toBe(3);
  });
});
