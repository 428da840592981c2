import type { TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { askFlag, auditOf } from './contracts-support.js';
import { ADD, startVoucherServer, type VoucherCalls, voucherCalls } from './vouchers-support.js';

let server: TestServer;
let calls: VoucherCalls;

beforeAll(async () => {
  server = await startVoucherServer();
  calls = voucherCalls(server);
});
afterAll(async () => {
  await server.stop();
});

const revoke = (id: string, headers: Record<string, string> = {}) =>
  calls.call('POST', `/redemptions/${id}/revoke`, { reason: 'sold by mistake' }, headers);

async function redeemed(who: string, body: Record<string, unknown> = {}): Promise<string> {
  const { code } = await calls.withCode(body);
  const answer = await calls.redeem(code, who);
  if (answer.status !== 201) throw new Error(answer.text);
  return answer.body.id;
}

describe('revoking takes back what is unspent, and never what was used (K-8)', () => {
  it('after 30 of 100 more were used, 30 stay: the balance is 0, nothing reads as over, nothing more is given', async () => {
    const context = { customer: 'spender' };
    const id = await redeemed('spender');
    expect(await calls.consume('minutes', context, 80)).toMatchObject({ allowed: true });
    const { status, body } = await revoke(id, { 'if-match': '"1"' });
    expect(status).toBe(200);
    const [kept] = body.kept;
    expect(kept).toMatchObject({ feature: 'minutes', scope: '', amount: 30 });
    expect(body).toMatchObject({ revokeReason: 'sold by mistake', version: 2 });
    const after = await calls.entitlement('minutes', context);
    expect(after).toMatchObject({
      limit: { value: 80 },
      usage: 80,
      balance: 0,
      overage: 0,
      hasAccess: false,
    });
    expect(await calls.consume('minutes', context, 1)).toMatchObject({
      allowed: false,
      reason: 'LIMIT_REACHED',
    });
    // What stays ends with the period in which it was used.
    expect(kept.until).toBe(after.period.end);
    expect((await calls.call('GET', `/grants/${kept.grant}`)).body).toMatchObject({
      kind: 'voucher',
      effect: ADD(30),
      endsAt: kept.until,
    });
    const entries = await auditOf(server, id);
    expect(entries.map((entry) => entry.action)).toEqual(['voucher.redeem', 'voucher.revoke-redemption']);
    const again = await revoke(id);
    expect([again.status, again.body.code]).toEqual([409, 'REDEMPTION_REVOKED']);
  });

  it.each([
    ['ADD, nothing of it used', ADD(100), 50, 50, []],
    ['ADD, used up', ADD(100), 150, 150, [100]],
    ['SET', { type: 'set', feature: 'minutes', value: 500 }, 120, 120, [70]],
    ['MULTIPLY', { type: 'multiply', feature: 'minutes', factor: '3' }, 60, 60, [10]],
    ['UNLIMITED', { type: 'unlimited', feature: 'minutes' }, 4000, 4000, [3950]],
  ])('%s', async (name, effect, used, limit, kept) => {
    const who = `revoked ${name}`.replaceAll(/[ ,]/g, '-');
    const id = await redeemed(who, { effects: [effect] });
    await calls.consume('minutes', { customer: who }, used);
    const { body } = await revoke(id);
    expect(body.kept.map((part: { amount: number }) => part.amount)).toEqual(kept);
    const after = await calls.entitlement('minutes', { customer: who });
    expect(after).toMatchObject({ limit: { value: limit }, usage: used, balance: 0, overage: 0 });
  });

  it('a feature that never resets keeps what was used for as long as it was given', async () => {
    const id = await redeemed('keeper', { effects: [ADD(20, 'storage')] });
    await calls.consume('storage', { customer: 'keeper' }, 25);
    const { body } = await revoke(id);
    expect(body.kept).toMatchObject([{ feature: 'storage', amount: 15, until: body.endsAt }]);
    expect(await calls.entitlement('storage', { customer: 'keeper' })).toMatchObject({
      limit: { value: 25 },
      balance: 0,
      overage: 0,
    });
  });

  it('beside another voucher, whose factor applies to what stays as to everything', async () => {
    const adding = await redeemed('combined');
    await redeemed('combined', { effects: [{ type: 'multiply', feature: 'minutes', factor: '2' }] });
    const context = { customer: 'combined' };
    await calls.consume('minutes', context, 151);
    const { body } = await revoke(adding);
    // 50 × 2 without it; with 26 more 152: the least that covers what was used.
    expect(body.kept).toMatchObject([{ amount: 26 }]);
    expect(await calls.entitlement('minutes', context)).toMatchObject({ limit: { value: 152 }, overage: 0 });
  });

  it('of what counts per user each keeps what it used itself, and nobody gains by it', async () => {
    const id = await redeemed('many', { effects: [ADD(10, 'exports')] });
    await calls.consume('exports', { customer: 'many', user: 'uma' }, 7);
    await calls.consume('exports', { customer: 'many', user: 'ute' }, 1);
    const { body } = await revoke(id);
    expect(body.kept).toMatchObject([{ feature: 'exports', scope: 'uma', amount: 5 }]);
    const of = (user: string) => calls.entitlement('exports', { customer: 'many', user });
    expect(await of('uma')).toMatchObject({ limit: { value: 7 }, balance: 0, overage: 0 });
    expect(await of('ute')).toMatchObject({ limit: { value: 2 }, balance: 1 });
  });

  it('flags, switches and configs end at once, in every answer', async () => {
    const effects = [
      { type: 'flag', flag: 'reports-ui', variant: true },
      { type: 'set', feature: 'branding', value: { logo: 'own' } },
    ];
    const id = await redeemed('switched', { kind: 'COMPOSITE', effects });
    expect((await askFlag(server, 'reports-ui', { customer: 'switched' })).body.value).toBe(true);
    expect((await revoke(id)).body.kept).toEqual([]);
    expect((await askFlag(server, 'reports-ui', { customer: 'switched' })).body.value).toBe(false);
    expect((await calls.entitlement('branding', { customer: 'switched' })).hasAccess).toBe(false);
  });

  it('a revoked redemption still counts: who gave a code back does not get another one', async () => {
    const { code, key } = await calls.withCode({ maxRedemptions: 2 });
    const { body } = await calls.redeem(code, 'returner');
    await revoke(body.id);
    expect((await calls.redeem(code, 'returner')).body.code).toBe('VOUCHER_CUSTOMER_LIMIT');
    expect((await calls.call('GET', `/vouchers/${key}`)).body.redeemed).toBe(1);
  });

  it('while units are used at the same time, none is lost and none is given twice', async () => {
    const context = { customer: 'racing' };
    const id = await redeemed('racing');
    await calls.consume('minutes', context, 50);
    const [revoked, ...taken] = await Promise.all([
      revoke(id),
      ...Array.from({ length: 40 }, () => calls.consume('minutes', context, 2)),
    ]);
    expect(revoked.status).toBe(200);
    const allowed = taken.filter((answer) => answer.allowed).length;
    const used = 50 + 2 * allowed;
    const after = await calls.entitlement('minutes', context);
    expect(after).toMatchObject({ usage: used, limit: { value: used }, overage: 0 });
    expect((await calls.consume('minutes', context, 1)).allowed).toBe(false);
  });

  it('a whole voucher is archived and taken back, one redemption after the other', async () => {
    const { code, key } = await calls.withCode();
    for (const who of ['w1', 'w2', 'w3']) await calls.redeem(code, who);
    await calls.consume('minutes', { customer: 'w1' }, 60);
    const { body } = await calls.call('POST', `/vouchers/${key}/revoke`, {});
    expect(body).toMatchObject({ voucher: { state: 'archived', redeemed: 3 }, revoked: 3, remaining: 0 });
    expect((await calls.entitlement('minutes', { customer: 'w1' })).limit.value).toBe(60);
    expect((await calls.entitlement('minutes', { customer: 'w2' })).limit.value).toBe(50);
    expect((await calls.redeem(code, 'w4')).body.code).toBe('VOUCHER_ARCHIVED');
    const again = await calls.call('POST', `/vouchers/${key}/revoke`, {});
    expect(again.body).toMatchObject({ revoked: 0, remaining: 0 });
    const stale = await calls.call('POST', `/vouchers/${key}/revoke`, {}, { 'if-match': '"1"' });
    expect(stale).toMatchObject({ status: 412, body: { current: { etag: `"${body.voucher.version}"` } } });
  });
});
