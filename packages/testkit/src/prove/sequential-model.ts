/*
 * What consume and release should do, one call after the other, told without the engine and without a store. INVARIANT: nothing of the
 * product is imported here, so that a fault of the product cannot be a fault of its judge.
 */

export type ModelEnforcement = 'hard' | 'soft' | 'observe';

export interface ModelFeature {
  readonly key: string;
  readonly enforcement: ModelEnforcement;
  /** How far a soft limit may be exceeded. */
  readonly overage: number;
  readonly resets: 'never' | 'hour';
  readonly per: 'customer' | 'user';
}

export interface ModelCall {
  readonly operation: 'consume' | 'release';
  readonly customer: string;
  readonly user: string;
  readonly mode: 'all' | 'upTo';
  readonly items: readonly { readonly key: string; readonly amount: number }[];
}

/** What one customer may do at one instant: `null` nothing at all, `Infinity` without a limit. */
export type ModelLimits = Readonly<Record<string, number | null>>;

export interface ModelDecision {
  readonly key: string;
  readonly allowed: boolean;
  readonly requested: number;
  readonly consumed: number;
  readonly usedAfter: number;
}

interface Balance {
  used: number;
  /** Number of the hour since the epoch; 0 where nothing resets. */
  period: number;
}

const HOUR_MILLISECONDS = 3_600_000;

export function accountName(feature: ModelFeature, call: Pick<ModelCall, 'customer' | 'user'>): string {
  return `${call.customer}|${feature.key}|${feature.per === 'user' ? call.user : ''}`;
}

export class SequentialModel {
  readonly #features: ReadonlyMap<string, ModelFeature>;
  readonly balances = new Map<string, Balance>();
  /** What was used in periods that are over, by account and hour. */
  readonly closed = new Map<string, number>();

  constructor(features: readonly ModelFeature[]) {
    this.#features = new Map(features.map((feature) => [feature.key, feature]));
  }

  /** Decides without taking anything. */
  decide(call: ModelCall, limits: ModelLimits, now: number): readonly ModelDecision[] {
    return call.operation === 'release' ? this.#release(call, now) : this.#consume(call, limits, now);
  }

  /** Takes (or gives back) what was decided. */
  apply(call: ModelCall, decisions: readonly ModelDecision[], now: number): void {
    for (const decision of decisions) {
      const feature = this.#feature(decision.key);
      const name = accountName(feature, call);
      const { used, period } = this.#standing(feature, name, now);
      const before = this.balances.get(name);
      if (before !== undefined && before.period !== period) {
        this.closed.set(`${name}|${before.period}`, before.used);
      }
      const sign = call.operation === 'release' ? -1 : 1;
      this.balances.set(name, { used: used + sign * decision.consumed, period });
    }
  }

  #feature(key: string): ModelFeature {
    const feature = this.#features.get(key);
    if (feature === undefined) throw new Error(`The model knows no feature \`${key}\`.`);
    return feature;
  }

  /** A clock that was set back does not open an earlier period again. */
  #standing(feature: ModelFeature, name: string, now: number): Balance {
    const hour = feature.resets === 'never' ? 0 : Math.floor(now / HOUR_MILLISECONDS);
    const balance = this.balances.get(name);
    if (balance === undefined) return { used: 0, period: hour };
    return hour > balance.period ? { used: 0, period: hour } : balance;
  }

  #consume(call: ModelCall, limits: ModelLimits, now: number): readonly ModelDecision[] {
    const taken = new Map<string, number>();
    const decisions = call.items.map(({ key, amount }): ModelDecision => {
      const feature = this.#feature(key);
      const name = accountName(feature, call);
      const used = this.#standing(feature, name, now).used + (taken.get(name) ?? 0);
      const limit = limits[key] ?? null;
      const top = limit === null ? -1 : this.#top(feature, limit);
      const wanted = call.mode === 'all' ? amount : Math.max(0, Math.min(amount, top - used));
      const fits = limit !== null && used + wanted <= top && (wanted > 0 || amount === 0);
      const consumed = fits ? wanted : 0;
      taken.set(name, (taken.get(name) ?? 0) + consumed);
      return { key, allowed: fits, requested: amount, consumed, usedAfter: used + consumed };
    });
    if (decisions.every((decision) => decision.allowed)) return decisions;
    return decisions.map(({ key, requested }) => {
      const feature = this.#feature(key);
      const { used } = this.#standing(feature, accountName(feature, call), now);
      return { key, allowed: false, requested, consumed: 0, usedAfter: used };
    });
  }

  #top({ enforcement, overage }: ModelFeature, limit: number): number {
    switch (enforcement) {
      case 'hard':
        return limit;
      case 'soft':
        return limit + overage;
      case 'observe':
        return Number.POSITIVE_INFINITY;
    }
  }

  #release(call: ModelCall, now: number): readonly ModelDecision[] {
    return call.items.map(({ key, amount }) => {
      const feature = this.#feature(key);
      const { used } = this.#standing(feature, accountName(feature, call), now);
      const consumed = Math.min(amount, used);
      return { key, allowed: true, requested: amount, consumed, usedAfter: used - consumed };
    });
  }
}
