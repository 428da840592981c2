import { isDeepStrictEqual } from 'node:util';
import type { ConsumptionRow } from '@pennon/server/store/account-transaction';
import {
  accountName,
  type ModelCall,
  type ModelDecision,
  type ModelLimits,
  SequentialModel,
} from './sequential-model.js';
import type { ClientCall, Heard, History } from './simulated-history.js';
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

/** A call as it stands in the store. */
interface Recorded {
  readonly call: ClientCall;
  readonly committedAt: number;
  readonly rows: readonly ConsumptionRow[];
}

export function checkHistory(history: History): readonly string[] {
  const violations: string[] = [];
  const model = new SequentialModel(FEATURES);
  const recorded = new Map<string, Recorded>();
  for (const commit of history.store.commits) {
    for (const rows of callsOf(commit.write.consumptions)) {
      violations.push(...checkCall(history, model, recorded, commit, rows));
    }
  }
  for (const call of history.calls) violations.push(...checkHeard(call, recorded));
  violations.push(...checkBalances(history, model));
  return violations;
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

function nameOf(customer: string, operation: string, idempotencyKey: string): string {
  return `${customer} ${operation} ${idempotencyKey}`;
}

function checkCall(
  history: History,
  model: SequentialModel,
  recorded: Map<string, Recorded>,
  commit: Commit,
  rows: readonly ConsumptionRow[],
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
  const expected = decisionsPossible(history, model, commit, call, first.revision);
  const fitting = expected.find((decisions) => sameDecisions(decisions, rows));
  if (fitting === undefined) {
    violations.push(`${name}: ${say(rows)} was decided where ${expected.map(say).join(' or ')} was due.`);
  }
  const apply = fitting ?? expected[0];
  if (apply !== undefined) model.apply(call, apply, commit.write.now);
  return violations;
}

/** INVARIANT of law 2, told for itself although the model implies it. */
function overshoot(rows: readonly ConsumptionRow[]): string[] {
  return rows
    .filter((row) => row.operation === 'consume' && row.allowed && row.enforcement === 'hard')
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
      ({ key, amount }, item) => rows[item]?.feature === key && rows[item]?.requested === amount,
    )
  );
}

/**
 * What the model decides under the limits in force when the frame was read; and, because a process may know more than its frame says,
 * under what was published between the frame and the commit.
 */
function decisionsPossible(
  history: History,
  model: SequentialModel,
  { frame, at, write }: Commit,
  call: ModelCall,
  revision: number,
): readonly (readonly ModelDecision[])[] {
  const { grants, plans, plansAt, shared, sharedAt } = history;
  const plan = plans.get(revision);
  if (plan === undefined || revision < frame.revision || (plansAt.get(revision) ?? 0) > at) return [];
  const own = grants.get(`${call.customer}|${frame.customerVersion}`) ?? NO_GRANTS;
  const possible: (readonly ModelDecision[])[] = [];
  for (const [version, group] of shared) {
    const known = version === frame.sharedVersion;
    const since = sharedAt.get(version) ?? 0;
    if (known || (version > frame.sharedVersion && since <= at)) {
      const limits: ModelLimits = limitsInForce(plan, own, group ?? NO_SHARED);
      possible.push(model.decide(call, limits, write.now));
    }
  }
  return possible;
}

function sameDecisions(decisions: readonly ModelDecision[], rows: readonly ConsumptionRow[]): boolean {
  return decisions.every((decision, item) => {
    const row = rows[item];
    return (
      row !== undefined &&
      row.allowed === decision.allowed &&
      row.consumed === decision.consumed &&
      row.usedAfter === decision.usedAfter
    );
  });
}

function say(decisions: readonly { allowed: boolean; consumed: number; usedAfter: number }[]): string {
  return decisions
    .map(({ allowed, consumed, usedAfter }) => `${allowed}/${consumed}/${usedAfter}`)
    .join(', ');
}

/** INVARIANT: nothing is acknowledged that does not stand in the store, and every repetition is answered alike. */
function checkHeard(call: ClientCall, recorded: ReadonlyMap<string, Recorded>): readonly string[] {
  const name = nameOf(call.customer, call.operation, call.idempotencyKey);
  const stored = recorded.get(name);
  if (!call.settled) return [`${name} was never answered.`];
  const violations: string[] = [];
  let first: Extract<Heard, { kind: 'answer' }> | null = null;
  for (const heard of call.heard) {
    switch (heard.kind) {
      case 'fault':
        violations.push(`${name} failed: ${String(heard.error)}`);
        break;
      case 'mismatch':
        if (stored === undefined || stored.call === call) violations.push(`${name} was taken for another.`);
        break;
      case 'answer':
        violations.push(...checkAnswer(name, call, heard, stored));
        if (first !== null && !sameAnswer(first, heard)) violations.push(`${name} was answered in two ways.`);
        first ??= heard;
    }
  }
  return violations;
}

function checkAnswer(
  name: string,
  call: ClientCall,
  { at, answer }: Extract<Heard, { kind: 'answer' }>,
  stored: Recorded | undefined,
): readonly string[] {
  if (stored === undefined || stored.call !== call) {
    return [`${name} was acknowledged and does not stand in the store.`];
  }
  if (at < stored.committedAt) return [`${name} was acknowledged before its commit.`];
  const same =
    answer.decisions.length === stored.rows.length &&
    answer.decisions.every((decision, item) => {
      const row = stored.rows[item];
      return (
        row !== undefined &&
        decision.key === row.feature &&
        decision.allowed === row.allowed &&
        decision.consumed === row.consumed &&
        decision.usedAfter === row.usedAfter
      );
    });
  return same ? [] : [`${name} was answered ${say(answer.decisions)} where ${say(stored.rows)} stands.`];
}

function sameAnswer(
  one: Extract<Heard, { kind: 'answer' }>,
  other: Extract<Heard, { kind: 'answer' }>,
): boolean {
  return (
    one.answer.decidedAt === other.answer.decidedAt &&
    // As they go over the wire: a member that is absent and one that is undefined are the same.
    isDeepStrictEqual(
      JSON.parse(JSON.stringify(one.answer.decisions)),
      JSON.parse(JSON.stringify(other.answer.decisions)),
    )
  );
}

function checkBalances(history: History, model: SequentialModel): readonly string[] {
  const violations: string[] = [];
  const names = new Map(CUSTOMERS.map((key) => [customerId(key), key]));
  for (const [row, account] of history.store.accounts) {
    const customer = names.get(row.slice(0, row.indexOf('|'))) ?? '';
    const feature = FEATURES.find(({ key }) => key === account.feature);
    if (feature === undefined) continue;
    const name = accountName(feature, { customer, user: account.scope });
    const expected = model.balances.get(name)?.used ?? 0;
    if (account.used !== expected) violations.push(`${name} holds ${account.used}, not ${expected}.`);
  }
  for (const period of history.store.periods.values()) {
    const matching = [...model.closed].filter(([name]) =>
      name.endsWith(
        `|${period.feature}|${period.scope}|${Math.floor((period.periodStart ?? 0) / 3_600_000)}`,
      ),
    );
    if (!matching.some(([, used]) => used === period.used)) {
      violations.push(`A closed period of ${period.feature} holds ${period.used}.`);
    }
  }
  if (history.store.periods.size !== model.closed.size) {
    violations.push(`${history.store.periods.size} periods were closed, not ${model.closed.size}.`);
  }
  return violations;
}
