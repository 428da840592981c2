import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEmbeddedDatabase } from '@pennon/server/store/embedded/start-embedded-database';
import { start } from 'unleash-server';

// A process of its own: an Unleash server with a hundred flags of the same shape as ours, on the same kind of database.
const folder = mkdtempSync(join(tmpdir(), 'unleash-'));
// Open to pass through: a database started by root would else lie elsewhere, and stay there.
chmodSync(folder, 0o711);
const database = await startEmbeddedDatabase({ directory: join(folder, 'postgres') });
const url = new URL(database.url);
const admin = '*:*.benchmark-admin-token-0123456789';
const frontend = 'default:development.benchmark-frontend-0123456789';
const unleash = await start({
  db: {
    host: url.hostname,
    port: Number(url.port),
    user: url.username,
    password: decodeURIComponent(url.password),
    database: url.pathname.slice(1),
    ssl: false,
  },
  server: { port: 0, host: '127.0.0.1' },
  versionCheck: { enable: false },
  authentication: {
    initApiTokens: [
      {
        environment: '*',
        projects: ['*'],
        secret: admin,
        type: 'admin',
        tokenName: 'admin',
        username: 'admin',
      },
      {
        environment: 'development',
        projects: ['default'],
        secret: frontend,
        type: 'frontend',
        tokenName: 'frontend',
        username: 'frontend',
      },
    ],
  },
  getLogger: () => ({ debug() {}, info() {}, warn() {}, error: console.error, fatal: console.error }),
  disableScheduler: false,
});
const base = `http://127.0.0.1:${unleash.server.address().port}`;
async function call(method, path, body) {
  const response = await fetch(`${base}${path}`, {
    method,
    headers: { authorization: admin, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
}
const constraint = (contextName, operator, values) => ({
  contextName,
  operator,
  values,
  inverted: false,
  caseInsensitive: false,
});
for (let index = 0; index < 100; index += 1) {
  const name = `flag-${String(index).padStart(3, '0')}`;
  await call('POST', '/api/admin/projects/default/features', {
    name,
    type: 'release',
    description: 'One of a hundred',
  });
  const strategies = `/api/admin/projects/default/features/${name}/environments/development/strategies`;
  await call('POST', strategies, {
    name: 'flexibleRollout',
    parameters: { rollout: '50', stickiness: 'userId', groupId: name },
    constraints: [constraint('country', 'IN', ['DE']), constraint('tier', 'IN', ['pro', 'enterprise'])],
  });
  await call('POST', strategies, {
    name: 'flexibleRollout',
    parameters: { rollout: '100', stickiness: 'default', groupId: name },
    constraints: [constraint('email', 'STR_ENDS_WITH', ['@acme.example'])],
  });
  await call('POST', `/api/admin/projects/default/features/${name}/environments/development/on`, {});
}
process.send({ url: base, token: frontend });
// Told by message: on a signal Unleash ends the process by itself, and the database would be left running.
process.once('message', async () => {
  await database.stop();
  rmSync(folder, { recursive: true, force: true });
  process.exit(0);
});
