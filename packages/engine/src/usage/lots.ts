import type { CreditLot, Instant } from '../model/customer.js';
import { inForce } from '../model/customer.js';
import { DEFAULT_LOT_PRIORITY } from '../model/limits.js';

/*
 * Lots: amounts that may be used besides what a period allows. What a period allows is one of them, which ends with the period; it
 * is not stored, because it is derived. What is used is taken from the lots in one order and given back in the reverse one.
 */

/** What an account's use may be taken from. */
export interface Stock {
  /** What the period allows, and how much of the period's use was taken out of it (more than that, where a limit was lowered). */
  readonly allowance: number;
  readonly allowanceUsed: number;
  /** `null`: it never ends. */
  readonly periodEnd: Instant | null;
  /** So much of the period's use was taken out of lots. */
  readonly covered: number;
  readonly lots: readonly CreditLot[];
}

type Source = CreditLot | 'allowance';

/** Promotional before paid, and what was left before what is new. */
const RANKS: Record<CreditLot['kind'] | 'allowance', number> = {
  promotional: 0,
  rollover: 1,
  allowance: 2,
  topup: 3,
};

function endOf(source: Source, periodEnd: Instant | null): Instant {
  return (source === 'allowance' ? periodEnd : source.endsAt) ?? Number.POSITIVE_INFINITY;
}

/**
 * The one order of use: priority, soonest to end first, promotional before paid, then oldest. Ids make it total: nobody's credit
 * depends on the order in which rows were read.
 */
function compare(left: Source, right: Source, periodEnd: Instant | null): number {
  const priorities = priorityOf(left) - priorityOf(right);
  if (priorities !== 0) return priorities;
  const [leftEnd, rightEnd] = [endOf(left, periodEnd), endOf(right, periodEnd)];
  if (leftEnd !== rightEnd) return leftEnd < rightEnd ? -1 : 1;
  const ranks =
    RANKS[left === 'allowance' ? left : left.kind] - RANKS[right === 'allowance' ? right : right.kind];
  if (ranks !== 0 || left === 'allowance' || right === 'allowance') return ranks;
  if (left.createdAt !== right.createdAt) return left.createdAt - right.createdAt;
  return left.id < right.id ? -1 : left.id > right.id ? 1 : 0;
}

function priorityOf(source: Source): number {
  return source === 'allowance' ? DEFAULT_LOT_PRIORITY : source.priority;
}

function inOrder({ lots, periodEnd }: Stock, now: Instant): Source[] {
  const sources: Source[] = ['allowance', ...lots.filter((lot) => inForce(lot, now))];
  return sources.sort((left, right) => compare(left, right, periodEnd));
}

/** What remains of the lots in force. */
export function remainingOf(lots: readonly CreditLot[], now: Instant): number {
  let sum = 0;
  for (const lot of lots) if (inForce(lot, now)) sum += lot.remaining;
  return sum;
}

/**
 * Takes an amount that was used. What neither the allowance nor any lot has left counts as used out of the allowance: that is overage.
 *
 * @param settles lots cover what was used above the allowance before they came, too (soft limits: it is overage). Of a hard limit it
 * can only be what a change of plan has lowered, and no credit is spent on that.
 */
export function burn(stock: Stock, amount: number, now: Instant, settles: boolean): Stock {
  const debt = settles ? Math.max(0, stock.allowanceUsed - stock.allowance) : 0;
  let left = amount + debt;
  let allowanceUsed = stock.allowanceUsed - debt;
  let covered = stock.covered;
  const remaining = new Map<CreditLot, number>();
  for (const source of inOrder(stock, now)) {
    if (left === 0) break;
    const available = source === 'allowance' ? stock.allowance - allowanceUsed : source.remaining;
    const taken = Math.min(left, Math.max(0, available));
    if (taken === 0) continue;
    left -= taken;
    if (source === 'allowance') allowanceUsed += taken;
    else {
      covered += taken;
      remaining.set(source, source.remaining - taken);
    }
  }
  return {
    ...stock,
    allowanceUsed: allowanceUsed + left,
    covered,
    lots: withRemaining(stock.lots, remaining),
  };
}

/**
 * Gives an amount back, in the reverse order of use, and first what was used above the allowance. What came out of a lot that has ended
 * is gone with it. Never more than was used.
 */
export function refill(stock: Stock, amount: number, now: Instant): Stock {
  const above = Math.max(0, stock.allowanceUsed - stock.allowance);
  const overage = Math.min(amount, above);
  let left = amount - overage;
  let allowanceUsed = stock.allowanceUsed - overage;
  let covered = stock.covered;
  const remaining = new Map<CreditLot, number>();
  for (const source of inOrder(stock, now).reverse()) {
    if (left === 0) break;
    const taken =
      source === 'allowance' ? allowanceUsed : Math.min(covered, source.amount - source.remaining);
    const back = Math.min(left, taken);
    if (back === 0) continue;
    left -= back;
    if (source === 'allowance') allowanceUsed -= back;
    else {
      covered -= back;
      remaining.set(source, source.remaining + back);
    }
  }
  covered -= Math.min(left, covered);
  return { ...stock, allowanceUsed, covered, lots: withRemaining(stock.lots, remaining) };
}

function withRemaining(
  lots: readonly CreditLot[],
  remaining: ReadonlyMap<CreditLot, number>,
): readonly CreditLot[] {
  if (remaining.size === 0) return lots;
  return lots.map((lot) => {
    const now = remaining.get(lot);
    return now === undefined ? lot : { ...lot, remaining: now };
  });
}
