import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:net';

const MAIN = new URL('../packages/server/dist/main.js', import.meta.url).href;
const START = `const { main } = await import(${JSON.stringify(MAIN)}); process.exit(await main());`;

/** As `npm start` runs it. */
export const NODE_OPTIONS = ['--max-semi-space-size=64'];

/** A Pennon process of its own on the embedded database, with one catalog published. */
export async function startPennon({ directory, catalog, environment = {}, nodeOptions = NODE_OPTIONS }) {
  const key = () => randomBytes(24).toString('base64url');
  const keys = { PENNON_ADMIN_KEY: key(), PENNON_SERVER_KEY: key(), PENNON_CLIENT_KEY: key() };
  const port = await freePort();
  const child = spawn(process.execPath, [...nodeOptions, '--input-type=module', '--eval', START], {
    env: {
      ...process.env,
      ...keys,
      PORT: String(port),
      PENNON_DATA_DIR: directory,
      PENNON_EXAMPLE: 'off',
      ...environment,
    },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const url = `http://127.0.0.1:${port}`;
  for (let attempt = 0; ; attempt += 1) {
    const ready = await fetch(`${url}/readyz`).then(
      (response) => response.ok,
      () => false,
    );
    if (ready) break;
    if (attempt > 300 || child.exitCode !== null) throw new Error('the server did not get ready');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const admin = (method, path, value) =>
    fetch(`${url}${path}`, {
      method,
      headers: { authorization: `Bearer ${keys.PENNON_ADMIN_KEY}`, 'content-type': 'application/json' },
      body: JSON.stringify(value),
    }).then(async (response) => {
      if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
      return response;
    });
  if (catalog !== undefined) {
    await admin('POST', '/api/v1/products', {
      key: catalog.product.key,
      name: catalog.product.name,
      reason: 'benchmark',
    });
    await admin('PUT', `/api/v1/products/${catalog.product.key}/catalog?base=0&reason=benchmark`, catalog);
  }
  return {
    url,
    pid: child.pid,
    adminKey: keys.PENNON_ADMIN_KEY,
    serverKey: keys.PENNON_SERVER_KEY,
    admin,
    stop: () =>
      new Promise((resolve) => {
        child.once('exit', resolve);
        child.kill('SIGTERM');
      }),
  };
}

/** `customer-0`, `customer-1`, … of the environment `production`. */
export async function importCustomers(server, count) {
  for (let first = 0; first < count; first += 500) {
    const lines = Array.from({ length: Math.min(500, count - first) }, (_, index) =>
      JSON.stringify({ key: `customer-${first + index}` }),
    );
    const answer = await fetch(
      `${server.url}/api/v1/environments/production/import/customers?reason=benchmark`,
      {
        method: 'POST',
        headers: { authorization: `Bearer ${server.adminKey}`, 'content-type': 'application/x-ndjson' },
        body: `${lines.join('\n')}\n`,
      },
    );
    const text = await answer.text();
    if (!text.includes('"refused":0')) throw new Error(text.slice(-300));
  }
}

function freePort() {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}
