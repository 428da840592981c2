import { parseCatalog } from '@pennon/engine/catalog/parse-catalog';
import type { CustomerState } from '@pennon/engine/model/customer';
import type { EvaluationRequest } from '@pennon/engine/model/evaluation';
import { compileSnapshot } from '@pennon/engine/snapshot/compile-snapshot';
import type { Snapshot } from '@pennon/engine/snapshot/snapshot';
import { NOTHING_TOLD } from '@pennon/engine/usage/notices';
import { describe, expect, it } from 'vitest';
import type { LockedAccount, LockedFrame } from '../store/account-transaction.js';
import { NOTHING_ENDED } from '../store/reservation-statements.js';
import type { ConsumeRequest } from './consume-request.js';
import { type BatchDecider, createBatchDecider } from './decide-batch.js';

/* Several calls of one transaction: what one of them changes, the next is decided with. */

const governed = 'category: limit, owner: a@example.com, purpose: A test, removal: permanent';
const CATALOG = `
product: { key: test, name: Test }
features:
  - { key: seats, type: metered, reset: never, ${governed} }
  - { key: exports, type: metered, per: user, reset: never, ${governed} }
plans:
  - { key: pro, entitlements: [{ feature: seats, value: 5 }, { feature: exports, value: 2 }] }
`;

function snapshot(): Snapshot {
  const { catalog, issues } = parseCatalog([{ name: 'catalog.yaml', text: CATALOG }]);
  if (catalog === null) throw new Error(JSON.stringify(issues));
  return compileSnapshot({ catalog, environment: 'production', revision: 1, productId: 'p' }).snapshot;
}
const SNAPSHOT = snapshot();
const NOW = 1_000_000;

function customer(): CustomerState {
  const license = {
    ...{ id: 'l', product: 'test', plan: 'pro', planVersion: 0, kind: 'paid', status: 'active' },
    ...{ startsAt: 0, endsAt: null, anchor: null, timeZone: null, addons: [], createdAt: 0 },
  };
  return {
    ...{ id: 'c', key: 'acme', version: 1, createdAt: 0, timeZone: null, attributes: {} },
    ...{ licenses: [license], groups: [], memberships: [], grants: [], accounts: [] },
  } as unknown as CustomerState;
}

const ACME = customer();

function evaluation(userKey: string | null = null, instanceKey?: string): EvaluationRequest<Snapshot> {
  const instance = instanceKey === undefined ? null : { key: instanceKey };
  const subject = {
    ...{ targetingKey: 'acme', customerKey: 'acme', userKey, teamKey: null, instance, sku: null },
    proven: true,
  };
  const request = { snapshot: SNAPSHOT, customer: ACME, subject, context: {}, now: NOW };
  return request as unknown as EvaluationRequest<Snapshot>;
}

function account(feature: string, scope: string, stands: Partial<LockedAccount> = {}): LockedAccount {
  return {
    ...{ feature, scope, periodStart: null, periodEnd: null, used: 0, reserved: 0, nextHoldEnd: null },
    ...{ covered: 0, hasLots: false, limitKnown: null, told: NOTHING_TOLD },
    ...stands,
  };
}

function deciderOf(...accounts: LockedAccount[]): BatchDecider {
  const frame: LockedFrame = {
    ...{ now: NOW, customer: { version: 1 }, revision: 1, versions: { subjects: 0, shared: 0 } },
    ...{ accounts, earlier: [], reservations: [], holders: [] },
  };
  return createBatchDecider(frame, NOTHING_ENDED, new Map());
}

let calls = 0;

function decide(
  decider: BatchDecider,
  operation: 'consume' | 'release',
  whose: EvaluationRequest<Snapshot>,
  { feature, scope }: LockedAccount,
  amount: number,
) {
  calls += 1;
  const item = { key: feature, account: { feature, scope }, amount, attributes: {}, holder: null };
  const request = {
    operation,
    idempotencyKey: `call-${calls}`,
    requestHash: '00',
    mode: 'all',
    actor: 'test',
  };
  const decided = decider.decide(request as unknown as ConsumeRequest, whose, [item]);
  if (decided.kind === 'refused') throw decided.error;
  const [decision] = decided.decisions;
  if (decision === undefined) throw new Error('Nothing was decided.');
  return decision;
}

describe('X-5 law 2: calls that are decided together', () => {
  it('have no room that came out of a lot which has ended, once it was given back', () => {
    // Three of the eight came out of a top-up that is over.
    const seats = account('seats', '', { used: 8, covered: 3, limitKnown: 8 });
    const decider = deciderOf(seats);
    const given = decide(decider, 'release', evaluation(), seats, 8);
    expect(given).toMatchObject({
      consumed: 8,
      entitlement: { limit: { value: 5 }, usage: 0, balance: 5, overage: 0 },
    });
    expect(decide(decider, 'consume', evaluation(), seats, 6)).toMatchObject({
      allowed: false,
      limitAtDecision: 5,
    });
    expect(decide(decider, 'consume', evaluation(), seats, 5)).toMatchObject({ allowed: true, usedAfter: 5 });
    expect(decider.write().accounts).toMatchObject([{ used: 5, covered: 0, limitKnown: 5 }]);
  });

  it('K-5 part of it is given back out of the allowance first, and the limit stands as long as the rest is in use', () => {
    const seats = account('seats', '', { used: 8, covered: 3, limitKnown: 8 });
    const decider = deciderOf(seats);
    expect(decide(decider, 'release', evaluation(), seats, 5)).toMatchObject({
      entitlement: { limit: { value: 8 }, usage: 3, balance: 5 },
    });
    expect(decide(decider, 'release', evaluation(), seats, 1)).toMatchObject({
      entitlement: { limit: { value: 7 }, usage: 2, balance: 5 },
    });
    expect(decide(decider, 'consume', evaluation(), seats, 6)).toMatchObject({ allowed: false });
  });

  it('are of whom they name, whatever marks the keys of users and instances hold', () => {
    const one = account('exports', 'auth0');
    const other = account('exports', 'auth0|7');
    const decider = deciderOf(one, other);
    expect(decide(decider, 'consume', evaluation('auth0', '7|eu'), one, 2)).toMatchObject({ usedAfter: 2 });
    expect(decide(decider, 'consume', evaluation('auth0|7', 'eu'), other, 2)).toMatchObject({
      allowed: true,
      usedAfter: 2,
      entitlement: { scope: 'auth0|7' },
    });
  });
});

describe('X-5 reservations: when the next hold ends', () => {
  it('is what is still held, also where the one that would have ended then was settled', () => {
    const seats = account('seats', '', { used: 1, reserved: 1, nextHoldEnd: NOW - 1 });
    const frame: LockedFrame = {
      ...{ now: NOW, customer: { version: 1 }, revision: 1, versions: { subjects: 0, shared: 0 } },
      ...{ accounts: [seats], earlier: [], reservations: [], holders: [] },
    };
    const nextEnds = new Map([['seats|', NOW + 60_000]]);
    const decider = createBatchDecider(frame, { ended: [], more: false, nextEnds }, new Map());
    decide(decider, 'consume', evaluation(), seats, 1);
    expect(decider.write().accounts).toMatchObject([{ used: 2, reserved: 1, nextHoldEnd: NOW + 60_000 }]);
  });
});
