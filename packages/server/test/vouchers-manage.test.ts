import { createHash } from 'node:crypto';
import type { TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { auditOf } from './contracts-support.js';
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

const DAY = 86_400_000;
const THEME = { type: 'flag', flag: 'theme', variant: 'dark' };
const CONFIG = { type: 'set', feature: 'branding', value: { logo: 'own' } };

describe('vouchers', () => {
  it('are drafts until they are activated, with every change in the trail', async () => {
    const { body } = await calls.create({ state: undefined, name: 'Spring' });
    expect(body).toMatchObject({
      state: 'draft',
      maxPerCustomer: 1,
      stacking: 'stackable',
      redeemed: 0,
      version: 1,
    });
    const patched = await calls.call(
      'PATCH',
      `/vouchers/${body.key}`,
      { effects: [ADD(5)], maxPerCustomer: 2, plans: ['pro'] },
      { 'if-match': '"1"' },
    );
    expect(patched.body).toMatchObject({ effects: [ADD(5)], maxPerCustomer: 2, plans: ['pro'], version: 2 });
    expect(patched.headers.get('etag')).toBe('"2"');
    const stale = await calls.call('PATCH', `/vouchers/${body.key}`, { name: 'x' }, { 'if-match': '"1"' });
    expect(stale.status).toBe(412);
    expect((await calls.call('PATCH', `/vouchers/${body.key}`, { name: 'x' })).status).toBe(428);
    await calls.call('POST', `/vouchers/${body.key}/activate`, {});
    const twice = await calls.call('POST', `/vouchers/${body.key}/activate`, {});
    expect([twice.status, twice.body.code]).toEqual([409, 'VOUCHER_NOT_DRAFT']);
    const entries = await auditOf(server, body.id);
    expect(entries.map((entry) => entry.action)).toEqual([
      'voucher.create',
      'voucher.change',
      'voucher.activate',
    ]);
    expect((await calls.create({ key: body.key })).body.code).toBe('VOUCHER_EXISTS');
  });

  it('keep what holders of codes were promised, and conditions alike for everyone', async () => {
    const { code, key } = await calls.withCode({ maxRedemptions: 5 });
    const patch = async (body: Record<string, unknown>) => {
      const answer = await calls.call('PATCH', `/vouchers/${key}`, body, { 'if-match': '*' });
      return answer.status === 200 ? 'changed' : answer.body.code;
    };
    for (const body of [
      { effects: [ADD(1)] },
      { kind: 'COMPOSITE' },
      { target: 'user' },
      { lasts: { days: 1 } },
    ]) {
      expect(await patch(body)).toBe('VOUCHER_FROZEN');
    }
    expect(await patch({ maxPerCustomer: 2 })).toBe('changed');
    await calls.redeem(code, 'holder');
    for (const body of [
      { eligibility: 'true' },
      { plans: null },
      { firstTimeOnly: true },
      { stacking: 'exclusive' },
    ]) {
      expect(await patch(body)).toBe('VOUCHER_FROZEN');
    }
    expect(await patch({ name: 'Later', endsAt: soon(DAY), maxRedemptions: 1 })).toBe('changed');
    await calls.call('PATCH', `/vouchers/${key}`, { maxRedemptions: 9 }, { 'if-match': '*' });
    await calls.redeem(code, 'holder-2');
    expect(await patch({ maxRedemptions: 1 })).toBe('BELOW_REDEEMED');
  });

  it.each([
    [{ kind: 'FLAG_GRANT' }, 'EFFECTS_NOT_OF_KIND', '/effects'],
    [{ kind: 'FLAG_GRANT', effects: [THEME, THEME] }, 'EFFECT_TWICE', '/effects/1'],
    [{ kind: 'ENTITLEMENT_BOOST', effects: [THEME] }, 'EFFECTS_NOT_OF_KIND', '/effects'],
    [{ kind: 'ENTITLEMENT_BOOST', effects: [CONFIG] }, 'EFFECTS_NOT_OF_KIND', '/effects'],
    [{ kind: 'CONFIG_GRANT', effects: [ADD(1)] }, 'EFFECTS_NOT_OF_KIND', '/effects'],
    [{ kind: 'COMPOSITE', effects: [ADD(1)] }, 'EFFECTS_NOT_OF_KIND', '/effects'],
    [{ effects: [{ type: 'deny', feature: 'minutes' }] }, 'EFFECT_NOT_OF_VOUCHER', '/effects/0/type'],
    [{ kind: 'COMPOSITE', effects: [THEME, ADD(1, 'minuets')] }, 'FEATURE_UNKNOWN', '/effects/1/feature'],
    [
      { kind: 'CONFIG_GRANT', effects: [{ ...CONFIG, value: { logo: 3 } }] },
      'VALUE_NOT_OF_SCHEMA',
      '/effects/0/value/logo',
    ],
    [{ target: 'user' }, 'GRANT_BELOW_ACCOUNT', '/target'],
    [{ lasts: 'forever' }, 'CONTRACT_REFERENCE_MISSING', '/contractReference'],
    [{ endsAt: '2020-01-01T00:00:00Z' }, 'SPAN_EMPTY', '/endsAt'],
    [{ lasts: { until: '2020-01-01T00:00:00Z' } }, 'SPAN_EMPTY', '/lasts/until'],
    [{ firstTimeOnly: true, maxPerCustomer: 2 }, 'FIRST_TIME_IS_ONCE', '/maxPerCustomer'],
    [{ plans: ['pro', 'por'] }, 'PLAN_UNKNOWN', '/plans/1'],
    [{ plans: ['pro@9'] }, 'PLAN_UNKNOWN', '/plans/0'],
    [{ code: 'SPRING26' }, 'TYPED_CODE_UNBOUNDED', '/maxRedemptions'],
    [{ code: 'SPRING26', maxRedemptions: 5 }, 'TYPED_CODE_UNBOUNDED', '/endsAt'],
    [{ code: 'AB-12', maxRedemptions: 5, endsAt: soon(DAY) }, 'TYPED_CODE_REFUSED', '/code'],
    [{ code: 'A'.repeat(20), maxRedemptions: 5, endsAt: soon(DAY) }, 'TYPED_CODE_REFUSED', '/code'],
  ])('are refused with the member named (%#)', async (body, code, pointer) => {
    const answer = await calls.create(body);
    expect([answer.status, answer.body.code, answer.body.errors?.[0]?.pointer]).toEqual([422, code, pointer]);
  });

  it.each([
    ['plan.teir == "pro"', 'EXPRESSION', 'tier'],
    ['customer.attributes.seats <', 'EXPRESSION', undefined],
    ['1 + 1', 'EXPRESSION', undefined],
    ['user.email.endsWith("@acme.example")', 'EXPRESSION_LAYER', undefined],
    ['flag("theme") == "dark"', 'EXPRESSION_LAYER', undefined],
    ['usage("minutes") > 3', 'EXPRESSION_LAYER', undefined],
    ['segment("staff")', 'SEGMENT_FORGEABLE', undefined],
    ['entitlement("report")', 'EXPRESSION', 'reports'],
  ])('have a condition over facts of the server: not `%s`', async (eligibility, code, suggestion) => {
    const answer = await calls.create({ eligibility });
    expect([answer.status, answer.body.code]).toEqual([422, 'ELIGIBILITY_INVALID']);
    expect(answer.body.errors[0]).toMatchObject({ code, pointer: '/eligibility', line: 1 });
    expect(answer.body.errors[0].suggestion).toBe(suggestion);
  });

  it('are asked for by key or id, by product and by state', async () => {
    const { body } = await calls.create({ name: 'Listed' });
    expect((await calls.call('GET', `/vouchers/${body.id}`)).body).toEqual(body);
    const missing = await calls.call('GET', '/vouchers/nothing');
    expect([missing.status, missing.body.code]).toEqual([404, 'VOUCHER_NOT_FOUND']);
    const active = await calls.call('GET', '/vouchers?state=active&product=test&limit=1');
    expect(active.body.items[0]).toEqual(body);
    expect(active.body.nextCursor).not.toBeNull();
    const rest = await calls.call('GET', `/vouchers?state=active&limit=500&cursor=${active.body.nextCursor}`);
    expect(rest.body.items.map((item: { id: string }) => item.id)).not.toContain(body.id);
    for (const state of ['draft', 'expired', 'exhausted', 'archived']) {
      const { items } = (await calls.call('GET', `/vouchers?state=${state}&limit=500`)).body;
      expect(items.every((item: { state: string }) => item.state === state)).toBe(true);
    }
  });

  it('a typed code is read like any, is taken once, and keeps its limit and its end', async () => {
    const bounded = { maxRedemptions: 5, endsAt: soon(DAY) };
    const { body } = await calls.create({ code: 'Spring-26', ...bounded });
    expect((await calls.redeem('sprlng26', 'typist')).status).toBe(201);
    expect((await calls.create({ code: 'SPRING26', ...bounded })).body.code).toBe('CODE_TAKEN');
    for (const open of [{ maxRedemptions: null }, { endsAt: null }]) {
      const answer = await calls.call('PATCH', `/vouchers/${body.key}`, open, { 'if-match': '*' });
      expect([answer.status, answer.body.code]).toEqual([422, 'TYPED_CODE_UNBOUNDED']);
    }
    const [item] = (await calls.call('GET', `/vouchers/${body.key}/codes`)).body.items;
    expect(item).toMatchObject({ kind: 'typed', hint: '…G26', redeemed: 1 });
    const unbounded = await calls.create();
    const late = await calls.call('POST', `/vouchers/${unbounded.body.key}/codes`, { code: 'AUTUMN26' });
    expect(late.body.code).toBe('TYPED_CODE_UNBOUNDED');
  });

  it('codes come by the thousand, each different, and page by page as hints', async () => {
    const { body } = await calls.create();
    const codes = await calls.codesOf(body.key, { count: 2500 });
    expect(new Set(codes).size).toBe(2500);
    const page = await calls.call('GET', `/vouchers/${body.key}/codes?limit=500`);
    expect(page.body.items).toHaveLength(500);
    const next = await calls.call(
      'GET',
      `/vouchers/${body.key}/codes?limit=500&cursor=${page.body.nextCursor}`,
    );
    expect(next.body.items[0].id > page.body.items[499].id).toBe(true);
    expect((await calls.call('POST', `/vouchers/${body.key}/codes`, { count: 10_001 })).status).toBe(400);
    const both = await calls.call('POST', `/vouchers/${body.key}/codes`, { count: 1, code: 'EITHER-OR' });
    expect([both.status, both.body.code]).toEqual([400, 'CODES_AMBIGUOUS']);
  });
});

describe('guessing (S-16)', () => {
  it('is stopped after ten wrong codes of one person, over all processes, and only for a while', async () => {
    const { adminKey: admin, serverKey, clientKey: client } = server;
    const other = await startVoucherServer({
      databaseUrl: server.databaseUrl,
      keys: { admin, server: serverKey, client },
    });
    try {
      await calls.call('PUT', '/customers/guesser', {});
      const { code } = await calls.withCode();
      const answers = await Promise.all(
        Array.from({ length: 40 }, (_, index) =>
          calls.redeem(`GUESS-${index}`, 'guesser', {}, undefined, index % 2 === 0 ? server : other),
        ),
      );
      const statuses = answers.map(({ status }) => status);
      expect(statuses.filter((status) => status === 404)).toHaveLength(10);
      expect(statuses.filter((status) => status === 429)).toHaveLength(30);
      // The right one neither, or it would be told from the wrong ones; and not by asking only.
      expect((await calls.redeem(code, 'guesser')).status).toBe(429);
      expect((await calls.check(code, 'guesser')).status).toBe(429);
      // What was refused is not counted: a persistent guesser waits no longer than a patient one.
      const { rows } = await server.parts.database.pool.query(
        'select max(misses)::int as most from voucher_miss',
      );
      expect(rows[0].most).toBeLessThanOrEqual(20);
      // Others are in nobody's shadow, and time heals.
      expect((await calls.redeem(code, 'honest')).status).toBe(201);
      await server.parts.database.pool.query(
        `update voucher_miss set bucket = bucket - interval '12 minutes'`,
      );
      expect((await calls.redeem(code, 'guesser')).status).toBe(201);
      await calls.redeem('ONE-MORE-GUESS', 'guesser');
      const left = await server.parts.database.pool.query(
        `select count(*)::int as count from voucher_miss where bucket < now() - interval '11 minutes'`,
      );
      expect(left.rows[0].count).toBeLessThan(20);
    } finally {
      await other.stop();
    }
  });

  it('by many customers is stopped by the key, for those who failed and for those nobody knows', async () => {
    const crowd = Array.from({ length: 20 }, (_, index) => `crowd-${index}`);
    const { code } = await calls.withCode();
    await calls.call('PUT', '/customers/known', {});
    await calls.call('PUT', '/customers/failed', {});
    await calls.redeem('A-SLIP-OF-MINE', 'failed');
    for (const who of crowd) await calls.redeem('WRONG-CODE', who);
    // As if a thousand had: the share of the key is the largest.
    await server.parts.database.pool.query(
      // Summed, because a minute may turn meanwhile.
      `update voucher_miss set misses = 1000
       where subject in (select subject from voucher_miss group by subject having sum(misses) >= 20)`,
    );
    expect((await calls.redeem(code, 'failed')).status).toBe(429);
    expect((await calls.redeem(code, 'never-seen')).status).toBe(429);
    // An honest customer is not locked out by what others did.
    expect((await calls.redeem(code, 'known')).status).toBe(201);
    await server.parts.database.pool.query('delete from voucher_miss');
  });

  it('a slip that the check character shows is no guess; a browser counts for itself', async () => {
    const { code } = await calls.withCode();
    const slip = `${code.slice(0, -1)}${code.endsWith('2') ? '3' : '2'}`;
    for (let tries = 0; tries < 15; tries += 1) {
      expect((await calls.redeem(slip, 'clumsy')).status).toBe(404);
    }
    expect((await calls.redeem(code, 'clumsy')).status).toBe(201);
    const browser = await browserOf(server, { customer: 'office', user: 'eve' });
    for (let tries = 0; tries < 10; tries += 1) await browser('check', { code: `WRONG-${tries}` });
    expect((await browser('redeem', { code })).status).toBe(429);
    const colleague = await browserOf(server, { customer: 'office', user: 'ann' });
    await calls.call('PUT', '/customers/office', {});
    expect((await colleague('redeem', { code })).status).toBe(201);
  });
});

describe('K-8 one code', () => {
  it('is withdrawn with a reason, and the others stay good', async () => {
    const { key } = await calls.withCode({}, { count: 3, redemptionsPerCode: 5 });
    const { codes } = (
      await calls.call('POST', `/vouchers/${key}/codes`, { count: 2, redemptionsPerCode: 5 })
    ).body;
    const [lost, good] = codes as [string, string];
    expect((await calls.redeem(lost, 'early')).status).toBe(201);
    const listed = (await calls.call('GET', `/vouchers/${key}/codes`)).body.items;
    const { id } = listed.find((one: { hint: string; redeemed: number }) => one.redeemed === 1);
    const path = `/vouchers/${key}/codes/${id}`;
    const read = await calls.call('GET', path);
    expect([read.status, read.headers.get('etag')]).toEqual([200, '"1"']);
    expect(read.body).toMatchObject({ redeemed: 1, withdrawnAt: null, withdrawReason: null, version: 1 });
    expect((await calls.call('POST', `${path}/withdraw`, {})).status).toBe(428);
    const stale = await calls.call('POST', `${path}/withdraw`, {}, { 'if-match': '"2"' });
    expect([stale.status, stale.body.code]).toEqual([412, 'PRECONDITION_FAILED']);
    const withdrawn = await calls.call(
      'POST',
      `${path}/withdraw`,
      { reason: 'it was posted in a forum' },
      { 'if-match': '"1"' },
    );
    expect([withdrawn.status, withdrawn.headers.get('etag')]).toEqual([200, '"2"']);
    expect(withdrawn.body).toMatchObject({
      withdrawnAt: expect.any(String),
      withdrawReason: 'it was posted in a forum',
      redeemed: 1,
    });
    const refused = await calls.redeem(lost, 'late');
    expect([refused.status, refused.body.code]).toEqual([409, 'VOUCHER_CODE_WITHDRAWN']);
    expect((await calls.check(lost, 'late')).body).toMatchObject({
      redeemable: false,
      refusal: { code: 'VOUCHER_CODE_WITHDRAWN' },
    });
    expect((await calls.redeem(good, 'late')).status).toBe(201);
    const again = await calls.call('POST', `${path}/withdraw`, {}, { 'if-match': '*' });
    expect([again.status, again.body.code]).toEqual([409, 'VOUCHER_CODE_WITHDRAWN']);
    const entries = await auditOf(server, id);
    expect(entries).toMatchObject([
      {
        action: 'voucher.withdraw-code',
        reason: 'it was posted in a forum',
        after: { id, hint: read.body.hint, version: 2 },
      },
    ]);
    expect(JSON.stringify(entries)).not.toContain(lost);
    const { key: other } = await calls.withCode();
    for (const wrong of [`/vouchers/${other}/codes/${id}`, `/vouchers/${key}/codes/none`]) {
      const missing = await calls.call('POST', `${wrong}/withdraw`, {}, { 'if-match': '*' });
      expect([missing.status, missing.body.code]).toEqual([404, 'VOUCHER_CODE_NOT_FOUND']);
    }
  });

  it('comes with the others as a file where one is asked for, this once', async () => {
    const { key } = await calls.withCode();
    const ask = (accept: string, idempotencyKey: string) =>
      calls.call(
        'POST',
        `/vouchers/${key}/codes`,
        { count: 3 },
        { accept, 'idempotency-key': idempotencyKey },
      );
    const file = await ask('text/csv', 'codes-file-1');
    expect([file.status, file.headers.get('content-type')]).toEqual([201, 'text/csv; charset=utf-8']);
    const [heading, ...lines] = file.text.trimEnd().split('\r\n');
    expect(heading).toBe('code,voucher,batch,redemptionsPerCode');
    expect(lines).toHaveLength(3);
    for (const line of lines) {
      const [code = '', voucher, , each] = line.split(',');
      expect([voucher, each]).toEqual([key, '1']);
      expect((await calls.check(code, 'reader')).body.redeemable).toBe(true);
    }
    // A repeat shows none, and so it is no file that looks as if there were none.
    const repeat = await ask('text/csv', 'codes-file-1');
    expect(repeat.headers.get('content-type')).toContain('application/json');
    expect(repeat.body).toMatchObject({ codes: null });
    expect((await ask('application/json', 'codes-file-2')).body.codes).toHaveLength(3);
  });
});

describe('S-16 behind a proxy', () => {
  const subjectOf = (address: string) =>
    createHash('sha256').update(`address\u0000${address}`).digest().subarray(0, 16).toString('hex');
  const missed = async (at: TestServer) => {
    const { rows } = await at.parts.database.pool.query<{ subject: string }>(
      `select encode(subject, 'hex') as subject from voucher_miss`,
    );
    return rows.map(({ subject }) => subject);
  };

  it('the address is what a trusted proxy says, and nobody else is believed', async () => {
    const trusting = await startVoucherServer({ trustedProxies: ['loopback', '10.0.0.0/8'] });
    const wary = await startVoucherServer({ trustedProxies: ['10.0.0.0/8'] });
    try {
      for (const at of [trusting, wary]) {
        const browser = await browserOf(at, { customer: 'office', user: 'eve' });
        // What the browser itself wrote stands first; the last that is no proxy is whom the proxies saw.
        const forwarded = { 'x-forwarded-for': '1.2.3.4, 203.0.113.9, 10.1.2.3' };
        await browser('check', { code: 'WRONG-ONE' }, undefined, forwarded);
      }
      expect(await missed(trusting)).toContain(subjectOf('203.0.113.9'));
      expect(await missed(trusting)).not.toContain(subjectOf('127.0.0.1'));
      expect(await missed(wary)).toContain(subjectOf('127.0.0.1'));
      for (const at of [trusting, wary]) expect(await missed(at)).not.toContain(subjectOf('1.2.3.4'));
    } finally {
      await trusting.stop();
      await wary.stop();
    }
  });
});
