import type { Interval } from '../model/catalog.js';
import type { RemedyPrice } from '../model/remedy.js';

/**
 * Seconds of an interval over the 400 years after which the calendar repeats: 146,097 days are 4,800 months, so that a month is
 * 2,629,746 seconds exactly, and prices of any two intervals compare without rounding.
 */
const SECONDS: Record<Interval, bigint> = {
  hour: 3600n,
  day: 86_400n,
  week: 604_800n,
  month: 2_629_746n,
  quarter: 7_889_238n,
  year: 31_556_952n,
};

/** What is ordered: cheapest first, then by rank, then by name. */
export interface Priced {
  readonly price: RemedyPrice | null;
  /** What is paid besides, where several things are bought together; `null` for one without a price. */
  readonly also?: readonly (RemedyPrice | null)[];
  readonly rank: number;
  readonly name: string;
}

function isRecurring({ every }: RemedyPrice): boolean {
  return every !== null && every !== 'once';
}

/** All that is paid; `null` where something of it has no price. */
function partsOf({ price, also = [] }: Priced): readonly RemedyPrice[] | null {
  const parts = [price, ...also].filter((part) => part !== null);
  return parts.length === also.length + 1 ? parts : null;
}

/**
 * Recurring prices in the customer's currency, then other prices in it, then what cannot be compared by price: what is paid once and what
 * is paid again and again have no sum.
 */
function classOf(priced: Priced, currency: string | null): 0 | 1 | 2 {
  const parts = partsOf(priced);
  if (parts === null || currency === null || parts.some((part) => part.currency !== currency)) return 2;
  const recurring = parts.filter(isRecurring).length;
  return recurring === parts.length ? 0 : recurring === 0 ? 1 : 2;
}

/** An exact fraction: amount per second, or the amount itself of what is paid once. */
function rateOf(parts: readonly RemedyPrice[]): readonly [bigint, bigint] {
  return parts.reduce<readonly [bigint, bigint]>(
    ([amount, seconds], part) => {
      const span = secondsOf(part);
      return span === seconds
        ? [amount + BigInt(part.amount), seconds]
        : [amount * span + BigInt(part.amount) * seconds, seconds * span];
    },
    [0n, 1n],
  );
}

function byPrice(left: readonly RemedyPrice[], right: readonly RemedyPrice[]): number {
  const [one, other] = [rateOf(left), rateOf(right)];
  const a = one[0] * other[1];
  const b = other[0] * one[1];
  return a < b ? -1 : a > b ? 1 : 0;
}

function secondsOf({ every }: RemedyPrice): bigint {
  return every === null || every === 'once' ? 1n : SECONDS[every];
}

function byRank(left: Priced, right: Priced): number {
  if (left.rank !== right.rank) return left.rank - right.rank;
  return left.name < right.name ? -1 : left.name > right.name ? 1 : 0;
}

/** The order of offers for someone who pays in `currency`; amounts of different currencies are never compared. */
export function comparePrices(left: Priced, right: Priced, currency: string | null): number {
  const leftClass = classOf(left, currency);
  const rightClass = classOf(right, currency);
  if (leftClass !== rightClass) return leftClass - rightClass;
  const [one, other] = [partsOf(left), partsOf(right)];
  const cheaper = leftClass === 2 || one === null || other === null ? 0 : byPrice(one, other);
  return cheaper !== 0 ? cheaper : byRank(left, right);
}

/** Whether one costs less than the other, and both can be told. */
export function isCheaper(left: Priced, right: Priced, currency: string | null): boolean {
  const both = classOf(left, currency);
  const [one, other] = [partsOf(left), partsOf(right)];
  if (both === 2 || one === null || other === null) return false;
  const against = classOf(right, currency);
  return both < against || (both === against && byPrice(one, other) < 0);
}

/** What several things cost together; `null` where they are not paid in one currency and interval, or one has no price. */
export function sumOf(prices: readonly (RemedyPrice | null)[]): RemedyPrice | null {
  const [first, ...others] = prices;
  if (first === undefined || first === null) return null;
  let { amount, source } = first;
  for (const other of others) {
    if (other === null || other.currency !== first.currency || other.every !== first.every) return null;
    amount += other.amount;
    if (other.source !== source) source = null;
  }
  return Number.isSafeInteger(amount) ? { ...first, amount, source } : null;
}
