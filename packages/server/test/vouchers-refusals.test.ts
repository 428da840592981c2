import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { VOUCHER_REFUSALS } from '@pennon/server/service/vouchers/voucher-refusal';
import type { TestResponse, TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  ADD,
  browserOf,
  soon,
  startVoucherServer,
  VOUCHER_CATALOG,
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

const DAY = 86_400_000;
/** A catalog of one feature, in which nobody has anything by default. */
const SEATS =
  'features: [{ key: seats, type: limit, category: limit, owner: a@example.com, purpose: Seats, removal: permanent }]';
const seen = new Set<string>();

/** Refused with that code, by redeeming and by checking alike, with words; and nothing is given. */
async function refuses(
  code: string,
  [status, refusal]: readonly [number, string],
  customer: string,
  body: Record<string, unknown> = {},
): Promise<TestResponse> {
  const answer = await calls.redeem(code, customer, body);
  expect([answer.status, answer.body.code]).toEqual([status, refusal]);
  expect(answer.body.detail.length).toBeGreaterThan(20);
  const checked = await calls.check(code, customer, body);
  expect(checked.body).toMatchObject({ redeemable: false, refusal: { code: refusal }, effects: [] });
  expect(checked.body.refusal.message).toBe(answer.body.detail);
  seen.add(refusal);
  return answer;
}

const license = (customer: string, body: Record<string, unknown>) =>
  calls.call('POST', `/customers/${customer}/licenses`, {
    plan: 'pro',
    planVersion: 1,
    kind: 'paid',
    ...body,
  });

describe('every refusal of a code has its own code (K-8)', () => {
  it('VOUCHER_NOT_FOUND: a wrong code, a slip, nothing at all: one answer', async () => {
    const { code } = await calls.withCode();
    const slip = `${code.slice(0, -1)}${code.endsWith('2') ? '3' : '2'}`;
    const answers = await Promise.all(
      ['NOBODY-MADE-THIS', slip, '----'].map((wrong) => calls.redeem(wrong, 'lost')),
    );
    const bodies = answers.map(({ body }) => ({ ...body, requestId: '' }));
    expect(bodies[0]).toMatchObject({ status: 404, code: 'VOUCHER_NOT_FOUND' });
    expect(bodies).toEqual([bodies[0], bodies[0], bodies[0]]);
    await refuses('NOBODY-MADE-THIS', [404, 'VOUCHER_NOT_FOUND'], 'lost');
  });

  it('VOUCHER_NOT_ACTIVE, VOUCHER_ARCHIVED', async () => {
    const { code, key } = await calls.withCode({ state: 'draft' });
    await refuses(code, [409, 'VOUCHER_NOT_ACTIVE'], 'early');
    expect((await calls.call('POST', `/vouchers/${key}/activate`, {})).body).toMatchObject({
      state: 'active',
      version: 2,
    });
    expect((await calls.check(code, 'early')).body.redeemable).toBe(true);
    expect((await calls.call('POST', `/vouchers/${key}/archive`, {})).body.state).toBe('archived');
    await refuses(code, [409, 'VOUCHER_ARCHIVED'], 'early');
    const again = await calls.call('POST', `/vouchers/${key}/archive`, {});
    expect([again.status, again.body.code]).toEqual([409, 'VOUCHER_ARCHIVED']);
  });

  it('VOUCHER_NOT_STARTED, VOUCHER_EXPIRED', async () => {
    const later = await calls.withCode({ startsAt: soon(DAY) });
    const answer = await refuses(later.code, [409, 'VOUCHER_NOT_STARTED'], 'someone');
    expect(answer.body.startsAt).toBe(later.voucher.startsAt);
    const { code, key } = await calls.withCode({ endsAt: soon(DAY) });
    await calls.call('PATCH', `/vouchers/${key}`, { endsAt: soon(1) }, { 'if-match': '"1"' });
    await new Promise((resolve) => setTimeout(resolve, 20));
    await refuses(code, [409, 'VOUCHER_EXPIRED'], 'someone');
    expect((await calls.call('GET', `/vouchers/${key}`)).body.state).toBe('expired');
  });

  it('VOUCHER_EXHAUSTED, VOUCHER_CODE_USED, VOUCHER_CUSTOMER_LIMIT', async () => {
    const { code, key } = await calls.withCode({ maxRedemptions: 1 });
    const first = await calls.redeem(code, 'first');
    const limited = await refuses(code, [409, 'VOUCHER_CUSTOMER_LIMIT'], 'first');
    expect(limited.body.redemption).toBe(first.body.id);
    await refuses(code, [409, 'VOUCHER_EXHAUSTED'], 'second');
    expect((await calls.call('GET', `/vouchers/${key}`)).body).toMatchObject({
      state: 'exhausted',
      redeemed: 1,
    });
    // Exhausted is told, not stored: with more of them it is active again.
    await calls.call('PATCH', `/vouchers/${key}`, { maxRedemptions: 2 }, { 'if-match': '*' });
    expect((await calls.redeem(code, 'second')).status).toBe(201);
    const pocket = await calls.withCode({}, { redemptionsPerCode: 1 });
    expect((await calls.redeem(pocket.code, 'first')).status).toBe(201);
    await refuses(pocket.code, [409, 'VOUCHER_CODE_USED'], 'second');
  });

  it('VOUCHER_CODE_WITHDRAWN, also to one who has used the voucher up', async () => {
    const { code, key } = await calls.withCode();
    expect((await calls.redeem(code, 'first')).status).toBe(201);
    const [{ id }] = (await calls.call('GET', `/vouchers/${key}/codes`)).body.items;
    await calls.call('POST', `/vouchers/${key}/codes/${id}/withdraw`, {}, { 'if-match': '*' });
    for (const customer of ['first', 'second']) {
      await refuses(code, [409, 'VOUCHER_CODE_WITHDRAWN'], customer);
    }
  });

  it('VOUCHER_CUSTOMER_ARCHIVED, VOUCHER_CUSTOMER_UNKNOWN', async () => {
    const { code } = await calls.withCode();
    await calls.call('PUT', '/customers/gone', {});
    await calls.call('POST', '/customers/gone/archive', {});
    await refuses(code, [409, 'VOUCHER_CUSTOMER_ARCHIVED'], 'gone');
    const catalog = `product: { key: test, name: Test }\n${SEATS}`;
    const strict = await startVoucherServer({ catalog });
    try {
      const there = voucherCalls(strict);
      const { code: other } = await there.withCode({ effects: [ADD(1, 'seats')] });
      const answer = await there.redeem(other, 'nobody');
      expect([answer.status, answer.body.code]).toEqual([404, 'VOUCHER_CUSTOMER_UNKNOWN']);
      seen.add('VOUCHER_CUSTOMER_UNKNOWN');
      await there.call('PUT', '/customers/nobody', {});
      expect((await there.redeem(other, 'nobody')).status).toBe(201);
    } finally {
      await strict.stop();
    }
  });

  it('VOUCHER_PLAN_NOT_ELIGIBLE: the plan that holds now, by name or by version', async () => {
    await calls.call('PUT', '/customers/free-one', {});
    await calls.call('PUT', '/customers/pro-one', {});
    await license('pro-one', {});
    const { code } = await calls.withCode({ plans: ['pro'] });
    const answer = await refuses(code, [422, 'VOUCHER_PLAN_NOT_ELIGIBLE'], 'free-one');
    expect(answer.body).toMatchObject({ plans: ['pro'], has: ['free@0'] });
    expect((await calls.redeem(code, 'pro-one')).status).toBe(201);
    // Bought a moment ago: what is in memory is not older than the customer's row.
    await license('free-one', {});
    expect((await calls.redeem(code, 'free-one')).status).toBe(201);
    const versioned = await calls.withCode({ plans: ['free@0'] });
    await refuses(versioned.code, [422, 'VOUCHER_PLAN_NOT_ELIGIBLE'], 'pro-one');
    expect((await calls.redeem(versioned.code, 'unknown-one')).status).toBe(201);
  });

  it('VOUCHER_NOT_FIRST_TIME: never paid, and never redeemed another', async () => {
    const { code } = await calls.withCode({ firstTimeOnly: true });
    await calls.call('PUT', '/customers/paid-once', {});
    await license('paid-once', { startsAt: soon(-20 * DAY), endsAt: soon(-10 * DAY) });
    await refuses(code, [422, 'VOUCHER_NOT_FIRST_TIME'], 'paid-once');
    await calls.call('PUT', '/customers/on-trial', {});
    await license('on-trial', { kind: 'trial', endsAt: soon(DAY) });
    expect((await calls.redeem(code, 'on-trial')).status).toBe(201);
    const other = await calls.withCode();
    await calls.redeem(other.code, 'hunter');
    await refuses(code, [422, 'VOUCHER_NOT_FIRST_TIME'], 'hunter');
  });

  it('VOUCHER_NOT_ELIGIBLE: a condition over facts of the server, and what cannot be decided is no yes', async () => {
    await calls.call('PUT', '/customers/small', { attributes: { seats: 3, country: 'NZ' } });
    await calls.call('PUT', '/customers/large', { attributes: { seats: 300, country: 'NZ' } });
    const eligibility = 'customer.attributes.seats < 10 && plan.tier == "free" && !entitlement("reports")';
    const { code } = await calls.withCode({ eligibility });
    const answer = await refuses(code, [422, 'VOUCHER_NOT_ELIGIBLE'], 'large');
    expect(answer.body).toMatchObject({ eligibility });
    expect(answer.body.detail).toContain('does not hold');
    const undecided = await refuses(code, [422, 'VOUCHER_NOT_ELIGIBLE'], 'without-attributes');
    expect(undecided.body.detail).toContain('could not be decided');
    const browser = await browserOf(server, { customer: 'large' });
    const told = await browser('redeem', { code });
    expect([told.status, told.body.code]).toEqual([422, 'VOUCHER_NOT_ELIGIBLE']);
    expect(told.text).not.toContain('seats');
    expect((await browser('check', { code })).text).not.toContain('seats');
    expect((await calls.redeem(code, 'small')).status).toBe(201);
    await calls.call('PATCH', '/customers/large', { attributes: { seats: 9 } }, { 'if-match': '*' });
    expect((await calls.redeem(code, 'large')).status).toBe(201);
  });

  it('VOUCHER_NOT_STACKABLE: an exclusive one stands alone, in its group or at all, whichever was first', async () => {
    const plain = await calls.withCode({});
    const grouped = await calls.withCode({ stackingGroup: 'spring' });
    const alone = await calls.withCode({ stacking: 'exclusive' });
    const inGroup = await calls.withCode({ stacking: 'exclusive', stackingGroup: 'spring' });
    expect((await calls.redeem(plain.code, 'stacker')).status).toBe(201);
    expect((await calls.redeem(inGroup.code, 'stacker')).status).toBe(201);
    await refuses(grouped.code, [409, 'VOUCHER_NOT_STACKABLE'], 'stacker');
    const other = await refuses(alone.code, [409, 'VOUCHER_NOT_STACKABLE'], 'stacker');
    // What was revoked or has ended is in nobody's way.
    for (const { id } of (await calls.call('GET', '/redemptions?customer=stacker')).body.items) {
      await calls.call('POST', `/redemptions/${id}/revoke`, {});
    }
    expect(other.body.redemption).toMatch(/^[0-9a-f-]{36}$/);
    expect((await calls.redeem(alone.code, 'stacker')).status).toBe(201);
    const fresh = await calls.withCode({});
    await refuses(fresh.code, [409, 'VOUCHER_NOT_STACKABLE'], 'stacker');
  });

  it('VOUCHER_TARGET_REQUIRED, VOUCHER_TARGET_REFUSED', async () => {
    const effects = [{ type: 'flag', flag: 'theme', variant: 'dark' }];
    const { code } = await calls.withCode({ kind: 'FLAG_GRANT', effects, target: 'instance' });
    await calls.call('PUT', '/customers/owner', {});
    await calls.call('PUT', '/customers/owner/instances/owner-eu', {});
    await refuses(code, [422, 'VOUCHER_TARGET_REQUIRED'], 'owner');
    await refuses(code, [422, 'VOUCHER_TARGET_REFUSED'], 'thief', { instance: 'owner-eu' });
    const browser = await browserOf(server, { customer: 'owner' });
    expect((await browser('redeem', { code })).body.code).toBe('VOUCHER_TARGET_REQUIRED');
    const deployed = await browserOf(server, { customer: 'owner', instance: 'owner-eu' });
    expect((await deployed('redeem', { code })).body.target).toEqual({ kind: 'instance', key: 'owner-eu' });
  });

  it('VOUCHER_CODE_AMBIGUOUS: two products chose the same word, and a key of both says which', async () => {
    const wide = await server.request('POST', '/api/v1/keys', {
      body: { kind: 'server', environment: 'production', name: 'wide', reason: 'a test' },
    });
    await server.request('POST', '/api/v1/products', {
      body: { key: 'second', name: 'Second', reason: 'a test' },
    });
    const published = await server.request('PUT', '/api/v1/products/second/catalog?reason=test', {
      body: `product: { key: second, name: Second }\n${SEATS}`,
      headers: { 'content-type': 'application/yaml' },
    });
    expect([published.status, published.body.detail]).toEqual([200, undefined]);
    const typed = { code: 'SAME-WORD', maxRedemptions: 5, endsAt: soon(DAY) };
    expect((await calls.create(typed)).status).toBe(201);
    const second = await calls.create({ ...typed, product: 'second', effects: [ADD(1, 'seats')] });
    expect([second.status, second.body.detail]).toEqual([201, undefined]);
    await calls.call('PUT', '/customers/both', {});
    const redeem = (body: Record<string, unknown>) =>
      server.request('POST', '/api/v1/environments/production/vouchers/redeem', {
        key: wide.body.key,
        body: { code: 'same-word', customer: 'both', ...body },
        headers: { 'idempotency-key': randomUUID() },
      });
    const ambiguous = await redeem({});
    expect([ambiguous.status, ambiguous.body.code]).toEqual([409, 'VOUCHER_CODE_AMBIGUOUS']);
    seen.add('VOUCHER_CODE_AMBIGUOUS');
    expect((await redeem({ product: 'second' })).body).toMatchObject({ product: 'second', customer: 'both' });
    expect((await redeem({ product: 'test' })).body).toMatchObject({ product: 'test' });
  });

  it('VOUCHER_OUTDATED: what it names left the catalog; and then it can still be ended', async () => {
    const own = await startVoucherServer();
    try {
      const there = voucherCalls(own);
      // What a voucher names cannot leave the catalog as long as it may be redeemed.
      const dark = { type: 'flag', flag: 'theme', variant: 'dark' };
      const themed = await there.withCode({ kind: 'FLAG_GRANT', effects: [dark] });
      const without = VOUCHER_CATALOG.replace(/^.*key: theme.*\n/m, '');
      await expect(own.publish(without)).rejects.toThrow(`the voucher \`${themed.key}\``);
      await there.call('POST', `/vouchers/${themed.key}/archive`, {});
      await own.publish(without);
      const { code, key } = await there.withCode({ effects: [ADD(1, 'seats')] });
      await own.parts.database.pool.query(
        `update voucher set effects = '[{"type":"add","feature":"sleds","amount":1}]' where key = $1`,
        [key],
      );
      const answer = await there.redeem(code, 'late');
      expect([answer.status, answer.body.code]).toEqual([409, 'VOUCHER_OUTDATED']);
      expect(answer.body.detail).toContain('`sleds`');
      seen.add('VOUCHER_OUTDATED');
      const ended = await there.call('PATCH', `/vouchers/${key}`, { endsAt: soon(DAY) }, { 'if-match': '*' });
      expect(ended.status).toBe(200);
    } finally {
      await own.stop();
    }
  });

  it('VOUCHER_THROTTLED: too many wrong codes', async () => {
    for (let tries = 0; tries < 10; tries += 1) await calls.redeem(`WRONG-${tries}`, 'guesser');
    const { code } = await calls.withCode();
    const answer = await calls.redeem(code, 'guesser');
    expect([answer.status, answer.body.code]).toEqual([429, 'VOUCHER_THROTTLED']);
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(300);
    seen.add('VOUCHER_THROTTLED');
  });

  it('were all seen here, and stand in the reference with their status', async () => {
    expect([...seen].sort()).toEqual([...VOUCHER_REFUSALS].sort());
    const reference = await readFile(new URL('../../../docs/reference/vouchers.md', import.meta.url), 'utf8');
    const documented = [...reference.matchAll(/^\| `(VOUCHER_[A-Z_]+)` \| \d{3} \|/gm)].map(
      (match) => match[1],
    );
    expect(documented).toEqual([...VOUCHER_REFUSALS]);
  });
});
