import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask, customer, idempotencyKey, RUNTIME_CATALOG, warm } from './runtime-support.js';

/*
 * Law 2 between processes: a consume is decided on what is committed, also where the deciding process has heard of nothing. The
 * second server hears of no change at all, so that only its own look at the store can tell it.
 */
const CATALOG = `${RUNTIME_CATALOG.replace(
  'flags:',
  `groups:
  - { key: partners, mode: overlay, entitlements: [] }
segments:
  - { key: pilots, entitlements: [{ feature: ai-tokens, value: 50 }] }
flags:`,
)}`;
const ENVIRONMENT = '/api/v1/environments/production';
const SEGMENT = `${ENVIRONMENT}/products/test/segments/pilots/members`;

let writer: TestServer;
let deaf: TestServer;

beforeAll(async () => {
  writer = await startTestServer({ catalog: CATALOG });
  const keys = { admin: writer.adminKey, server: writer.serverKey, client: writer.clientKey };
  deaf = await startTestServer({ databaseUrl: writer.databaseUrl, keys });
  await deaf.parts.feed.stop();
  await poor('host');
}, 60_000);
afterAll(async () => {
  await deaf.stop();
  await writer.stop();
});

async function admin(method: string, path: string, body: Readonly<Record<string, unknown>> = {}) {
  const response = await writer.request(method, path, {
    ...(method === 'DELETE' ? {} : { body: { reason: 'a test', ...body } }),
    headers: method === 'DELETE' ? { 'if-match': '*' } : {},
  });
  if (response.status >= 300) throw new Error(`${method} ${path}: ${response.status} ${response.text}`);
  return response.body;
}

async function consumeThere(context: object, key: string): Promise<string> {
  const response = await ask(
    deaf,
    '/oep/v1/consume',
    { context, key, amount: 1 },
    { headers: { 'idempotency-key': idempotencyKey() } },
  );
  return response.status === 200 ? (response.body.allowed ? 'allowed' : 'denied') : response.text;
}

function take(who: string): Promise<string> {
  return consumeThere({ targetingKey: who }, 'ai-tokens');
}

function exportAs(user: string): Promise<string> {
  return consumeThere({ customer: { key: 'host' }, user: { key: user } }, EXPORTS);
}

/** A customer whose plan has no tokens, so that whatever it takes comes from what the test gives. */
async function poor(key: string): Promise<void> {
  await customer(writer, key, 'free');
  await warm(deaf, key);
}

function grantTo(kind: string, key: string, effect: object) {
  return admin('POST', `${ENVIRONMENT}/grants`, {
    product: 'test',
    kind: 'support',
    owner: 'team@example.com',
    target: { kind, key },
    effect,
    endsAt: new Date(Date.now() + 3_600_000).toISOString(),
  });
}

const EXPORTS = 'per-user-exports';
const TEN = { type: 'set', feature: EXPORTS, value: 10 };

describe('a consume in a process that has heard of nothing', () => {
  it('X-5 sees a grant of a segment, that it was revoked, and that a member was removed', async () => {
    await poor('piloting');
    await admin('PUT', `${SEGMENT}/customer/piloting`);
    expect(await take('piloting')).toBe('allowed');
    const deny = await grantTo('segment', 'pilots', { type: 'deny', feature: 'ai-tokens' });
    expect(await take('piloting')).toBe('denied');
    await admin('POST', `${ENVIRONMENT}/grants/${deny.id}/revoke`);
    expect(await take('piloting')).toBe('allowed');
    await admin('DELETE', `${SEGMENT}/customer/piloting?reason=test`);
    expect(await take('piloting')).toBe('denied');
  });

  it('X-5 sees a grant of a user whom no customer has, and that it was revoked', async () => {
    expect(await exportAs('guest')).toBe('allowed');
    expect(await exportAs('guest')).toBe('allowed');
    expect(await exportAs('guest')).toBe('denied');
    const grant = await grantTo('user', 'guest', TEN);
    expect(await exportAs('guest')).toBe('allowed');
    await admin('POST', `${ENVIRONMENT}/grants/${grant.id}/revoke`);
    expect(await exportAs('guest')).toBe('denied');
  });

  it('X-5 sees that a user became a member of a segment, and was removed', async () => {
    const grant = await grantTo('segment', 'pilots', TEN);
    expect(await exportAs('member')).toBe('allowed');
    expect(await exportAs('member')).toBe('allowed');
    expect(await exportAs('member')).toBe('denied');
    await admin('PUT', `${SEGMENT}/user/member`);
    expect(await exportAs('member')).toBe('allowed');
    await admin('DELETE', `${SEGMENT}/user/member?reason=test`);
    expect(await exportAs('member')).toBe('denied');
    await admin('POST', `${ENVIRONMENT}/grants/${grant.id}/revoke`);
  });

  it('X-5 goes on while users change without end', async () => {
    await poor('busy');
    await admin('PUT', `${SEGMENT}/customer/busy`);
    let changing = true;
    const changes = (async () => {
      for (let change = 0; changing; change += 1) {
        await admin('PUT', `${SEGMENT}/user/passing-${change % 2}`);
        await admin('DELETE', `${SEGMENT}/user/passing-${change % 2}?reason=test`);
      }
    })();
    const answers: string[] = [];
    for (let call = 0; call < 20; call += 1) answers.push(await take('busy'));
    changing = false;
    await changes;
    expect(answers).toEqual(answers.map(() => 'allowed'));
  });

  it('OEP strong evaluation sees a grant of a segment', async () => {
    await poor('asking');
    await admin('PUT', `${SEGMENT}/customer/asking`);
    const strong = async () =>
      (
        await ask(deaf, '/oep/v1/evaluate/entitlements/ai-tokens', {
          context: { targetingKey: 'asking' },
          consistency: 'strong',
        })
      ).body.hasAccess;
    expect(await strong()).toBe(true);
    const deny = await grantTo('segment', 'pilots', { type: 'deny', feature: 'ai-tokens' });
    expect(await strong()).toBe(false);
    await admin('POST', `${ENVIRONMENT}/grants/${deny.id}/revoke`);
    expect(await strong()).toBe(true);
  });
});
