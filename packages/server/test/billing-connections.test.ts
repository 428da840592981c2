import type { BillingConnectionCreate } from '@pennon/protocol/management/billing';
import { activeSecrets } from '@pennon/server/service/billing/billing-secrets';
import {
  changeConnection,
  createConnection,
  listConnections,
  readConnection,
  rotateSecret,
} from '@pennon/server/service/billing/manage-connections';
import type { Credential } from '@pennon/server/service/credential';
import { newId } from '@pennon/server/service/new-id';
import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { auditOf } from './contracts-support.js';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ catalog: 'product: { key: test, name: Test }\n' });
});
afterAll(() => server.stop());

const admin: Credential = { kind: 'admin', keyId: 'k', environmentId: null, productId: null };
const reason = 'a test';
const context = { actor: { kind: 'admin-key', id: 'k', onBehalfOf: null }, requestId: 'r', reason } as const;
const here = { environment: 'production' };
const ANY = { kind: 'exists' } as const;
const services = () => server.parts.management;

function create(body: Partial<BillingConnectionCreate> & { key: string }, credential: Credential = admin) {
  const whole = { provider: 'stripe', mode: 'live', reason, ...body } as const;
  return createConnection(services(), credential, context, here, whole);
}

const stored = (id: string) =>
  server.parts.database.kysely
    .selectFrom('billing_connection')
    .selectAll()
    .where('id', '=', id)
    .executeTakeFirstOrThrow();

describe('K-12 connections', () => {
  it('are made, read by key and id, and listed', async () => {
    const { item, created } = await create({ key: 'one', secret: 'whsec_0123456789abcdef' });
    expect(created).toBe(true);
    expect(item).toMatchObject({
      key: 'one',
      mapping: 'one',
      mode: 'live',
      account: '',
      hasApiKey: false,
      webhookPath: `/webhooks/stripe/${item.id}`,
      secrets: [{ hint: 'cdef', endsAt: null }],
      version: 1,
    });
    for (const connection of ['one', item.id]) {
      expect(await readConnection(services(), admin, { ...here, connection })).toEqual(item);
    }
    await create({ key: 'two', provider: 'api' });
    const first = await listConnections(services(), admin, here, { limit: 1 });
    expect(first.items.map(({ key }) => key)).toEqual(['one']);
    const cursor = first.nextCursor ?? '';
    const next = await listConnections(services(), admin, here, { limit: 1, cursor });
    expect(next.items).toMatchObject([{ key: 'two', webhookPath: null }]);
  });

  it('take no secret of Standard Webhooks that is not base64: each delivery would fail by it', async () => {
    const standard = { provider: 'standard' as const };
    const refused = { code: 'BILLING_SECRET_INVALID' };
    await expect(create({ ...standard, key: 'plain', secret: 'polar_whs_plain' })).rejects.toMatchObject(
      refused,
    );
    const { item } = await create({ ...standard, key: 'coded', secret: 'whsec_cG9sYXItc2VjcmV0' });
    expect(item.secrets).toHaveLength(1);
  });

  it('never show what they sign or ask with, in answers and in the audit', async () => {
    const { item } = await create({
      key: 'quiet',
      secret: 'whsec_very_secret_indeed',
      apiKey: 'sk_live_very_secret',
    });
    const named = { ...here, connection: 'quiet' };
    await rotateSecret(
      services(),
      admin,
      context,
      named,
      { secret: 'whsec_next_secret_here', overlapSeconds: 60, reason },
      ANY,
    );
    const said = JSON.stringify([
      item,
      await readConnection(services(), admin, named),
      await auditOf(server, item.id),
    ]);
    expect(said).not.toMatch(/very_secret|next_secret/);
    expect(item.hasApiKey).toBe(true);
    expect((await auditOf(server, item.id)).map(({ action }) => action)).toEqual([
      'billing-connection.create',
      'billing-connection.rotate',
    ]);
  });

  it('while a secret is replaced, both are good, and without an overlap only the new one', async () => {
    const { item } = await create({ key: 'turn', secret: 'whsec_first_secret' });
    const named = { ...here, connection: 'turn' };
    const turn = (secret: string, overlapSeconds: number) =>
      rotateSecret(services(), admin, context, named, { secret, overlapSeconds, reason }, ANY);
    await turn('whsec_second_secret', 600);
    const now = services().clock.now();
    const { secrets } = await stored(item.id);
    expect(activeSecrets(secrets, now)).toEqual(['whsec_first_secret', 'whsec_second_secret']);
    expect(activeSecrets(secrets, now + 601_000)).toEqual(['whsec_second_secret']);
    await turn('whsec_third_secret', 0);
    const after = (await stored(item.id)).secrets;
    expect(activeSecrets(after, services().clock.now())).toEqual(['whsec_third_secret']);
    // What ended is not kept beyond the next change.
    await turn('whsec_fourth_secret', 0);
    expect((await stored(item.id)).secrets).not.toContain('whsec_first_secret');
  });

  it('change their mapping, account and API key, under the condition that they are as read', async () => {
    await create({ key: 'change', apiKey: 'sk_live_0123' });
    const named = { ...here, connection: 'change' };
    const body = { mapping: 'main', account: 'acct_1', apiKey: null, reason };
    const { item } = await changeConnection(services(), admin, context, named, body, ANY);
    expect(item).toMatchObject({ mapping: 'main', account: 'acct_1', hasApiKey: false, version: 2 });
    const stale = { kind: 'match', tags: ['1'] } as const;
    await expect(changeConnection(services(), admin, context, named, body, stale)).rejects.toMatchObject({
      kind: 'precondition-failed',
    });
  });

  it('refuse what cannot be, and say what to do', async () => {
    await create({ key: 'taken' });
    await expect(create({ key: 'taken' })).rejects.toMatchObject({ code: 'BILLING_CONNECTION_EXISTS' });
    await expect(create({ key: 'x', provider: 'paddle', apiKey: 'pdl_0123456' })).rejects.toMatchObject({
      code: 'BILLING_API_UNKNOWN',
    });
    for (const connection of ['nobody', newId()]) {
      await expect(readConnection(services(), admin, { ...here, connection })).rejects.toMatchObject({
        code: 'BILLING_CONNECTION_NOT_FOUND',
      });
    }
  });

  it('are out of reach for keys of another environment, and of one product', async () => {
    await create({ key: 'walled' });
    const product = server.parts.directory.product('test');
    const elsewhere: Credential = { ...admin, environmentId: newId() };
    const ofProduct: Credential = { ...admin, productId: product?.id ?? '' };
    for (const credential of [elsewhere, ofProduct]) {
      await expect(create({ key: 'y' }, credential)).rejects.toMatchObject({
        kind: expect.stringMatching(/^(?:forbidden|not-found)$/),
      });
      const read = readConnection(services(), credential, { ...here, connection: 'walled' });
      await expect(read).rejects.toMatchObject({ code: expect.stringMatching(/NOT_FOUND|BOUND/) });
    }
  });
});
