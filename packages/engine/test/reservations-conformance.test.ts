import { resolveEntitlement } from '@pennon/engine/entitlement/resolve-entitlement';
import type { ConsumptionDecision, EntitlementDecision } from '@pennon/engine/model/decision';
import type { EvaluationRequest } from '@pennon/engine/model/evaluation';
import type { JsonObject } from '@pennon/engine/model/json';
import type { Snapshot } from '@pennon/engine/snapshot/snapshot';
import { decideConsumption, refuseConsumption } from '@pennon/engine/usage/decide-consumption';
import { decideReservation } from '@pennon/engine/usage/decide-reservation';
import { decideHoldEnd, decideSettlement, refuseSettlement } from '@pennon/engine/usage/settle-reservation';
import { describe, expect, it } from 'vitest';
import { type Case, readCases, requestOf } from './conformance-cases.js';

/* `conformance/reservations.json` against the engine: what a store would keep between two steps is kept here. */

type Step = NonNullable<Case['steps']>[number];
interface Hold {
  readonly key: string;
  readonly amount: number;
}

class Account {
  #request: EvaluationRequest<Snapshot>;
  readonly #holds = new Map<string, Hold>();

  constructor(request: EvaluationRequest<Snapshot>) {
    this.#request = request;
  }

  run({ reserve, settle, releaseHold, consume }: Step): JsonObject {
    if (reserve !== undefined) return this.#reserve(reserve);
    if (settle !== undefined) return this.#settle(settle);
    if (releaseHold !== undefined) {
      const { key, amount } = this.#hold(releaseHold.of);
      const entitlement = this.#resolve(key);
      if (typeof entitlement === 'string') return { errorCode: entitlement };
      return { ...this.#after(decideHoldEnd(entitlement, amount)), state: 'released' };
    }
    const entitlement = this.#resolve(consume?.key ?? '');
    if (typeof entitlement === 'string') return { errorCode: entitlement };
    return this.#after(decideConsumption({ entitlement, amount: consume?.amount ?? 1, mode: 'all' }));
  }

  #reserve({ key, amount = 1, mode = 'all', as }: NonNullable<Step['reserve']>): JsonObject {
    const entitlement = this.#resolve(key);
    if (typeof entitlement === 'string') return { errorCode: entitlement };
    expect(refuseConsumption({ entitlement, amount })).toBeNull();
    const decision = decideReservation({ entitlement, amount, mode });
    if (!decision.allowed) return this.#after(decision);
    this.#holds.set(as, { key, amount: decision.consumed });
    return { ...this.#after(decision), held: decision.consumed, state: 'held' };
  }

  #settle({ of, amount }: NonNullable<Step['settle']>): JsonObject {
    const { key, amount: held } = this.#hold(of);
    const entitlement = this.#resolve(key);
    const more = this.#request.snapshot.features.get(key)?.settle.more;
    if (typeof entitlement === 'string' || more === undefined) throw new Error(`no feature ${key}`);
    const input = { entitlement, held, amount: amount ?? held, more };
    const refusal = refuseSettlement(input);
    const decision = decideSettlement(input);
    if (refusal !== null) {
      expect(decision).toMatchObject({ allowed: false, consumed: 0 });
      return { errorCode: refusal.errorCode };
    }
    const { allowed, consumed } = decision;
    return {
      ...this.#after(decision),
      state: allowed ? 'settled' : 'held',
      settled: allowed ? consumed : null,
    };
  }

  #hold(name: string): Hold {
    const hold = this.#holds.get(name);
    if (hold === undefined) throw new Error(`no reservation ${name}`);
    return hold;
  }

  #resolve(key: string): EntitlementDecision | string {
    const found = resolveEntitlement(this.#request, key);
    return found.kind === 'error' ? found.errorCode : found;
  }

  #after({ allowed, reason, usedAfter, reservedAfter, entitlement }: ConsumptionDecision): JsonObject {
    const { key: feature, scope, usage: used, reserved, period, balance, overage, hasAccess } = entitlement;
    expect({ used, reserved }).toEqual({ used: usedAfter, reserved: reservedAfter });
    const state = this.#request.customer;
    if (state !== null && state !== 'unavailable') {
      const rest = state.accounts.filter((one) => one.feature !== feature || one.scope !== scope);
      const account = { feature, scope, used, reserved, periodStart: period?.start ?? null };
      this.#request = { ...this.#request, customer: { ...state, accounts: [...rest, account] } };
    }
    return { allowed, reason, usedAfter, reservedAfter, balance, overage, hasAccess };
  }
}

const CASES = readCases('reservations');

describe('conformance: reservations', () => {
  it('there are as many as promised', () => {
    expect(CASES.length).toBeGreaterThanOrEqual(20);
  });

  it.each(CASES.map((one) => [one.name, one] as const))('%s', (_name, one) => {
    const read = requestOf(one);
    if (!read.ok) throw new Error(read.message);
    const account = new Account(read.request);
    expect(one.steps?.length).toBeGreaterThan(0);
    for (const step of one.steps ?? []) expect(account.run(step)).toMatchObject(step.expect);
  });
});
