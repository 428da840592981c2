import { randomUUID } from 'node:crypto';
import { startServerProcess } from '@pennon/testkit/server-process';
import type { TestResponse, TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ENVIRONMENT } from './contracts-support.js';
import { startVoucherServer, type VoucherCalls, voucherCalls } from './vouchers-support.js';

let one: TestServer;
let two: TestServer;
let calls: VoucherCalls;

beforeAll(async () => {
  one = await startVoucherServer();
  const { adminKey: admin, serverKey: server, clientKey: client } = one;
  two = await startVoucherServer({ databaseUrl: one.databaseUrl, keys: { admin, server, client } });
  calls = voucherCalls(one);
}, 60_000);
afterAll(async () => {
  await two.stop();
  await one.stop();
});

const RACERS = 200;

/** As a careful client does it: a fault of the moment is asked again with the same key, at the other process. */
async function redeemSurely(
  code: string,
  customer: string,
  key: string,
  index: number,
): Promise<TestResponse> {
  for (let attempt = 0; attempt < 50; attempt += 1) {
    const at = (index + attempt) % 2 === 0 ? one : two;
    const answer = await calls.redeem(code, customer, {}, key, at);
    if (answer.status !== 503 && answer.body.code !== 'CHANGED_AT_THE_SAME_TIME') return answer;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('No answer after 50 tries.');
}

const race = (redeem: (index: number) => Promise<TestResponse>): Promise<TestResponse[]> =>
  Promise.all(Array.from({ length: RACERS }, (_, index) => redeem(index)));

function outcomes(answers: readonly TestResponse[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { status, body } of answers) {
    const outcome = status === 201 ? 'redeemed' : `${status} ${body.code}`;
    counts[outcome] = (counts[outcome] ?? 0) + 1;
  }
  return counts;
}

async function stored(key: string) {
  const { rows } = await one.parts.database.pool.query(
    `select v.redeemed::int, count(r.id)::int as redemptions, count(distinct r.customer_id)::int as customers,
       (select count(*)::int from access_grant g where g.source like 'voucher:' || v.key || '/%') as grants,
       (select count(*)::int from audit_entry a where a.action = 'voucher.redeem'
          and a.object_id in (select id::text from voucher_redemption x where x.voucher_id = v.id)) as entries
     from voucher v left join voucher_redemption r on r.voucher_id = v.id where v.key = $1 group by v.id`,
    [key],
  );
  return rows[0];
}

describe('redeeming on two processes', () => {
  it('K-8 S-16 of 200 who want the last one exactly one gets it', async () => {
    const { code, key } = await calls.withCode({ maxRedemptions: 1 });
    const answers = await race((index) => redeemSurely(code, `last-${index}`, randomUUID(), index));
    expect(outcomes(answers)).toEqual({ redeemed: 1, '409 VOUCHER_EXHAUSTED': RACERS - 1 });
    expect(await stored(key)).toEqual({ redeemed: 1, redemptions: 1, customers: 1, grants: 1, entries: 1 });
    // Nothing of those who came too late remains, not even themselves.
    const { rows } = await one.parts.database.pool.query(
      `select count(*)::int as count from customer where key like 'last-%'`,
    );
    expect(rows).toEqual([{ count: 1 }]);
  }, 120_000);

  it('S-16 of 200 who want the same ten exactly ten get one each, and a code for one pocket is redeemed once', async () => {
    const { code, key } = await calls.withCode({ maxRedemptions: 10 });
    const answers = await race((index) => redeemSurely(code, `ten-${index}`, randomUUID(), index));
    expect(outcomes(answers)).toEqual({ redeemed: 10, '409 VOUCHER_EXHAUSTED': RACERS - 10 });
    expect(await stored(key)).toEqual({
      redeemed: 10,
      redemptions: 10,
      customers: 10,
      grants: 10,
      entries: 10,
    });
    const single = await calls.withCode({}, { redemptionsPerCode: 1 });
    const pocket = await race((index) => redeemSurely(single.code, `pocket-${index}`, randomUUID(), index));
    expect(outcomes(pocket)).toEqual({ redeemed: 1, '409 VOUCHER_CODE_USED': RACERS - 1 });
    expect(await stored(single.key)).toMatchObject({ redeemed: 1, redemptions: 1, grants: 1 });
  }, 120_000);

  it('200 with the same key, for a customer that nobody knew, have one effect and one answer', async () => {
    const { code, key } = await calls.withCode({ maxPerCustomer: 100 });
    const idempotencyKey = randomUUID();
    const answers = await race((index) => redeemSurely(code, 'same-key', idempotencyKey, index));
    expect(outcomes(answers)).toEqual({ redeemed: RACERS });
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
    expect(answers.filter(({ headers }) => headers.get('idempotency-replayed') === null)).toHaveLength(1);
    expect(await stored(key)).toEqual({ redeemed: 1, redemptions: 1, customers: 1, grants: 1, entries: 1 });
  }, 120_000);

  it('200 of one customer redeem as often as one customer may', async () => {
    const { code, key } = await calls.withCode({ maxPerCustomer: 3 });
    const answers = await race((index) => redeemSurely(code, 'greedy', randomUUID(), index));
    expect(outcomes(answers)).toEqual({ redeemed: 3, '409 VOUCHER_CUSTOMER_LIMIT': RACERS - 3 });
    expect(await stored(key)).toMatchObject({ redeemed: 3, redemptions: 3, customers: 1, grants: 3 });
    expect((await calls.entitlement('minutes', { customer: 'greedy' })).limit.value).toBe(350);
  }, 120_000);

  it('what one process redeemed the other one answers with at once, when the token is sent back', async () => {
    const { code } = await calls.withCode();
    const before = await voucherCalls(two).entitlement('minutes', { customer: 'fresh' });
    expect(before.limit.value).toBe(50);
    const { headers, status } = await redeemSurely(code, 'fresh', randomUUID(), 0);
    expect(status).toBe(201);
    const consistency = { 'pennon-consistency': headers.get('pennon-consistency') ?? '' };
    const after = await voucherCalls(two).entitlement('minutes', { customer: 'fresh' }, consistency);
    expect(after).toMatchObject({ reason: 'VOUCHER', limit: { value: 150 } });
  });

  it('an archived voucher is redeemed by nobody who decides after it', async () => {
    const { code, key } = await calls.withCode();
    const [archived, ...answers] = await Promise.all([
      calls.call('POST', `/vouchers/${key}/archive`, {}),
      ...Array.from({ length: 30 }, (_, index) => redeemSurely(code, `late-${index}`, randomUUID(), index)),
    ]);
    expect(archived.status).toBe(200);
    const redeemed = answers.filter(({ status }) => status === 201).length;
    expect(await stored(key)).toMatchObject({ redeemed, redemptions: redeemed, grants: redeemed });
    const late = await calls.redeem(code, 'too-late');
    expect([late.status, late.body.code]).toEqual([409, 'VOUCHER_ARCHIVED']);
  });

  it('S-16 kill -9 in the middle of redemptions loses none and doubles none', async () => {
    const count = 120;
    const { code, key } = await calls.withCode({ maxRedemptions: count - 20 });
    let process = await startServerProcess(one);
    const redeemAt = async (index: number): Promise<{ status: number; id: string | null }> => {
      const answer = await fetch(`${process.url}${ENVIRONMENT}/vouchers/redeem`, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${one.serverKey}`,
          'content-type': 'application/json',
          'idempotency-key': `killed-${index}`,
        },
        body: JSON.stringify({ code, customer: `killed-${index}` }),
      }).catch(() => null);
      if (answer === null) return { status: 0, id: null };
      const body = (await answer.json().catch(() => null)) as { id?: string } | null;
      return { status: body === null ? 0 : answer.status, id: body?.id ?? null };
    };
    const everyone = Array.from({ length: count }, (_, index) => index);
    const before: { status: number; id: string | null }[] = [];
    const waiting = [...everyone];
    let killed: Promise<void> | null = null;
    const worker = async (): Promise<void> => {
      for (let index = waiting.shift(); index !== undefined; index = waiting.shift()) {
        before[index] = await redeemAt(index);
        // The other workers are in the middle of theirs.
        if (before.filter(({ status }) => status === 201).length >= 15) killed ??= process.kill();
      }
    };
    await Promise.all(Array.from({ length: 8 }, worker));
    await killed;
    expect(before.filter(({ status }) => status === 0).length).toBeGreaterThan(0);
    expect(before.filter(({ status }) => status === 201).length).toBeGreaterThan(0);
    process = await startServerProcess(one);
    try {
      const after: { status: number; id: string | null }[] = [];
      for (const index of everyone) {
        let answer = await redeemAt(index);
        for (let tries = 0; answer.status >= 500 && tries < 20; tries += 1) answer = await redeemAt(index);
        after.push(answer);
      }
      // Whoever was told so before has that very redemption, and nobody has two.
      for (const index of everyone) {
        if (before[index]?.status === 201) expect(after[index]).toEqual(before[index]);
      }
      const redeemed = after.filter(({ status }) => status === 201);
      expect(redeemed).toHaveLength(count - 20);
      expect(new Set(redeemed.map(({ id }) => id)).size).toBe(count - 20);
      expect(after.filter(({ status }) => status === 409)).toHaveLength(20);
      const all = count - 20;
      expect(await stored(key)).toEqual({
        redeemed: all,
        redemptions: all,
        customers: all,
        grants: all,
        entries: all,
      });
    } finally {
      await process.kill();
    }
  }, 120_000);

  it('K-8 a code that is withdrawn while many redeem it is redeemed by nobody after that', async () => {
    const { code, key } = await calls.withCode({}, { redemptionsPerCode: null });
    const [{ id }] = (await calls.call('GET', `/vouchers/${key}/codes`)).body.items;
    const racing = race((index) => redeemSurely(code, `race-${index}`, randomUUID(), index));
    const withdraw = () =>
      calls.call(
        'POST',
        `/vouchers/${key}/codes/${id}/withdraw`,
        {},
        { 'if-match': '*', 'idempotency-key': 'withdrawn-in-a-race' },
      );
    let withdrawn = await withdraw();
    for (let tries = 0; withdrawn.status === 503 && tries < 50; tries += 1) withdrawn = await withdraw();
    expect(withdrawn.status, withdrawn.text).toBe(200);
    const counted = outcomes(await racing);
    const redeemed = counted['redeemed'] ?? 0;
    expect(redeemed + (counted['409 VOUCHER_CODE_WITHDRAWN'] ?? 0)).toBe(RACERS);
    expect(redeemed).toBe(withdrawn.body.redeemed);
    expect(await stored(key)).toMatchObject({ redeemed, redemptions: redeemed });
  }, 120_000);
});
