import type {
  AccountKey,
  BatchWrite,
  ConsumptionRow,
  LockedFrame,
} from '@pennon/server/store/account-transaction';
import type { WritePlan } from './interleaving-script.js';

/* What a party of a script writes. */

const PERIOD_MILLISECONDS = 3_600_000;
const FIRST_PERIOD = Date.UTC(2027, 0, 1);

/** What a batch would write on what it read: each account of the frame takes the amount. */
export function writeOf(frame: LockedFrame, plan: WritePlan): BatchWrite {
  const { kind, amount, closes } = plan;
  const accounts = frame.accounts.map((account) => {
    const periodStart =
      account.periodStart === null ? FIRST_PERIOD : account.periodStart + (closes ? PERIOD_MILLISECONDS : 0);
    const before = kind === 'stale' ? { ...account, used: account.used + 1000 } : account;
    return {
      ...account,
      used: closes ? amount : account.used + amount,
      periodStart,
      periodEnd: periodStart + PERIOD_MILLISECONDS,
      lots: [],
      percent: null,
      before,
    };
  });
  const closed = closes ? frame.accounts.filter((account) => account.periodStart !== null) : [];
  const consumptions = accounts.map((account, item) => rowOf(plan, account, account.used, item));
  const reservations = { made: [], finished: [], accounts: [] };
  const lots = { credits: [], changed: [], made: [] };
  return {
    now: frame.now,
    accounts,
    closed,
    consumptions,
    reservations,
    holders: [],
    lots,
    hours: accounts.map(({ feature, scope, used }) => ({
      feature,
      scope,
      hour: FIRST_PERIOD,
      dimensions: '',
      aggregation: 'sum',
      amount,
      events: 1,
      lastAt: frame.now,
      usedAfter: used,
      limitAfter: null,
    })),
    notices: [],
    wouldHaveDenied: 0,
  };
}

function rowOf(plan: WritePlan, { feature, scope }: AccountKey, used: number, item: number): ConsumptionRow {
  return {
    id: plan.id,
    item,
    operation: 'consume',
    idempotencyKey: plan.idempotencyKey,
    requestHash: '00'.repeat(32),
    feature,
    scope,
    allowed: true,
    reason: 'PLAN',
    enforcement: 'hard',
    requested: plan.amount,
    consumed: plan.amount,
    usedAfter: used,
    reservedAfter: 0,
    limitAtDecision: plan.kind === 'over' ? used - 1 : used,
    periodStart: null,
    revision: 1,
    attributes: null,
    answer: `answer ${plan.id}`,
    actor: 'server-key:script',
  };
}
