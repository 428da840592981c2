import { randomUUID } from 'node:crypto';
import type { TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { askFlag, auditOf } from './contracts-support.js';
import {
  ADD,
  browserOf,
  soon,
  startVoucherServer,
  type VoucherCalls,
  voucherCalls,
} from './vouchers-support.js';

let server: TestServer;
let calls: VoucherCalls;

beforeAll(async () => {
  server = await startVoucherServer();
  calls = voucherCalls(server);
});
afterAll(async () => {
  await server.stop();
});

const customer = (key: string, body: Record<string, unknown> = {}) =>
  calls.call('PUT', `/customers/${key}`, body);

describe('redeeming a voucher', () => {
  it('K-8 ENTITLEMENT_BOOST: lifts a limit at once, and says so', async () => {
    await customer('acme');
    const { code, key } = await calls.withCode();
    const { status, body, headers } = await calls.redeem(code, 'acme');
    expect(status).toBe(201);
    expect(body).toMatchObject({
      voucher: key,
      product: 'test',
      customer: 'acme',
      target: { kind: 'customer', key: 'acme' },
      grants: [{ effect: ADD(100) }],
      revokedAt: null,
      kept: [],
      version: 1,
    });
    expect(body.codeHint).toBe(`…${code.slice(-4)}`);
    const token = headers.get('pennon-consistency') ?? '';
    const lifted = await calls.entitlement('minutes', { customer: 'acme' }, { 'pennon-consistency': token });
    expect(lifted).toMatchObject({ hasAccess: true, reason: 'VOUCHER', limit: { value: 150 } });
    const grant = body.grants[0].id;
    expect(lifted.sources.at(-1)).toMatchObject({ type: 'voucher', key: grant, effect: 'add' });
    expect((await calls.call('GET', `/grants/${grant}`)).body).toMatchObject({
      kind: 'voucher',
      source: `voucher:${key}/${body.id}`,
      endsAt: body.endsAt,
    });
    // Law 8: the redemption and each grant.
    expect(await auditOf(server, body.id)).toMatchObject([
      { action: 'voucher.redeem', after: { id: body.id } },
    ]);
    expect(await auditOf(server, grant)).toMatchObject([{ action: 'grant.create', after: { id: grant } }]);
  });

  it('what it gave ends by the clock, without anybody doing anything', async () => {
    await customer('ending');
    const until = soon(4000);
    const { code } = await calls.withCode({ lasts: { until } });
    const { status, body } = await calls.redeem(code, 'ending');
    expect([status, body.endsAt]).toEqual([201, until]);
    await new Promise((resolve) => setTimeout(resolve, Date.parse(until) + 50 - Date.now()));
    const after = await calls.entitlement('minutes', { customer: 'ending' });
    expect(after).toMatchObject({ reason: 'PLAN', limit: { value: 50 } });
    const late = await calls.redeem(code, 'late');
    expect([late.status, late.body.code]).toEqual([409, 'VOUCHER_EXPIRED']);
  });

  it.each([
    ['SET', { type: 'set', feature: 'minutes', value: 500 }, { value: 500 }],
    ['ADD', ADD(7), { value: 57 }],
    ['MULTIPLY', { type: 'multiply', feature: 'minutes', factor: '1.2345' }, { value: 61 }],
    ['UNLIMITED', { type: 'unlimited', feature: 'minutes' }, { kind: 'unlimited' }],
  ])('K-8 ENTITLEMENT_BOOST %s', async (name, effect, limit) => {
    const who = `boost-${name}`;
    await customer(who);
    const { code } = await calls.withCode({ effects: [effect] });
    expect((await calls.redeem(code, who)).status).toBe(201);
    expect((await calls.entitlement('minutes', { customer: who })).limit).toMatchObject(limit);
  });

  it('K-8 FLAG_GRANT: opens a gated flag with what it requires, over OFREP and OEP alike', async () => {
    await customer('flagged');
    const { code } = await calls.withCode({
      kind: 'FLAG_GRANT',
      effects: [{ type: 'flag', flag: 'reports-ui', variant: true }],
    });
    expect((await askFlag(server, 'reports-ui', { customer: 'flagged' })).body.value).toBe(false);
    const { body } = await calls.redeem(code, 'flagged');
    const flag = await askFlag(server, 'reports-ui', { customer: 'flagged' });
    expect(flag.body).toMatchObject({ value: true, reason: 'TARGETING_MATCH', metadata: { cause: 'GRANT' } });
    expect(await calls.entitlement('reports', { customer: 'flagged' })).toMatchObject({
      hasAccess: true,
      reason: 'VOUCHER',
      sources: [{ type: 'voucher', key: body.grants[0].id }],
    });
  });

  it('K-8 CONFIG_GRANT: gives a value that its schema knows', async () => {
    await customer('branded');
    const { code } = await calls.withCode({
      kind: 'CONFIG_GRANT',
      effects: [{ type: 'set', feature: 'branding', value: { logo: 'own' } }],
    });
    expect((await calls.redeem(code, 'branded')).status).toBe(201);
    expect(await calls.entitlement('branding', { customer: 'branded' })).toMatchObject({
      hasAccess: true,
      reason: 'VOUCHER',
      value: { logo: 'own' },
    });
  });

  it('K-8 COMPOSITE: gives all at once or nothing at all', async () => {
    await customer('composed');
    const effects = [
      { type: 'flag', flag: 'theme', variant: 'dark' },
      ADD(100),
      { type: 'set', feature: 'branding', value: { logo: 'own' } },
    ];
    const { code } = await calls.withCode({ kind: 'COMPOSITE', effects });
    const { body } = await calls.redeem(code, 'composed');
    expect(body.grants.map((grant: { effect: unknown }) => grant.effect)).toEqual(effects);
    expect((await askFlag(server, 'theme', { customer: 'composed' })).body.value).toBe('dark');
    expect((await calls.entitlement('minutes', { customer: 'composed' })).limit.value).toBe(150);
    expect((await calls.entitlement('branding', { customer: 'composed' })).value).toEqual({ logo: 'own' });
  });

  it('targets exactly the user or the instance, and nobody else of the customer', async () => {
    await customer('team');
    await calls.call('PUT', '/customers/team/users/ada', {});
    await calls.call('PUT', '/customers/team/instances/team-eu', {});
    const effects = [{ type: 'flag', flag: 'theme', variant: 'dark' }];
    const forUser = await calls.withCode({ kind: 'FLAG_GRANT', effects, target: 'user' });
    const missing = await calls.redeem(forUser.code, 'team');
    expect([missing.status, missing.body.code]).toEqual([422, 'VOUCHER_TARGET_REQUIRED']);
    expect((await calls.redeem(forUser.code, 'team', { user: 'ada' })).status).toBe(201);
    const themeOf = async (context: Record<string, unknown>) =>
      (await askFlag(server, 'theme', { customer: 'team', ...context })).body.value;
    expect(await themeOf({ user: 'ada' })).toBe('dark');
    expect(await themeOf({ user: 'eve' })).toBe('light');
    const forInstance = await calls.withCode({ kind: 'FLAG_GRANT', effects, target: 'instance' });
    expect((await calls.redeem(forInstance.code, 'team', { instance: 'team-eu' })).status).toBe(201);
    expect(await themeOf({ instance: 'team-eu' })).toBe('dark');
    expect(await themeOf({})).toBe('light');
    // Nobody gives to another customer's deployment or person.
    await customer('other');
    await calls.call('PUT', '/customers/other/users/mallory', {});
    for (const body of [{ instance: 'team-eu' }, { instance: 'nowhere' }, { user: 'ada' }]) {
      const foreign = await calls.redeem(forInstance.code, 'other', body);
      expect([foreign.status, foreign.body.code]).toEqual([422, 'VOUCHER_TARGET_REFUSED']);
    }
  });

  it('reads a code in any case, with or without hyphens', async () => {
    const { code } = await calls.withCode({ maxPerCustomer: 10 });
    await customer('typist');
    for (const written of [code, code.toLowerCase(), code.replaceAll('-', ''), code.replaceAll('-', ' ')]) {
      expect((await calls.redeem(written, 'typist')).status).toBe(201);
    }
  });

  it('registers a customer that nobody knew, only when the code is redeemed', async () => {
    const { code } = await calls.withCode();
    expect((await calls.redeem('WRONG-CODE', 'newcomer')).status).toBe(404);
    expect((await calls.check(code, 'newcomer')).body.redeemable).toBe(true);
    expect((await calls.call('GET', '/customers/newcomer')).status).toBe(404);
    expect((await calls.redeem(code, 'newcomer')).status).toBe(201);
    expect((await calls.call('GET', '/customers/newcomer')).status).toBe(200);
    expect((await calls.entitlement('minutes', { customer: 'newcomer' })).limit.value).toBe(150);
  });

  it('a customer token redeems for its own customer and user, whatever is sent', async () => {
    await customer('browsing');
    const browser = await browserOf(server, { customer: 'browsing', user: 'bea' });
    const { code } = await calls.withCode();
    const named = await browser('redeem', { code, customer: 'acme' });
    expect([named.status, named.body.errors[0].code]).toEqual([400, 'MEMBER_UNKNOWN']);
    expect((await browser('check', { code })).body).toMatchObject({ redeemable: true, refusal: null });
    const { status, body } = await browser('redeem', { code });
    expect(status).toBe(201);
    expect(body).toMatchObject({ customer: 'browsing', target: { kind: 'customer', key: 'browsing' } });
    const personal = await calls.withCode({
      kind: 'FLAG_GRANT',
      effects: [{ type: 'flag', flag: 'theme', variant: 'dark' }],
      target: 'user',
    });
    expect((await browser('redeem', { code: personal.code })).body.target).toEqual({
      kind: 'user',
      key: 'bea',
    });
    const nobody = await browserOf(server, { customer: 'browsing' });
    expect((await nobody('redeem', { code: personal.code })).body.code).toBe('VOUCHER_CUSTOMER_LIMIT');
    const entry = (await auditOf(server, body.id))[0];
    expect(entry).toMatchObject({ actor: { kind: 'customer-token', onBehalfOf: 'bea' } });
  });

  it('is idempotent: the same key answers the same redemption, another request under it is refused', async () => {
    await customer('again');
    const { code } = await calls.withCode({ maxPerCustomer: 5 });
    const missing = await calls.redeem(code, 'again', {}, null);
    expect([missing.status, missing.body.code]).toEqual([400, 'IDEMPOTENCY_KEY_REQUIRED']);
    const key = randomUUID();
    const first = await calls.redeem(code, 'again', {}, key);
    const second = await calls.redeem(code, 'again', {}, key);
    expect(second.body).toEqual(first.body);
    expect([first.headers.get('idempotency-replayed'), second.headers.get('idempotency-replayed')]).toEqual([
      null,
      'true',
    ]);
    expect(second.status).toBe(201);
    const other = await calls.withCode();
    const mismatch = await calls.redeem(other.code, 'again', {}, key);
    expect([mismatch.status, mismatch.body.code]).toEqual([422, 'IDEMPOTENCY_MISMATCH']);
    expect((await calls.entitlement('minutes', { customer: 'again' })).limit.value).toBe(150);
    // A refusal is not remembered: what was refused for now is redeemed later, under the same key.
    const draft = await calls.withCode({ state: 'draft' });
    const early = randomUUID();
    expect((await calls.redeem(draft.code, 'again', {}, early)).body.code).toBe('VOUCHER_NOT_ACTIVE');
    await calls.call('POST', `/vouchers/${draft.key}/activate`, {});
    expect((await calls.redeem(draft.code, 'again', {}, early)).status).toBe(201);
  });

  it('makes codes once, and shows them once, also to a repeat of the call', async () => {
    const { body: voucher } = await calls.create();
    const headers = { 'idempotency-key': randomUUID() };
    const make = () => calls.call('POST', `/vouchers/${voucher.key}/codes`, { count: 3 }, headers);
    const first = await make();
    const second = await make();
    expect(first.body.codes).toHaveLength(3);
    expect(second.body).toEqual({ ...first.body, codes: null });
    expect((await calls.call('GET', `/vouchers/${voucher.key}/codes`)).body.items).toHaveLength(3);
  });

  it('shows what it gave: by voucher and by customer, and the codes by their hints', async () => {
    await customer('shown');
    const { code, key } = await calls.withCode({ name: 'Spring' });
    const redeemed = await calls.redeem(code, 'shown');
    const byCustomer = await calls.call('GET', '/redemptions?customer=shown');
    expect(byCustomer.body.items).toEqual([redeemed.body]);
    const byVoucher = await calls.call('GET', `/redemptions?voucher=${key}&revoked=false`);
    expect(byVoucher.body.items).toEqual([redeemed.body]);
    expect((await calls.call('GET', `/redemptions/${redeemed.body.id}`)).body).toEqual(redeemed.body);
    const codes = await calls.call('GET', `/vouchers/${key}/codes`);
    expect(codes.body.items).toMatchObject([{ kind: 'generated', hint: `…${code.slice(-4)}`, redeemed: 1 }]);
    const listed = await calls.call('GET', `/vouchers/${key}`);
    expect(listed.body).toMatchObject({ name: 'Spring', redeemed: 1, state: 'active' });
    // Shown once: neither what is read, nor the store, nor the trail has it again.
    const { rows } = await server.parts.database.pool.query<{ text: string }>(
      `select row_to_json(c)::text as text from voucher_code c union all select convert_from(bytes, 'UTF8') from audit_entry`,
    );
    const everything = [codes.text, listed.text, redeemed.text, ...rows.map((row) => row.text)].join('\n');
    expect(everything).not.toContain(code);
    expect(everything).not.toContain(code.replaceAll('-', ''));
  });
});
