import { parseCatalog } from '@pennon/engine/catalog/parse-catalog';
import type { CustomerState } from '@pennon/engine/model/customer';
import type { EvaluationRequest } from '@pennon/engine/model/evaluation';
import { compileSnapshot } from '@pennon/engine/snapshot/compile-snapshot';
import type { Snapshot } from '@pennon/engine/snapshot/snapshot';
import { NOTHING_TOLD } from '@pennon/engine/usage/notices';
import { describe, expect, it } from 'vitest';
import type {
  AccountTransaction,
  BatchWrite,
  EarlierConsumption,
  LockedAccount,
  LockedFrame,
  LockRequest,
} from '../store/account-transaction.js';
import { NOTHING_ENDED } from '../store/reservation-statements.js';
import { ByCall } from './by-call.js';
import type { ConsumeRequest } from './consume-request.js';
import { confirmAhead, type DecidedAhead, decideAhead, type SentBatch } from './decide-ahead.js';
import { createBatchDecider } from './decide-batch.js';
import { settleAll } from './settle-batch.js';

/* A batch that is decided while the one before it is written: what stands of it, and what does not. */

const HOUR = 3_600_000;
const NOW = Date.UTC(2027, 2, 10, 12, 59, 59, 900);
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
  return { transaction: { frame } as unknown as AccountTransaction, write: decider.write() };
}

function ahead(behind: SentBatch, requests: readonly ConsumeRequest[], feature: string): DecidedAhead {
  const evaluations = requests.map(({ evaluation }) => evaluation);
  const decided = decideAhead(behind, lockRequest(feature), requests, evaluations);
  if (decided === null) throw new Error('Nothing was decided ahead.');
  return decided;
}

/** What the store says under the locks, once the batch before is written. */
function after(write: BatchWrite, more: Partial<LockedFrame> = {}): LockedFrame {
  return { ...frameOf(...write.accounts), now: NOW + 5, ...more };
}

describe('X-5 law 2: a batch decided on the balances that the one before leaves', () => {
  it('stands where they are what the store then says, at the instant that it says', () => {
    const behind = sent('calls', { used: 6 });
    const requests = [request('calls'), request('calls')];
    const confirmed = confirmAhead(ahead(behind, requests, 'calls'), after(behind.write), requests);
    expect(confirmed?.write).toMatchObject({
      now: NOW + 5,
      accounts: [{ used: 9, before: { used: 7 } }],
      hours: [{ amount: 2, lastAt: NOW + 5, usedAfter: 9 }],
    });
    expect(confirmed?.settled).toMatchObject([
      {
        ok: true,
        answer: { decidedAt: NOW + 5, replayed: false, decisions: [{ usedBefore: 7, usedAfter: 8 }] },
      },
      { ok: true, answer: { decidedAt: NOW + 5, decisions: [{ usedBefore: 8, usedAfter: 9 }] } },
    ]);
  });

  const another = (stands: Partial<LockedAccount>) => (frame: LockedFrame) => ({
    ...frame,
    accounts: frame.accounts.map((one) => ({ ...one, ...stands })),
  });
  const read = (more: Partial<LockedFrame>) => (frame: LockedFrame) => ({ ...frame, ...more });

  it.each<[string, (frame: LockedFrame) => LockedFrame]>([
    ['somebody else used something', another({ used: 8 })],
    ['something is held', another({ reserved: 1, nextHoldEnd: NOW + HOUR })],
    ['something is covered by a lot', another({ covered: 1 })],
    ['there are lots', another({ hasLots: true })],
    ['another limit was decided with', another({ limitKnown: 49 })],
    ['something was told', another({ told: { rank: 1, at: NOW, limit: 50 } })],
    ['another period stands there', another({ periodStart: NOW - 1 })],
    ['the period ends otherwise', another({ periodEnd: NEXT_HOUR + HOUR })],
    ['an account is gone', read({ accounts: [] })],
    ['something was published', read({ revision: 2 })],
    ['the customer changed', read({ customer: { version: 2 } })],
    ['the customer is gone', read({ customer: null })],
    ['a user or an instance changed', read({ versions: { subjects: 1, shared: 0 } })],
    ['what many are granted changed', read({ versions: { subjects: 0, shared: 1 } })],
    ['the period is over', read({ now: NEXT_HOUR })],
    ['the clock was set back', read({ now: NOW - 1 })],
  ])('does not stand where %s', (_, change) => {
    const behind = sent('calls', { used: 6 });
    const requests = [request('calls')];
    const decided = ahead(behind, requests, 'calls');
    expect(confirmAhead(decided, after(behind.write), requests)).not.toBeNull();
    expect(confirmAhead(decided, change(after(behind.write)), requests)).toBeNull();
  });

  it('does not stand where one of its keys was answered before, and another operation under the key is no answer', () => {
    const behind = sent('calls');
    const requests = [request('calls')];
    const decided = ahead(behind, requests, 'calls');
    const earlier = (operation: string) =>
      [{ operation, idempotencyKey: requests[0]?.idempotencyKey }] as unknown as EarlierConsumption[];
    expect(confirmAhead(decided, after(behind.write, { earlier: earlier('consume') }), requests)).toBeNull();
    expect(
      confirmAhead(decided, after(behind.write, { earlier: earlier('release') }), requests),
    ).not.toBeNull();
  });

  it('holds for its instant alone where a segment that carries the feature asks for the time', () => {
    const behind = sent('beta');
    const requests = [request('beta')];
    const decided = ahead(behind, requests, 'beta');
    expect(decided.settled).toMatchObject([
      { answer: { decisions: [{ allowed: true, limitAtDecision: 3 }] } },
    ]);
    expect(confirmAhead(decided, after(behind.write, { now: NOW }), requests)).toBeNull();
    expect(confirmAhead(decided, after(behind.write, { now: NOW + 60 }), requests)).toBeNull();
  });

  it.each<[string, Partial<ConsumeRequest>, Partial<LockRequest>, Partial<LockedAccount>]>([
    ['a reservation is settled', {}, { reservationIds: ['r'] }, {}],
    ['something is reserved', { reservation: { kind: 'make', ttlMilliseconds: 1 } }, {}, {}],
    ['a holder is named', {}, { holders: [{ feature: 'seats', scope: '', holder: 'h' }] }, {}],
    ['what happened is counted', { happened: [] }, {}, {}],
    ['only time is followed', { touches: true }, {}, {}],
    ['something is held', {}, {}, { reserved: 1, nextHoldEnd: NOW + HOUR }],
    ['there is no room', {}, {}, { used: 49 }],
    ['an account is another one', {}, { accounts: [{ feature: 'calls', scope: '' }] }, {}],
  ])('is not tried where %s', (_, more, lock, stands) => {
    const behind = sent('seats', stands);
    const one = request('seats', more);
    expect(decideAhead(behind, lockRequest('seats', lock), [one], [one.evaluation])).toBeNull();
  });

  it('is not tried behind a denial, nor with what this process knows to be old', () => {
    const one = request('seats');
    expect(
      decideAhead(sent('seats', { used: 50 }), lockRequest('seats'), [one], [one.evaluation]),
    ).toBeNull();
    const behind = sent('seats');
    const newer = { ...behind.transaction, frame: { ...behind.transaction.frame, revision: 2 } };
    expect(
      decideAhead({ ...behind, transaction: newer }, lockRequest('seats'), [one], [one.evaluation]),
    ).toBeNull();
  });

  it('is not tried where lots cover what is used', () => {
    const one = request('seats');
    const behind = sent('seats');
    const accounts = behind.write.accounts.map((written) => ({ ...written, hasLots: true }));
    const write = { ...behind.write, accounts };
    expect(decideAhead({ ...behind, write }, lockRequest('seats'), [one], [one.evaluation])).toBeNull();
  });

  it('is not kept where it tells something: that carries the instant of the decision', () => {
    const behind = sent('seats', { used: 38 });
    const one = request('seats');
    expect(decideAhead(behind, lockRequest('seats'), [one], [one.evaluation])).toBeNull();
  });
});
