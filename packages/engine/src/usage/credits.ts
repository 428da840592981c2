import type { Evaluation } from '../evaluation/evaluation.js';
import type { PreparedCustomer } from '../evaluation/prepared-customer.js';
import type { AccountState, CreditLot } from '../model/customer.js';
import { spanOf } from '../period/period-of.js';
import type { CompiledFeature } from '../snapshot/snapshot.js';
import { accountOf, isClosed, scopeOf } from './account-of.js';
import { rolloversDue } from './rollover.js';

/** What adds to the limit of an account besides what its period allows. */
export interface Credits {
  /** So much of the running period's use was taken out of lots. */
  readonly covered: number;
  /** Those that are stored, and those that periods before this one leave it. */
  readonly lots: readonly CreditLot[];
}

function holds({ covered, lots }: AccountState): boolean {
  return (covered ?? 0) > 0 || (lots !== undefined && lots.length > 0);
}

/** Whether lots may add to a feature's limit for somebody of the customer: then it is not the same for everyone of the customer. */
export function mayHaveCredits(prepared: PreparedCustomer, feature: CompiledFeature): boolean {
  if (feature.type !== 'metered') return false;
  if (feature.rollover !== null) return true;
  return prepared.state?.accounts.some((one) => one.feature === feature.key && holds(one)) === true;
}

/** `null`: nothing but the allowance counts, as nearly everywhere. */
export function creditsOf(evaluation: Evaluation, feature: CompiledFeature): Credits | null {
  const prepared = evaluation.customer;
  if (prepared === null || evaluation.withoutCredits || !mayHaveCredits(prepared, feature)) return null;
  const scope = scopeOf(evaluation, feature);
  if (scope === null) return null;
  const account = accountOf(evaluation, feature, scope);
  const stored = account?.lots ?? [];
  const period = spanOf(prepared, feature, evaluation.nowMilliseconds);
  if (period === null) return { covered: account?.covered ?? 0, lots: stored };
  const due = rolloversDue(evaluation, feature, account, period);
  const covered = account === undefined || isClosed(account, period) ? 0 : (account.covered ?? 0);
  if (covered > 0 || due.length > 0) evaluation.touch(period.end);
  return { covered, lots: due.length === 0 ? stored : [...stored, ...due] };
}
