import { resolveEntitlement } from '@pennon/engine/entitlement/resolve-entitlement';
import type { AccountState, CreditLot } from '@pennon/engine/model/customer';
import type { EntitlementDecision } from '@pennon/engine/model/decision';
import type { EvaluationRequest } from '@pennon/engine/model/evaluation';
import type { JsonObject } from '@pennon/engine/model/json';
import type { Snapshot } from '@pennon/engine/snapshot/snapshot';
import { decideConsumption } from '@pennon/engine/usage/decide-consumption';
import { decideConsumptions } from '@pennon/engine/usage/decide-consumptions';
import { decideRelease } from '@pennon/engine/usage/decide-release';
import { burn, refill, type Stock } from '@pennon/engine/usage/lots';
import { lotsToStore } from '@pennon/engine/usage/opening';
import { describe, expect, it } from 'vitest';
import { type Case, type CaseLot, limitValue, readCases, requestOf } from './conformance-cases.js';

/* `conformance/credits.json` against the engine: what a store would keep between two steps is kept here. */

type Step = NonNullable<Case['steps']>[number];

class Accounts {
  #request: EvaluationRequest<Snapshot>;
  readonly #names = new Map<string, string>();
  #made = 0;

  constructor(request: EvaluationRequest<Snapshot>, lots: readonly CaseLot[]) {
    this.#request = request;
    for (const lot of lots) this.#make(lot);
  }

  run({ consume, release, topUp, void: voided, at, key }: Step): JsonObject {
    if (topUp !== undefined) {
      this.#make(topUp);
      return this.#read(topUp.feature);
    }
    if (voided !== undefined) {
      const id = this.#names.get(voided.of);
      this.#change(voided.key, ({ lots = [], ...account }) => ({
        ...account,
        lots: lots.filter((lot) => lot.id !== id),
      }));
      return this.#read(voided.key);
    }
    if (at !== undefined) {
      this.#request = { ...this.#request, now: Date.parse(at) };
      return this.#read(key ?? '');
    }
    if (release !== undefined) {
      const decision = decideRelease({ entitlement: this.#resolve(release.key), amount: release.amount });
      this.#follow(decision.entitlement, decision.usedBefore, decision.usedAfter);
      return { released: decision.released, ...this.#read(release.key) };
    }
    if (consume?.items !== undefined) {
      const inputs = consume.items.map(({ key: item, amount }) => {
        return { entitlement: this.#resolve(item), amount, mode: 'all' as const };
      });
      const { allowed, decisions } = decideConsumptions(inputs);
      for (const { entitlement, usedBefore, usedAfter } of decisions)
        this.#follow(entitlement, usedBefore, usedAfter);
      return { allowed };
    }
    const { key: feature = '', amount = 1, mode = 'all' } = consume ?? {};
    const decision = decideConsumption({ entitlement: this.#resolve(feature), amount, mode });
    this.#follow(decision.entitlement, decision.usedBefore, decision.usedAfter);
    const { allowed, reason, consumed } = decision;
    return { ...this.#read(feature), allowed, reason, consumed };
  }

  lots(): JsonObject {
    const { accounts } = this.#state();
    const all = accounts.flatMap(({ lots = [] }) => lots);
    return Object.fromEntries(
      [...this.#names].flatMap(([name, id]) => {
        const lot = all.find((one) => one.id === id);
        return lot === undefined ? [] : [[name, lot.remaining]];
      }),
    );
  }

  #make({ as, feature, amount, kind = 'topup', priority = 50, startsAt, endsAt }: CaseLot): void {
    const { now } = this.#request;
    this.#made += 1;
    const lot: CreditLot = {
      id: `lot-${String(this.#made).padStart(2, '0')}`,
      ...{ kind, priority, amount, remaining: amount, createdAt: now },
      startsAt: startsAt === undefined ? now : Date.parse(startsAt),
      endsAt: endsAt === undefined ? null : Date.parse(endsAt),
    };
    this.#names.set(as, lot.id);
    this.#change(feature, ({ lots = [], ...account }) => ({ ...account, lots: [...lots, lot] }));
  }

  #resolve(key: string): EntitlementDecision {
    const found = resolveEntitlement(this.#request, key);
    if (found.kind === 'error') throw new Error(found.message);
    return found;
  }

  #read(key: string): JsonObject {
    const { usage, limit, balance, overage, hasAccess } = this.#resolve(key);
    return { usage, usedAfter: usage, limit: limitValue(limit), balance, overage, hasAccess };
  }

  /** What a store does after a decision: a period that began is opened with what rolled over, and lots follow use. */
  #follow(entitlement: EntitlementDecision, usedBefore: number, usedAfter: number): void {
    const { key, period, allowance, limit, enforcement } = entitlement;
    const { now } = this.#request;
    const rolled = lotsToStore(this.#request, entitlement);
    this.#change(key, (account) => {
      const opens = period !== null && (account.periodStart === null || account.periodStart < period.start);
      const stored = rolled.map((lot, index) => ({ ...lot, id: `rolled-${period?.start}-${index}` }));
      const covered = opens ? 0 : (account.covered ?? 0);
      const lots = [...(account.lots ?? []), ...(opens ? stored : [])];
      const allowed = allowance ?? (limit?.kind === 'finite' ? limit.value : Number.MAX_SAFE_INTEGER);
      const used = {
        allowance: allowed,
        allowanceUsed: usedBefore - covered,
        periodEnd: period?.end ?? null,
      };
      let stock: Stock = { ...used, covered, lots };
      const more = usedAfter - usedBefore;
      if (more > 0 && allowance !== undefined) stock = burn(stock, more, now, enforcement !== 'hard');
      if (more < 0) stock = refill(stock, -more, now);
      const span = { periodStart: period?.start ?? null, periodEnd: period?.end ?? null };
      return { ...account, ...span, used: usedAfter, covered: stock.covered, lots: stock.lots };
    });
  }

  #state() {
    const { customer } = this.#request;
    if (customer === null || customer === 'unavailable') throw new Error('no customer');
    return customer;
  }

  #change(feature: string, change: (account: AccountState) => AccountState): void {
    const customer = this.#state();
    const before = customer.accounts.find((one) => one.feature === feature);
    const account = before ?? { feature, scope: '', periodStart: null, used: 0, reserved: 0 };
    const rest = customer.accounts.filter((one) => one !== before);
    this.#request = { ...this.#request, customer: { ...customer, accounts: [...rest, change(account)] } };
  }
}

const CASES = readCases('credits');

describe('conformance: credits', () => {
  it('there are as many as promised', () => {
    expect(CASES.length).toBeGreaterThanOrEqual(30);
  });

  it.each(CASES.map((one) => [one.name, one] as const))('%s', (_name, one) => {
    const read = requestOf(one);
    if (!read.ok) throw new Error(read.message);
    const accounts = new Accounts(read.request, one.customer?.lots ?? []);
    expect(one.steps?.length).toBeGreaterThan(0);
    for (const step of one.steps ?? []) {
      const { lots, ...expected } = step.expect;
      expect(accounts.run(step)).toMatchObject(expected);
      if (lots !== undefined) expect(accounts.lots()).toEqual(lots);
    }
  });
});
