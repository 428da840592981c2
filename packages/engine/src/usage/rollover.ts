import { CelError } from '../cel/values.js';
import { Evaluation } from '../evaluation/evaluation.js';
import type { PreparedCustomer } from '../evaluation/prepared-customer.js';
import { type AccountState, type CreditLot, type Instant, inForce } from '../model/customer.js';
import type { Period } from '../model/decision.js';
import { DEFAULT_LOT_PRIORITY } from '../model/limits.js';
import { spanOf } from '../period/period-of.js';
import type { CompiledFeature } from '../snapshot/snapshot.js';

/*
 * What is left of periods that are over (DESIGN: periods are computed on read). No job closes a period: whoever asks in a later one works out
 * what was rolled over, and the first consume of the later one writes down just that.
 */

/** What a rollover lot is before it is stored: it has no id. */
export const UNSTORED = '';

/** A period that is over, with what was used of its allowance. */
interface Closed {
  readonly end: Instant;
  readonly allowanceUsed: number;
}

/** An account that never counted anything yet tells no more than none. */
type Opened = AccountState & { readonly periodStart: Instant };

function isOpened(account: AccountState | undefined): account is Opened {
  return account !== undefined && account.periodStart !== null;
}

/** When the account's own period came to its end: at the next one's start at the latest. */
function ownEnd(
  prepared: PreparedCustomer,
  feature: CompiledFeature,
  account: Opened,
  next: Instant,
): Instant {
  const end = account.periodEnd ?? spanOf(prepared, feature, account.periodStart)?.end ?? next;
  return Math.min(end, next);
}

/** The periods that are over and of which something may still stand, oldest first. */
function closedPeriods(
  prepared: PreparedCustomer,
  feature: CompiledFeature,
  account: AccountState | undefined,
  period: Period,
  most: number,
): readonly Closed[] {
  const closed: Closed[] = [];
  const opened = isOpened(account) ? account : null;
  // Without an account the customer was there all the same, from its creation on.
  const since =
    opened === null
      ? (prepared.state?.createdAt ?? Number.POSITIVE_INFINITY)
      : ownEnd(prepared, feature, opened, period.start);
  let end = period.start;
  while (closed.length < most && end > since) {
    const span = spanOf(prepared, feature, end - 1);
    if (span === null) break;
    closed.push({ end, allowanceUsed: 0 });
    end = span.start;
  }
  if (opened !== null && closed.length < most) {
    closed.push({ end: since, allowanceUsed: opened.used - (opened.covered ?? 0) });
  }
  return closed.reverse();
}

/** What the period that ended then allowed, without lots; `null`: without a limit. */
function allowanceBefore(evaluation: Evaluation, feature: CompiledFeature, end: Instant): number | null {
  const { request, layers, customer } = evaluation;
  const state = customer?.state;
  if (state == null) return 0;
  // What is remembered with a state is of its instants: another copy keeps that of now where it is.
  const past = new Evaluation({ ...request, customer: { ...state }, now: end - 1 }, layers, null);
  past.withoutCredits = true;
  const level = past.level(feature);
  if (level instanceof CelError) return 0;
  return level.unlimited ? null : level.amount;
}

function endAfter(
  prepared: PreparedCustomer,
  feature: CompiledFeature,
  from: Instant,
  periods: number,
): Instant {
  let end = from;
  for (let count = 0; count < periods; count += 1) end = spanOf(prepared, feature, end)?.end ?? end;
  return end;
}

function compute(
  evaluation: Evaluation,
  prepared: PreparedCustomer,
  feature: CompiledFeature,
  account: AccountState | undefined,
  period: Period,
): readonly CreditLot[] {
  const { rollover } = feature;
  if (rollover === null) return [];
  const { maximum, minimum, periods } = rollover;
  const lots: CreditLot[] = [];
  for (const { end, allowanceUsed } of closedPeriods(prepared, feature, account, period, periods)) {
    const allowance = allowanceBefore(evaluation, feature, end);
    if (allowance === null || allowance === 0) continue;
    const amount = Math.min(maximum, Math.max(minimum, allowance - allowanceUsed));
    if (amount <= 0) continue;
    lots.push({
      id: UNSTORED,
      kind: 'rollover',
      priority: DEFAULT_LOT_PRIORITY,
      amount,
      remaining: amount,
      createdAt: end,
      startsAt: end,
      endsAt: endAfter(prepared, feature, end, periods),
    });
  }
  return lots.filter((lot) => inForce(lot, period.start));
}

interface Found {
  readonly account: AccountState | undefined;
  readonly start: Instant;
  readonly lots: readonly CreditLot[];
}

/** By customer, feature and account: asked for in every evaluation until the first consume of a period writes it down. */
const known = new WeakMap<PreparedCustomer, Map<string, Found>>();

/**
 * What periods before this one leave it, and no row says yet; nothing where the account stands in this period already. Each lot is
 * what was left of one period's allowance, at least the feature's minimum and at most its maximum. INVARIANT: it depends on that period alone, so
 * that it is the same whether somebody asked in between or not.
 */
export function rolloversDue(
  evaluation: Evaluation,
  feature: CompiledFeature,
  account: AccountState | undefined,
  period: Period,
): readonly CreditLot[] {
  const prepared = evaluation.customer;
  if (prepared === null || feature.rollover === null) return [];
  if (isOpened(account) && account.periodStart >= period.start) return [];
  let found = known.get(prepared);
  if (found === undefined) {
    found = new Map();
    known.set(prepared, found);
  }
  const key = `${feature.index} ${account?.scope ?? ''}`;
  const before = found.get(key);
  if (before !== undefined && before.account === account && before.start === period.start) return before.lots;
  const lots = compute(evaluation, prepared, feature, account, period);
  found.set(key, { account, start: period.start, lots });
  return lots;
}
