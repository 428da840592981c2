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
  /** What may be settled beyond what is held, and after it has ended. */
  readonly settle: { readonly more: 'refuse' | 'all' | 'upTo'; readonly late: 'refuse' | 'consume' };
  /** What one period leaves to so many that follow it: at least, and at most, so much. */
  readonly rollover?: { readonly minimum: number; readonly maximum: number; readonly periods: number };
}

export interface ModelItem {
  readonly key: string;
  readonly amount: number;
  /** The thing that holds the unit. */
  readonly holder?: string;
}

export interface ModelCall {
  readonly operation: 'consume' | 'release' | 'reserve' | 'settle' | 'release-hold';
  readonly customer: string;
  readonly user: string;
  readonly mode: 'all' | 'upTo';
  readonly items: readonly ModelItem[];
  /** Which hold is to end: the id that its reservation was answered with. */
  readonly holdId?: string;
}

/** An amount besides what a period allows. */
export interface ModelLot {
  readonly account: string;
  readonly amount: number;
  readonly startsAt: number;
  readonly endsAt: number | null;
  readonly kind: 'promotional' | 'rollover' | 'topup';
  readonly createdAt: number;
  left: number;
  voided: boolean;
}

export interface ModelHold {
  readonly account: string;
  readonly amount: number;
  readonly expiresAt: number;
  state: 'held' | 'settled' | 'released' | 'expired';
}

/** What one customer may do at one instant: `null` nothing at all, whatever lots there are. */
export type ModelLimits = Readonly<Record<string, number | null>>;

export interface ModelDecision {
  readonly key: string;
  readonly allowed: boolean;
  readonly requested: number;
  readonly consumed: number;
  readonly usedAfter: number;
  readonly reservedAfter: number;
  /** What plan and grants allowed by themselves, and what they made together with lots; absent where it plays no part. */
  readonly allowance?: number;
  readonly limit?: number;
}

interface Balance {
  used: number;
  /** Number of the hour since the epoch; 0 where nothing resets. */
  period: number;
  /** Of `used`, what came out of lots. */
  covered: number;
}

const HOUR_MILLISECONDS = 3_600_000;

export function accountName(feature: ModelFeature, call: Pick<ModelCall, 'customer' | 'user'>): string {
  return `${call.customer}|${feature.key}|${feature.per === 'user' ? call.user : ''}`;
}

/** Of an account and the instant at which a period left it something: there is one such lot at most. */
export function rolloverName(account: string, startsAt: number): string {
  return `${account}|rollover|${startsAt}`;
}

/** What is used first of what ends at one instant. */
const RANKS = { promotional: 0, rollover: 1, allowance: 2, topup: 3 } as const;

export class SequentialModel {
  readonly #features: ReadonlyMap<string, ModelFeature>;
  readonly balances = new Map<string, Balance>();
  readonly holds = new Map<string, ModelHold>();
  readonly lots = new Map<string, ModelLot>();
  /** By account and name: how much it holds. */
  readonly holders = new Map<string, number>();
  /** What was used in periods that are over, by account and hour. */
  readonly closed = new Map<string, number>();

  constructor(features: readonly ModelFeature[]) {
    this.#features = new Map(features.map((feature) => [feature.key, feature]));
  }

  /** Decides without taking anything; `null`: that is refused and leaves nothing behind. */
  decide(call: ModelCall, limits: ModelLimits, now: number): readonly ModelDecision[] | null {
    switch (call.operation) {
      case 'release':
        return this.#release(call, now);
      case 'consume':
        return this.#consume(call, limits, now);
      case 'reserve':
        return this.#consume(call, limits, now).map((decision) => ({
          ...decision,
          usedAfter: decision.usedAfter - decision.consumed,
          reservedAfter: decision.reservedAfter + decision.consumed,
        }));
      case 'settle':
        return this.#settle(call, limits, now);
      case 'release-hold':
        return this.#releaseHold(call, now);
    }
  }

  /** Takes (or gives back) what was decided. */
  apply(call: ModelCall, decisions: readonly ModelDecision[], now: number): void {
    for (const [index, decision] of decisions.entries()) {
      const feature = this.#feature(decision.key);
      const name = accountName(feature, call);
      const { period, covered, used } = this.#open(feature, name, decision.allowance ?? 0, now);
      const burned =
        call.operation === 'consume' ? this.#burn(feature, name, decision, used, covered, now) : 0;
      this.balances.set(name, { used: decision.usedAfter, period, covered: covered + burned });
      this.#noteHolder(call, call.items[index], name, decision);
      const hold = call.holdId === undefined ? undefined : this.holds.get(call.holdId);
      if (hold !== undefined && decision.allowed) {
        if (call.operation === 'settle') hold.state = 'settled';
        else if (hold.state === 'held') hold.state = 'released';
      }
    }
  }

  /** A period that is over may be closed by whoever comes by. False: it is not over. */
  close(feature: ModelFeature, name: string, limits: ModelLimits, now: number): boolean {
    const before = this.balances.get(name);
    if (before === undefined || before.period === this.#standing(feature, name, now).period) return false;
    this.balances.set(name, this.#open(feature, name, limits[feature.key] ?? 0, now));
    return true;
  }

  /** Closes a period that is over, and writes down what is left of it. */
  #open(feature: ModelFeature, name: string, allowance: number, now: number): Balance {
    const before = this.balances.get(name);
    const standing = this.#standing(feature, name, now);
    for (const lot of this.#leftOver(feature, name, allowance, now)) {
      this.lots.set(rolloverName(name, lot.startsAt), lot);
    }
    if (before !== undefined && before.period !== standing.period) {
      this.closed.set(`${name}|${before.period}`, before.used);
    }
    return standing;
  }

  /** Of each period that is over and that nobody has closed, what it did not use of today's allowance, as far as that still counts. */
  #leftOver(
    { rollover, resets }: ModelFeature,
    name: string,
    allowance: number,
    now: number,
  ): readonly ModelLot[] {
    const hour = Math.floor(now / HOUR_MILLISECONDS);
    const before = this.balances.get(name);
    if (rollover === undefined || resets === 'never' || allowance === 0) return [];
    const lots: ModelLot[] = [];
    const first = Math.max(hour - rollover.periods, before?.period ?? 0);
    for (let period = first; period < hour; period += 1) {
      const used = before?.period === period ? before.used - before.covered : 0;
      const amount = Math.min(rollover.maximum, Math.max(rollover.minimum, allowance - used));
      const startsAt = (period + 1) * HOUR_MILLISECONDS;
      const endsAt = startsAt + rollover.periods * HOUR_MILLISECONDS;
      const kind = 'rollover' as const;
      if (amount <= 0) continue;
      lots.push({
        ...{ account: name, amount, left: amount, startsAt, endsAt, kind },
        ...{ createdAt: startsAt, voided: false },
      });
    }
    return lots;
  }

  reserved(account: string): number {
    let sum = 0;
    for (const hold of this.holds.values()) {
      if (hold.account === account && hold.state === 'held') sum += hold.amount;
    }
    return sum;
  }

  /** Holds of an account that have ended by the clock and still count. */
  due(account: string, now: number): readonly ModelHold[] {
    return [...this.holds.values()].filter(
      (hold) => hold.account === account && hold.state === 'held' && hold.expiresAt <= now && hold.amount > 0,
    );
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
    const opened = { used: 0, period: hour, covered: 0 };
    return balance === undefined || hour > balance.period ? opened : balance;
  }

  #inForce(name: string, now: number): readonly ModelLot[] {
    return [...this.lots.values()].filter(
      ({ account, startsAt, endsAt, voided }) =>
        account === name && !voided && startsAt <= now && (endsAt === null || now < endsAt),
    );
  }

  /** With what lots have left, and what they have given to this period already. Nothing at all is no right. */
  #limit(feature: ModelFeature, name: string, allowance: number | null, now: number): number | null {
    if (allowance === null) return null;
    const { covered } = this.#standing(feature, name, now);
    const lots = [...this.#inForce(name, now), ...this.#leftOver(feature, name, allowance, now)];
    const limit = lots.reduce((sum, { left }) => sum + left, allowance + covered);
    return limit === 0 ? null : limit;
  }

  /** Takes what was used out of lots and allowance, what ends first before the others; answers how much came out of lots. */
  #burn(
    feature: ModelFeature,
    name: string,
    { consumed, allowance = 0 }: ModelDecision,
    used: number,
    covered: number,
    now: number,
  ): number {
    let open = consumed;
    let burned = 0;
    const periodEnd =
      feature.resets === 'never'
        ? Number.POSITIVE_INFINITY
        : (Math.floor(now / HOUR_MILLISECONDS) + 1) * HOUR_MILLISECONDS;
    const lots = this.#inForce(name, now).map((lot) => ({
      end: lot.endsAt ?? Number.POSITIVE_INFINITY,
      rank: RANKS[lot.kind],
      age: lot.createdAt,
      lot,
    }));
    const own = { end: periodEnd, rank: RANKS.allowance, age: 0, lot: null };
    const sources = [...lots, own].sort((one, other) =>
      one.end === other.end ? one.rank - other.rank || one.age - other.age : one.end - other.end,
    );
    for (const { lot } of sources) {
      const taken = Math.min(open, lot === null ? Math.max(0, allowance - (used - covered)) : lot.left);
      open -= taken;
      if (lot === null) continue;
      lot.left -= taken;
      burned += taken;
    }
    return burned;
  }

  #heldBy(name: string, { holder }: ModelItem): number {
    return holder === undefined ? 0 : (this.holders.get(`${name}|${holder}`) ?? 0);
  }

  #noteHolder(call: ModelCall, item: ModelItem | undefined, name: string, decision: ModelDecision): void {
    if (item?.holder === undefined) return;
    const moved = call.operation === 'release' ? -decision.requested : decision.consumed;
    const after = Math.max(0, this.#heldBy(name, item) + moved);
    if (after === 0) this.holders.delete(`${name}|${item.holder}`);
    else this.holders.set(`${name}|${item.holder}`, after);
  }

  #consume(call: ModelCall, limits: ModelLimits, now: number): readonly ModelDecision[] {
    const taken = new Map<string, number>();
    const named = new Set<string>();
    const decisions = call.items.map((item): ModelDecision => {
      const { key, amount } = item;
      const feature = this.#feature(key);
      const name = accountName(feature, call);
      const used = this.#standing(feature, name, now).used + (taken.get(name) ?? 0);
      const reservedAfter = this.reserved(name);
      const standing = used + reservedAfter;
      const allowance = limits[key] ?? null;
      const limit = this.#limit(feature, name, allowance, now);
      const told = { allowance: allowance ?? 0, limit: limit ?? 0 };
      const claim = item.holder === undefined ? '' : `${name}|${item.holder}`;
      const claimed = claim !== '' && (named.has(claim) || this.#heldBy(name, item) > 0);
      named.add(claim);
      if (claimed) {
        const allowed = limit !== null;
        return { key, allowed, requested: amount, consumed: 0, usedAfter: used, reservedAfter };
      }
      const top = limit === null ? -1 : this.#top(feature, limit);
      const wanted = call.mode === 'all' ? amount : Math.max(0, Math.min(amount, top - standing));
      const fits = limit !== null && standing + wanted <= top && (wanted > 0 || amount === 0);
      const consumed = fits ? wanted : 0;
      taken.set(name, (taken.get(name) ?? 0) + consumed);
      const usedAfter = used + consumed;
      return { key, allowed: fits, requested: amount, consumed, usedAfter, reservedAfter, ...told };
    });
    if (decisions.every((decision) => decision.allowed)) return decisions;
    return decisions.map((decision) => {
      const feature = this.#feature(decision.key);
      const { used } = this.#standing(feature, accountName(feature, call), now);
      return { ...decision, allowed: false, consumed: 0, usedAfter: used };
    });
  }

  /** What is held needs no room; what is beyond it is decided like a consume. */
  #settle(call: ModelCall, limits: ModelLimits, now: number): readonly ModelDecision[] | null {
    const [item] = call.items;
    const hold = this.holds.get(call.holdId ?? '');
    if (item === undefined || hold === undefined) return null;
    if (hold.state === 'settled' || hold.state === 'released') return null;
    const { key, amount } = item;
    const feature = this.#feature(key);
    const { more, late } = feature.settle;
    if (hold.state === 'expired') {
      if (late === 'refuse' || (amount > hold.amount && more === 'refuse')) return null;
      return this.#consume({ ...call, mode: more === 'upTo' ? 'upTo' : 'all' }, limits, now);
    }
    if (amount > hold.amount && more === 'refuse') return null;
    const name = accountName(feature, call);
    const { used } = this.#standing(feature, name, now);
    const reserved = this.reserved(name);
    const limit = this.#limit(feature, name, limits[key] ?? null, now);
    const top = limit === null ? -1 : this.#top(feature, limit);
    const excess = Math.max(0, amount - hold.amount);
    const room = Math.max(0, top - used - reserved);
    const taken = more === 'upTo' ? Math.min(excess, limit === null ? 0 : room) : excess;
    const allowed = taken === 0 || (limit !== null && used + reserved + taken <= top);
    const consumed = allowed ? Math.min(amount, hold.amount) + taken : 0;
    const reservedAfter = allowed ? reserved - hold.amount : reserved;
    return [{ key, allowed, requested: amount, consumed, usedAfter: used + consumed, reservedAfter }];
  }

  #releaseHold(call: ModelCall, now: number): readonly ModelDecision[] | null {
    const [item] = call.items;
    const hold = this.holds.get(call.holdId ?? '');
    if (item === undefined || hold === undefined || hold.state === 'settled') return null;
    const { key } = item;
    const feature = this.#feature(key);
    const name = accountName(feature, call);
    const { used } = this.#standing(feature, name, now);
    const given = hold.state === 'held' ? hold.amount : 0;
    const reservedAfter = this.reserved(name) - given;
    return [{ key, allowed: true, requested: given, consumed: given, usedAfter: used, reservedAfter }];
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
    return call.items.map((item) => {
      const { key } = item;
      const feature = this.#feature(key);
      const name = accountName(feature, call);
      const { used } = this.#standing(feature, name, now);
      const amount =
        item.holder === undefined ? item.amount : Math.min(item.amount, this.#heldBy(name, item));
      const consumed = Math.min(amount, used);
      const reservedAfter = this.reserved(name);
      return { key, allowed: true, requested: amount, consumed, usedAfter: used - consumed, reservedAfter };
    });
  }
}
