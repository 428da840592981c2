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
  readonly rank: number;
  readonly name: string;
}

/** Recurring prices in the customer's currency, then other prices in it, then what cannot be compared by price. */
function classOf({ price }: Priced, currency: string | null): 0 | 1 | 2 {
  if (price === null || currency === null || price.currency !== currency) return 2;
  return price.every === null || price.every === 'once' ? 1 : 0;
}

function byPrice(left: RemedyPrice, right: RemedyPrice): number {
  const a = BigInt(left.amount) * secondsOf(right);
  const b = BigInt(right.amount) * secondsOf(left);
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
  const cheaper =
    leftClass === 2 || left.price === null || right.price === null ? 0 : byPrice(left.price, right.price);
  return cheaper !== 0 ? cheaper : byRank(left, right);
}
