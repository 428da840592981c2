import { parseCatalog } from '@pennon/engine/catalog/parse-catalog';
import type { CustomerState, Instant } from '@pennon/engine/model/customer';
import type { EvaluationRequest } from '@pennon/engine/model/evaluation';
import { compileSnapshot } from '@pennon/engine/snapshot/compile-snapshot';
import type { Snapshot } from '@pennon/engine/snapshot/snapshot';
import { NOTHING_TOLD } from '@pennon/engine/usage/notices';
import { describe, expect, it } from 'vitest';
import type { LockedAccount, LockedFrame, LockRequest } from '../store/account-transaction.js';
import { NOTHING_ENDED } from '../store/reservation-statements.js';
import { ByCall } from './by-call.js';
import type { ConsumeRequest } from './consume-request.js';
import { type DecidedAhead, decideAhead, type SentBatch } from './decide-ahead.js';
import { createBatchDecider } from './decide-batch.js';
import { settleAll } from './settle-batch.js';

/*
 * A batch that is decided while the one before it is written: what is tried, and what it rests on. Whether it then stands is asked of the
 * store (`consume-one-behind-another.test.ts`).
 */

const HOUR = 3_600_000;
const NOW = Date.UTC(2027, 2, 10, 12, 59, 59);
const NEXT_HOUR = Date.UTC(2027, 2, 10, 13);

const governed = 'category: limit, owner: a@example.com, purpose: A test, removal: permanent';
const CATALOG = `
product: { key: test, name: Test }
features:
  - { key: calls, type: metered, reset: { every: hour }, ${governed} }
  - { key: seats, type: metered, reset: never, warnAt: [80], ${governed} }
  - { key: beta, type: metered, reset: never, ${governed} }
segments:
  - { key: early, condition: 'now < timestamp("2027-03-10T12:59:59.950Z")', entitlements: [{ feature: beta, value: 3 }] }
plans:
  - { key: pro, entitlements: [{ feature: calls, value: 50 }, { feature: seats, value: 50 }, { feature: beta, value: 1 }] }
`;

function compile(): Snapshot {
  const { catalog, issues } = parseCatalog([{ name: 'catalog.yaml', text: CATALOG }]);
  if (catalog === null) throw new Error(JSON.stringify(issues));
  return compileSnapshot({ catalog, environment: 'production', revision: 1, productId: 'p' }).snapshot;
}
const SNAPSHOT = compile();

const ACME = {
  ...{ id: 'c', key: 'acme', version: 1, createdAt: 0, timeZone: null, attributes: {} },
  ...{ groups: [], memberships: [], grants: [], accounts: [] },
  licenses: [
    {
      ...{ id: 'l', product: 'test', plan: 'pro', planVersion: 0, kind: 'paid', status: 'active' },
      ...{ startsAt: 0, endsAt: null, anchor: null, timeZone: null, addons: [], createdAt: 0 },
    },
  ],
} as unknown as CustomerState;

const SUBJECT = {
  ...{ targetingKey: 'acme', customerKey: 'acme', userKey: null, teamKey: null, instance: null, sku: null },
  proven: true,
};
const EVALUATION = {
  ...{ snapshot: SNAPSHOT, customer: ACME, subject: SUBJECT, context: {}, now: NOW },
} as unknown as EvaluationRequest<Snapshot>;

function account(feature: string, stands: Partial<LockedAccount> = {}): LockedAccount {
  const period =
    feature === 'calls'
      ? { periodStart: NEXT_HOUR - HOUR, periodEnd: NEXT_HOUR }
      : { periodStart: null, periodEnd: null };
  return {
    ...{ feature, scope: '', used: 0, reserved: 0, nextHoldEnd: null, ...period },
    ...{ covered: 0, hasLots: false, limitKnown: feature === 'beta' ? 1 : 50, told: NOTHING_TOLD },
    ...stands,
  };
}

function frameOf(...accounts: LockedAccount[]): LockedFrame {
  return {
    ...{ now: NOW, customer: { version: 1 }, revision: 1, versions: { subjects: 0, shared: 0 } },
    ...{ accounts, earlier: [], reservations: [], holders: [] },
  };
}

let calls = 0;

function request(feature: string, more: Partial<ConsumeRequest> = {}): ConsumeRequest {
  calls += 1;
  const item = { key: feature, account: { feature, scope: '' }, amount: 1, attributes: {}, holder: null };
  const versions = { subjects: 0, shared: 0 };
  return {
    ...{ operation: 'consume', customerKey: 'acme', idempotencyKey: `call-${calls}`, requestHash: '00' },
    ...{ mode: 'all', actor: 'test', evaluation: { request: EVALUATION, versions, items: [item] } },
    ...more,
  } as unknown as ConsumeRequest;
}

function lockRequest(feature: string, more: Partial<LockRequest> = {}): LockRequest {
  return {
    ...{ environmentId: 'e', productId: 'p', customerId: 'c', idempotencyKeys: [] },
    ...{ accounts: [{ feature, scope: '' }], reservationIds: [], holders: [] },
    ...more,
  };
}

/** A batch of one that is on its way to the store. */
function sent(feature: string, stands: Partial<LockedAccount> = {}): SentBatch {
  const frame = frameOf(account(feature, stands));
  const decider = createBatchDecider(frame, NOTHING_ENDED, new Map());
  const one = request(feature);
  settleAll([one], [one.evaluation], new ByCall(), frame, decider.decide);
  return { place: {}, productId: 'p', frame, write: decider.write() };
}

interface Tried {
  readonly lock?: Partial<LockRequest>;
  readonly now?: Instant;
}

function tried(
  behind: SentBatch,
  feature: string,
  requests: readonly ConsumeRequest[],
  { lock = {}, now = NOW + 5 }: Tried = {},
): DecidedAhead | null {
  const evaluations = requests.map(({ evaluation }) => evaluation);
  return decideAhead(behind, lockRequest(feature, lock), requests, evaluations, now);
}

describe('X-5 law 2: a batch decided on the balances that the one before leaves', () => {
  it('is decided on them at the instant given, and says on what it rests', () => {
    const behind = sent('calls', { used: 6 });
    const decided = tried(behind, 'calls', [request('calls'), request('calls')]);
    expect(decided).toMatchObject({
      expected: {
        ...{ now: NOW + 5, customer: { version: 1 }, revision: 1, versions: { subjects: 0, shared: 0 } },
        accounts: [{ feature: 'calls', used: 7, reserved: 0, limitKnown: 50, periodEnd: NEXT_HOUR }],
        ...{ earlier: [], reservations: [], holders: [] },
      },
      validUntil: NEXT_HOUR,
      write: {
        now: NOW + 5,
        accounts: [{ used: 9, before: { used: 7 } }],
        consumptions: [{ usedAfter: 8 }, { usedAfter: 9 }],
        hours: [{ hour: NEXT_HOUR - HOUR, amount: 2, lastAt: NOW + 5, usedAfter: 9 }],
      },
    });
    const answer = { decidedAt: NOW + 5, replayed: false };
    expect(decided?.settled).toMatchObject([
      { ok: true, answer: { ...answer, decisions: [{ usedBefore: 7, usedAfter: 8 }] } },
      { ok: true, answer: { ...answer, decisions: [{ usedBefore: 8, usedAfter: 9 }] } },
    ]);
  });

  it('is decided at no instant before that of the one before, whatever the clock shows', () => {
    const decided = tried(sent('calls'), 'calls', [request('calls')], { now: NOW - 3000 });
    expect(decided?.expected.now).toBe(NOW);
    expect(decided?.write.consumptions).toHaveLength(1);
    expect(decided?.write.now).toBe(NOW);
  });

  it('rests on the account of the one before it though that batch did not write it', () => {
    const behind = sent('calls');
    const other = account('seats', { used: 11 });
    const frame = { ...behind.frame, accounts: [...behind.frame.accounts, other] };
    const decided = tried({ ...behind, frame }, 'seats', [request('seats')]);
    expect(decided?.expected.accounts).toEqual([other]);
    expect(decided?.write.accounts).toMatchObject([{ used: 12, before: { used: 11 } }]);
    expect(decided?.validUntil).toBeNull();
  });

  it('follows one that was decided ahead itself, on what that one leaves', () => {
    const first = tried(sent('calls', { used: 6 }), 'calls', [request('calls')]);
    if (first === null) throw new Error('Nothing was decided ahead.');
    const behind = { place: {}, productId: 'p', frame: first.expected, write: first.write };
    const second = tried(behind, 'calls', [request('calls')], { now: NOW + 7 });
    expect(second?.expected).toMatchObject({ now: NOW + 7, accounts: [{ used: 8 }] });
    expect(second?.write.accounts).toMatchObject([{ used: 9, before: { used: 8 } }]);
  });

  it('is not tried where it is over in less than 100 ms: the store would come to it too late', () => {
    const behind = sent('calls');
    expect(tried(behind, 'calls', [request('calls')], { now: NEXT_HOUR - 100 })?.validUntil).toBe(NEXT_HOUR);
    expect(tried(behind, 'calls', [request('calls')], { now: NEXT_HOUR - 99 })).toBeNull();
  });

  it('is not tried where a segment that carries the feature asks for the time: it holds for its instant alone', () => {
    const behind = sent('beta');
    expect(behind.write.consumptions).toMatchObject([{ allowed: true, limitAtDecision: 3 }]);
    expect(tried(behind, 'beta', [request('beta')])).toBeNull();
  });

  it('is not tried where it consumes nothing', () => {
    const behind = sent('seats');
    expect(tried(behind, 'seats', [])).toBeNull();
  });

  it.each<[string, Partial<ConsumeRequest>, Partial<LockRequest>, Partial<LockedAccount>]>([
    ['a reservation is settled', {}, { reservationIds: ['r'] }, {}],
    ['something is reserved', { reservation: { kind: 'make', ttlMilliseconds: 1 } }, {}, {}],
    ['a holder is named', {}, { holders: [{ feature: 'seats', scope: '', holder: 'h' }] }, {}],
    ['what happened is counted', { happened: [] }, {}, {}],
    ['only time is followed', { touches: true }, {}, {}],
    ['something is held', {}, {}, { reserved: 1, nextHoldEnd: NOW + HOUR }],
    ['there is no room', {}, {}, { used: 49 }],
    ['it is of another product', {}, { productId: 'q' }, {}],
    ['an account is another one', {}, { accounts: [{ feature: 'calls', scope: '' }] }, {}],
  ])('is not tried where %s', (_, more, lock, stands) => {
    expect(tried(sent('seats'), 'seats', [request('seats')])).not.toBeNull();
    expect(tried(sent('seats', stands), 'seats', [request('seats', more)], { lock })).toBeNull();
  });

  it('is not tried behind a denial', () => {
    const behind = sent('seats', { used: 50 });
    expect(behind.write.consumptions).toMatchObject([{ allowed: false }]);
    expect(tried(behind, 'seats', [request('seats')])).toBeNull();
  });

  it.each<[string, Partial<LockedFrame>]>([
    ['catalog', { revision: 2 }],
    ['customer', { customer: { version: 2 } }],
    ['users and instances', { versions: { subjects: 1, shared: 0 } }],
    ['what many are granted', { versions: { subjects: 0, shared: 1 } }],
  ])('is not tried with what this process knows to be old of the %s', (_, newer) => {
    const behind = sent('seats');
    const requests = [request('seats')];
    expect(tried(behind, 'seats', requests)).not.toBeNull();
    expect(tried({ ...behind, frame: { ...behind.frame, ...newer } }, 'seats', requests)).toBeNull();
  });

  it('is not tried where lots cover what is used', () => {
    const behind = sent('seats');
    const accounts = behind.write.accounts.map((written) => ({ ...written, hasLots: true }));
    const write = { ...behind.write, accounts };
    expect(tried({ ...behind, write }, 'seats', [request('seats')])).toBeNull();
  });

  it('is not tried where a period opens: it is closed and opened under locks that were held first', () => {
    const behind = sent('calls');
    expect(tried(behind, 'calls', [request('calls')], { now: NEXT_HOUR + 5 })).toBeNull();
  });

  it('is not kept where it tells something: that carries the instant of the decision', () => {
    expect(tried(sent('seats', { used: 37 }), 'seats', [request('seats')])).not.toBeNull();
    expect(tried(sent('seats', { used: 38 }), 'seats', [request('seats')])).toBeNull();
  });
});
