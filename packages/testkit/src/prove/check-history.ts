import type { ConsumptionRow } from '@pennon/server/store/account-transaction';
import type { NewReservation } from '@pennon/server/store/reservation-statements';
import { checkHeard, nameOf, type Recorded, say } from './check-heard.js';
import { checkDue, checkExpiry, checkMade } from './check-holds.js';
import { NoticeJudge } from './check-notices.js';
import { checkStanding, takeInLots } from './check-standing.js';
import { featuresOf } from './draw-calls.js';
import {
  accountName,
  type ModelCall,
  type ModelDecision,
  type ModelLimits,
  SequentialModel,
} from './sequential-model.js';
import type { ClientCall } from './simulated-clients.js';
import type { History } from './simulated-history.js';
import {
  CUSTOMERS,
  customerId,
  FEATURES,
  limitsInForce,
  NO_GRANTS,
  NO_SHARED,
} from './simulated-installation.js';
import type { Commit } from './simulated-store.js';

/*
 * Whether a history could have been that of one clerk with one book: the transactions in the order of their commits, and in each the calls
 * in the order of their rows, decided by the sequential model. Then whether every client was told what stands in the book.
 */

export function checkHistory(history: History): readonly string[] {
  const violations: string[] = [];
  const model = new SequentialModel(featuresOf(history.profile));
  const notices = new NoticeJudge();
  const recorded = new Map<string, Recorded>();
  for (const [index, commit] of history.store.commits.entries()) {
    takeInLots(history, model, index);
    const made = commit.write.reservations.made.values();
    for (const rows of callsOf(commit.write.consumptions)) {
      violations.push(
        ...(rows[0]?.operation === 'expire'
          ? checkExpiry(model, commit, rows[0])
          : checkCall(history, model, recorded, commit, rows, made)),
      );
    }
    violations.push(...checkClosed(history, model, commit));
    violations.push(...checkHours(commit), ...checkNotices(notices, commit));
  }
  for (const call of history.calls) violations.push(...checkHeard(history, model, call, recorded));
  violations.push(...checkStanding(history, model));
  return violations;
}

/** Calls that were refused leave nothing but this: that a period which was over is closed, and what is left of it rolled over. */
function checkClosed(history: History, model: SequentialModel, commit: Commit): readonly string[] {
  const { customerId: id, write, frame } = commit;
  const customer = CUSTOMERS.find((key) => customerId(key) === id) ?? '';
  return write.closed.flatMap(({ feature: key, scope, periodStart }) => {
    const feature = FEATURES.find((one) => one.key === key);
    if (feature === undefined) return [];
    const name = accountName(feature, { customer, user: scope });
    if (model.closed.has(`${name}|${Math.floor((periodStart ?? 0) / 3_600_000)}`)) return [];
    const [limits = {}] = limitsPossible(history, commit, customer, frame.revision);
    return model.close(feature, name, limits, write.now) ? [] : [`${name} was closed too early.`];
  });
}

/** Of every account what was told, and that nothing went untold. */
function checkNotices(judge: NoticeJudge, { customerId: id, write }: Commit): readonly string[] {
  const nameOfAccount = (feature: string, scope: string) => `${id}|${feature}|${scope}`;
  return [
    ...write.notices.flatMap(({ type, subject, scope, data }) =>
      judge.hear({ type, account: nameOfAccount(subject, scope), data, at: write.now }),
    ),
    ...write.accounts.flatMap(({ feature, scope, periodStart, used, limitKnown }) =>
      judge.see({ account: nameOfAccount(feature, scope), periodStart, used, limit: limitKnown }),
    ),
  ];
}

/** The history by hours is told of every change, and of nothing else. */
function checkHours({ write }: Commit): readonly string[] {
  const changes = new Map<string, number>();
  const add = ({ feature, scope }: { feature: string; scope: string }, amount: number) =>
    changes.set(`${feature}|${scope}`, (changes.get(`${feature}|${scope}`) ?? 0) + amount);
  for (const row of write.consumptions) {
    if (row.operation === 'consume' || row.operation === 'settle') add(row, -row.consumed);
    if (row.operation === 'release') add(row, row.consumed);
  }
  for (const hour of write.hours) add(hour, hour.amount);
  return [...changes]
    .filter(([, amount]) => amount !== 0)
    .map(([name, amount]) => `The hours of ${name} are told ${amount} too much.`);
}

/** The rows of one call stand together. */
function callsOf(rows: readonly ConsumptionRow[]): readonly (readonly ConsumptionRow[])[] {
  const calls: ConsumptionRow[][] = [];
  for (const row of rows) {
    const last = calls.at(-1);
    if (last?.[0]?.id === row.id) last.push(row);
    else calls.push([row]);
  }
  return calls;
}

function checkCall(
  history: History,
  model: SequentialModel,
  recorded: Map<string, Recorded>,
  commit: Commit,
  rows: readonly ConsumptionRow[],
  made: Iterator<NewReservation>,
): readonly string[] {
  const [first] = rows;
  const call = history.calls.find((candidate) => isOf(candidate, commit, rows));
  if (first === undefined || call === undefined) {
    return [`Nobody asked for what stands under ${first?.idempotencyKey}.`];
  }
  const name = nameOf(call.customer, call.operation, call.idempotencyKey);
  if (recorded.has(name)) return [`${name} was decided twice.`];
  recorded.set(name, { call, committedAt: commit.at, rows });
  const violations = overshoot(rows);
  if (commit.at < call.sentAt) violations.push(`${name} was decided before it was sent.`);
  violations.push(...checkDue(model, call, commit));
  const expected = decisionsPossible(history, model, commit, call, first.revision);
  const fitting = expected.find((decisions) => sameDecisions(decisions, rows));
  if (fitting === undefined) {
    violations.push(`${name}: ${say(rows)} was decided where ${expected.map(say).join(' or ')} was due.`);
  }
  const apply = fitting ?? expected[0];
  if (apply !== undefined) model.apply(call, apply, commit.write.now);
  if (call.operation === 'reserve') violations.push(...checkMade(model, call, commit, rows, made));
  return violations;
}

/** INVARIANT of law 2, told for itself although the model implies it. */
function overshoot(rows: readonly ConsumptionRow[]): string[] {
  return rows
    .filter((row) => row.operation === 'consume' || row.operation === 'reserve')
    .filter((row) => row.allowed && row.enforcement === 'hard')
    .filter((row) => row.limitAtDecision !== null && row.usedAfter + row.reservedAfter > row.limitAtDecision)
    .map((row) => `${row.idempotencyKey} overshoots: ${row.usedAfter} of ${row.limitAtDecision}.`);
}

function isOf(call: ClientCall, commit: Commit, rows: readonly ConsumptionRow[]): boolean {
  return (
    customerId(call.customer) === commit.customerId &&
    call.idempotencyKey === rows[0]?.idempotencyKey &&
    call.operation === rows[0]?.operation &&
    call.items.length === rows.length &&
    call.items.every(
      ({ key, amount, holder }, item) =>
        rows[item]?.feature === key && isAsked(call, holder, amount, rows[item]?.requested),
    )
  );
}

/** A release asks for what is held: of a hold all of it, of a holder at most that. */
function isAsked(
  { operation }: ClientCall,
  holder: string | undefined,
  amount: number,
  requested: number | undefined,
): boolean {
  if (operation === 'release-hold') return true;
  return operation === 'release' && holder !== undefined
    ? requested !== undefined && requested <= amount
    : requested === amount;
}

/** What the model decides under the limits that may have been in force. */
function decisionsPossible(
  history: History,
  model: SequentialModel,
  commit: Commit,
  call: ModelCall,
  revision: number,
): readonly (readonly ModelDecision[])[] {
  return limitsPossible(history, commit, call.customer, revision).flatMap((limits) => {
    const decisions = model.decide(call, limits, commit.write.now);
    return decisions === null ? [] : [decisions];
  });
}

/**
 * The limits in force when the frame was read; and, because a process may know more than its frame says, what was published between the
 * frame and the commit.
 */
function limitsPossible(
  { grants, plans, plansAt, shared, sharedAt }: History,
  { frame, at }: Commit,
  customer: string,
  revision: number,
): readonly ModelLimits[] {
  const plan = plans.get(revision);
  if (plan === undefined || revision < frame.revision || (plansAt.get(revision) ?? 0) > at) return [];
  const own = grants.get(`${customer}|${frame.customerVersion}`) ?? NO_GRANTS;
  return [...shared].flatMap(([version, group]) => {
    const known = version === frame.sharedVersion;
    const isPossible = known || (version > frame.sharedVersion && (sharedAt.get(version) ?? 0) <= at);
    return isPossible ? [limitsInForce(plan, own, group ?? NO_SHARED)] : [];
  });
}

function sameDecisions(decisions: readonly ModelDecision[], rows: readonly ConsumptionRow[]): boolean {
  return decisions.every((decision, item) => {
    const row = rows[item];
    return (
      row !== undefined &&
      row.allowed === decision.allowed &&
      row.consumed === decision.consumed &&
      row.usedAfter === decision.usedAfter &&
      row.reservedAfter === decision.reservedAfter &&
      (decision.limit === undefined || row.limitAtDecision === decision.limit)
    );
  });
}
