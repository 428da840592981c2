import { resolveEntitlement } from '@pennon/engine/entitlement/resolve-entitlement';
import type { Catalog, RolloverDocument } from '@pennon/engine/model/catalog';
import type { AccountState, CreditLot, CustomerState, License } from '@pennon/engine/model/customer';
import type { EntitlementDecision } from '@pennon/engine/model/decision';
import type { EvaluationRequest } from '@pennon/engine/model/evaluation';
import { compileSnapshot } from '@pennon/engine/snapshot/compile-snapshot';
import type { Snapshot } from '@pennon/engine/snapshot/snapshot';
import { burn, remainingOf } from '@pennon/engine/usage/lots';
import { lotsToStore } from '@pennon/engine/usage/opening';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const ALLOWANCE = 100;
const FIRST = Date.parse('2026-01-31T10:00:00Z');

function snapshotWith(rollover: RolloverDocument): Snapshot {
  return compileSnapshot({
    catalog: {
      product: { key: 'p' },
      features: [{ key: 'calls', type: 'metered', reset: { every: 'month' }, rollover }],
      plans: [{ key: 'pro', entitlements: [{ feature: 'calls', value: ALLOWANCE }] }],
      addons: [],
      groups: [],
      segments: [],
      flags: [],
      billing: [],
      tests: [],
    } satisfies Catalog,
    environment: 'production',
    revision: 1,
    productId: 'p',
  }).snapshot;
}

const LICENSE: License = {
  id: 'l1',
  product: 'p',
  plan: 'pro',
  planVersion: 0,
  quantity: 1,
  kind: 'paid',
  status: 'active',
  graceEndsAt: null,
  anchor: '2026-01-31T10:00:00[UTC]',
  timeZone: null,
  sku: null,
  addons: [],
  startsAt: FIRST,
  endsAt: null,
};

function requestFor(
  snapshot: Snapshot,
  now: number,
  account: AccountState | null,
  over: Partial<CustomerState> = {},
): EvaluationRequest<Snapshot> {
  return {
    snapshot,
    customer: {
      id: 'acme',
      key: 'acme',
      version: 1,
      createdAt: FIRST,
      timeZone: null,
      attributes: {},
      licenses: [LICENSE],
      groups: [],
      memberships: [],
      grants: [],
      accounts: account === null ? [] : [account],
      ...over,
    },
    subject: { proven: true, customerKey: 'acme', instance: null, userKey: null, teamKey: null, sku: null },
    context: { parts: {} },
    now,
  };
}

function resolve(request: EvaluationRequest<Snapshot>): EntitlementDecision {
  const decision = resolveEntitlement(request, 'calls');
  if (decision.kind === 'error') throw new Error(decision.message);
  return decision;
}

const limitOf = ({ limit }: EntitlementDecision) => (limit?.kind === 'finite' ? limit.value : null);
const day = (text: string) => Date.parse(`${text}T12:00:00Z`);
const opened = (over: Partial<AccountState>): AccountState => ({
  feature: 'calls',
  scope: '',
  periodStart: FIRST,
  used: 0,
  reserved: 0,
  ...over,
});

describe('K-5 rollover', () => {
  it('what is left of a period adds to the next one, and ends with it', () => {
    const snapshot = snapshotWith({ maximum: 1_000 });
    const account = opened({ used: 30 });
    const march = resolve(requestFor(snapshot, day('2026-03-01'), account));
    expect(march).toMatchObject({ limit: { value: 170 }, allowance: 100, usage: 0, balance: 170 });
    expect(march.sources.at(-1)).toMatchObject({ type: 'topup', effect: 'add', value: 70 });
    expect(march.sources.at(-1)?.until).toBe(march.period?.end);
    // Nobody asked in March: of February nothing stands any more, of March all that it allowed.
    const april = resolve(requestFor(snapshot, day('2026-04-10'), account));
    expect(limitOf(april)).toBe(200);
  });

  it('never more than the maximum, at least the minimum, and nothing of what was not granted or has no limit', () => {
    const bounded = snapshotWith({ maximum: 50, minimum: 10 });
    expect(limitOf(resolve(requestFor(bounded, day('2026-03-01'), opened({ used: 30 }))))).toBe(150);
    expect(limitOf(resolve(requestFor(bounded, day('2026-03-01'), opened({ used: 95 }))))).toBe(110);
    expect(limitOf(resolve(requestFor(bounded, day('2026-03-01'), opened({ used: 300 }))))).toBe(110);
    const late = [{ ...LICENSE, startsAt: day('2026-03-10') }];
    expect(limitOf(resolve(requestFor(bounded, day('2026-03-12'), opened({}), { licenses: late })))).toBe(
      100,
    );
  });

  it('several periods: what is left of each lasts for its own time', () => {
    const snapshot = snapshotWith({ maximum: 90, periods: 3 });
    const account = opened({ used: 40 });
    const limitAt = (text: string) => limitOf(resolve(requestFor(snapshot, day(text), account)));
    // 60 of February; of March and April 90 of the 100 each; in June February's is over, and May's 90 have come.
    expect([
      limitAt('2026-03-10'),
      limitAt('2026-04-10'),
      limitAt('2026-05-10'),
      limitAt('2026-06-10'),
    ]).toEqual([160, 250, 340, 370]);
    const request = requestFor(snapshot, day('2026-05-10'), account);
    expect(lotsToStore(request, resolve(request)).map(({ amount }) => amount)).toEqual([60, 90, 90]);
  });

  it('who never used anything has what was left from its creation on, and no more', () => {
    const snapshot = snapshotWith({ maximum: 1_000, periods: 6 });
    expect(limitOf(resolve(requestFor(snapshot, day('2026-02-10'), null)))).toBe(100);
    expect(limitOf(resolve(requestFor(snapshot, day('2026-03-01'), null)))).toBe(200);
    expect(limitOf(resolve(requestFor(snapshot, day('2026-05-02'), null)))).toBe(400);
    const unknown = { id: null, createdAt: null };
    expect(limitOf(resolve(requestFor(snapshot, day('2026-05-02'), null, unknown)))).toBe(100);
  });

  it('an anchor that was moved ends the period early: what is left of it rolls over once', () => {
    const snapshot = snapshotWith({ maximum: 1_000 });
    const moved = [{ ...LICENSE, anchor: '2026-02-05T00:00:00[UTC]', anchorSince: day('2026-02-20') }];
    const account = opened({ used: 30, periodEnd: Date.parse('2026-02-28T10:00:00Z') });
    const decision = resolve(requestFor(snapshot, day('2026-02-21'), account, { licenses: moved }));
    expect(decision).toMatchObject({ limit: { value: 170 }, period: { start: day('2026-02-20') } });
  });

  it('however many periods were skipped, reading at the end says what asking in each would have said', () => {
    const months = fc.array(fc.record({ asked: fc.boolean(), units: fc.integer({ min: 0, max: 260 }) }), {
      minLength: 1,
      maxLength: 9,
    });
    const rollovers = fc.record({
      maximum: fc.integer({ min: 1, max: 300 }),
      minimum: fc.integer({ min: 0, max: 1 }),
      periods: fc.integer({ min: 1, max: 4 }),
    });
    fc.assert(
      fc.property(months, rollovers, (list, rollover) => {
        const snapshot = snapshotWith(rollover);
        const eager = new Account(snapshot);
        const lazy = new Account(snapshot);
        for (const [index, { asked, units }] of list.entries()) {
          const now = FIRST + (index * 30.6 + 15) * 86_400_000;
          // One writes its account in every period, the other only where something is used.
          eager.consume(now, asked ? units : 0);
          if (asked) lazy.consume(now, units);
          else expect(limitOf(lazy.read(now))).toBe(limitOf(eager.read(now)));
          const [one, other] = [eager.read(now), lazy.read(now)];
          expect({ ...other, sources: [] }).toEqual({ ...one, sources: [] });
          expect(remainingOf(eager.lots, now)).toBeLessThanOrEqual(rollover.maximum * rollover.periods);
        }
      }),
      { numRuns: 150 },
    );
  });
});

/** An account as the first consume of a period and those after it write it. */
class Account {
  lots: readonly CreditLot[] = [];
  readonly #snapshot: Snapshot;
  #state: AccountState | null = null;
  #made = 0;

  constructor(snapshot: Snapshot) {
    this.#snapshot = snapshot;
  }

  #request(now: number): EvaluationRequest<Snapshot> {
    return requestFor(this.#snapshot, now, this.#state);
  }

  read(now: number): EntitlementDecision {
    return resolve(this.#request(now));
  }

  consume(now: number, units: number): void {
    const request = this.#request(now);
    const decision = resolve(request);
    const { period, allowance = limitOf(decision) ?? 0 } = decision;
    if (period === null) throw new Error('no period');
    const opens = this.#state === null || (this.#state.periodStart ?? 0) < period.start;
    const due = opens ? lotsToStore(request, decision) : [];
    for (const lot of due) this.lots = [...this.lots, { ...lot, id: `lot ${this.#made++}` }];
    const used = opens ? 0 : (this.#state?.used ?? 0);
    const covered = opens ? 0 : (this.#state?.covered ?? 0);
    const taken = Math.min(units, decision.balance);
    const stock = burn(
      { allowance, allowanceUsed: used - covered, covered, periodEnd: period.end, lots: this.lots },
      taken,
      now,
      false,
    );
    this.lots = stock.lots.filter(({ endsAt }) => endsAt === null || endsAt > now);
    this.#state = opened({
      periodStart: period.start,
      periodEnd: period.end,
      used: used + taken,
      covered: stock.covered,
      lots: this.lots,
    });
  }
}
