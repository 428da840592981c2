import { isDeepStrictEqual } from 'node:util';
import type { ConsumptionRow } from '@pennon/server/store/account-transaction';
import type { NewReservation } from '@pennon/server/store/reservation-statements';
import { NoticeJudge } from './check-notices.js';
import {
  accountName,
  type ModelCall,
  type ModelDecision,
  type ModelLimits,
  SequentialModel,
} from './sequential-model.js';
import type { ClientCall, Heard } from './simulated-clients.js';
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

/** A call as it stands in the store. */
interface Recorded {
  readonly call: ClientCall;
  readonly committedAt: number;
  readonly rows: readonly ConsumptionRow[];
}

export function checkHistory(history: History): readonly string[] {
  const violations: string[] = [];
  const model = new SequentialModel(FEATURES);
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
    violations.push(...checkClosed(model, commit), ...checkHours(commit), ...checkNotices(notices, commit));
  }
  for (const call of history.calls) violations.push(...checkHeard(history, model, call, recorded));
  takeInLots(history, model, history.store.commits.length);
  violations.push(...checkBalances(history, model), ...checkCredits(history, model));
  return violations;
}

/** Lots that were committed before the batch of that number; both are under the locks of customer and account. */
function takeInLots({ store }: History, model: SequentialModel, index: number): void {
  for (const [id, { customerId: whose, account, lot, after }] of store.lots) {
    if (after > index || model.lots.has(id)) continue;
    const feature = FEATURES.find(({ key }) => key === account.feature);
    const customer = CUSTOMERS.find((key) => customerId(key) === whose) ?? '';
    if (feature === undefined) continue;
    model.lots.set(id, {
      account: accountName(feature, { customer, user: account.scope }),
      amount: lot.amount,
      left: lot.amount,
      startsAt: lot.startsAt,
      endsAt: lot.endsAt,
      promotional: lot.kind === 'promotional',
      createdAt: lot.createdAt,
    });
  }
}

/** Calls that were refused leave nothing but this: that a period which was over is closed. */
function checkClosed(model: SequentialModel, { customerId: id, write }: Commit): readonly string[] {
  const customer = CUSTOMERS.find((key) => customerId(key) === id) ?? '';
  return write.closed.flatMap(({ feature: key, scope, periodStart }) => {
    const feature = FEATURES.find((one) => one.key === key);
    if (feature === undefined) return [];
    const name = accountName(feature, { customer, user: scope });
    const isClosed = model.closed.has(`${name}|${Math.floor((periodStart ?? 0) / 3_600_000)}`);
    return isClosed || model.close(feature, name, write.now) ? [] : [`${name} was closed too early.`];
  });
}

/** Of every account what was told, and that nothing went untold. */
function checkNotices(judge: NoticeJudge, { customerId: id, write }: Commit): readonly string[] {
  const nameOfAccount = (feature: string, scope: string) => `${id}|${feature}|${scope}`;
  return [
    ...write.notices.flatMap(({ type, subject, scope, data }) =>
      judge.hear({ type, account: nameOfAccount(subject, scope), data }),
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

function nameOf(customer: string, operation: string, idempotencyKey: string): string {
  return `${customer} ${operation} ${idempotencyKey}`;
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

/** INVARIANT: a hold whose end has come by the database's clock counts for nobody who is decided after that. */
function checkDue(model: SequentialModel, call: ClientCall, { write }: Commit): readonly string[] {
  return call.items.flatMap(({ key }) => {
    const feature = FEATURES.find((one) => one.key === key);
    const due = feature === undefined ? [] : model.due(accountName(feature, call), write.now);
    return due.map(
      (hold) => `A hold of ${hold.amount} that had ended counted against ${call.idempotencyKey}.`,
    );
  });
}

/** What was allowed to be held is held, by that amount and for that time. */
function checkMade(
  model: SequentialModel,
  call: ClientCall,
  { write }: Commit,
  [row]: readonly ConsumptionRow[],
  made: Iterator<NewReservation>,
): readonly string[] {
  const feature = FEATURES.find(({ key }) => key === row?.feature);
  if (row === undefined || feature === undefined || !row.allowed) return [];
  const next = made.next();
  const expiresAt = write.now + (call.ttlSeconds ?? 1) * 1000;
  if (next.done === true || next.value.amount !== row.consumed || next.value.expiresAt !== expiresAt) {
    return [`${call.idempotencyKey} was allowed and is not held as it should be.`];
  }
  const account = accountName(feature, call);
  model.holds.set(next.value.id, { account, amount: row.consumed, expiresAt, state: 'held' });
  return [];
}

function checkExpiry(model: SequentialModel, { write }: Commit, row: ConsumptionRow): readonly string[] {
  const hold = model.holds.get(row.idempotencyKey);
  if (hold === undefined || hold.state !== 'held') return ['A hold ended that was not held any more.'];
  hold.state = 'expired';
  const right =
    hold.expiresAt <= write.now &&
    row.consumed === hold.amount &&
    row.reservedAfter === model.reserved(hold.account);
  return right
    ? []
    : [`A hold of ${hold.amount} ended wrongly: ${row.consumed}, ${row.reservedAfter} are left.`];
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
      const decisions = model.decide(call, limits, write.now);
      if (decisions !== null) possible.push(decisions);
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
      row.usedAfter === decision.usedAfter &&
      row.reservedAfter === decision.reservedAfter &&
      (decision.limit === undefined || row.limitAtDecision === decision.limit)
    );
  });
}

type Said = Pick<ModelDecision, 'allowed' | 'consumed' | 'usedAfter' | 'reservedAfter'>;

function say(decisions: readonly Said[]): string {
  return decisions
    .map(({ allowed, consumed, usedAfter, reservedAfter }) =>
      [allowed, consumed, usedAfter, reservedAfter].join('/'),
    )
    .join(', ');
}

/** INVARIANT: nothing is acknowledged that does not stand in the store, and every repetition is answered alike. */
function checkHeard(
  history: History,
  model: SequentialModel,
  call: ClientCall,
  recorded: ReadonlyMap<string, Recorded>,
): readonly string[] {
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
      case 'refused':
        if (stored !== undefined) violations.push(`${name} was refused and stands.`);
        violations.push(...checkRefused(history, model, name, call, heard));
        break;
      case 'answer':
        violations.push(...checkAnswer(name, call, heard, stored));
        if (first !== null && !sameAnswer(first, heard)) violations.push(`${name} was answered in two ways.`);
        first ??= heard;
    }
  }
  return violations;
}

/** A refusal is true: the hold was final by then, or had ended, or less was held. */
function checkRefused(
  history: History,
  model: SequentialModel,
  name: string,
  call: ClientCall,
  { at, code }: Extract<Heard, { kind: 'refused' }>,
): readonly string[] {
  const hold = model.holds.get(call.holdId ?? '');
  const feature = FEATURES.find(({ key }) => key === call.items[0]?.key);
  const amount = call.items[0]?.amount ?? 0;
  if (hold === undefined || feature === undefined) return [`${name} was refused (${code}) without a hold.`];
  const isTrue =
    code === 'RESERVATION_FINAL'
      ? hold.state === 'settled' || hold.state === 'released'
      : code === 'RESERVATION_EXPIRED'
        ? feature.settle.late === 'refuse' && hold.expiresAt <= history.clockAt(at)
        : call.operation === 'settle' && feature.settle.more === 'refuse' && amount > hold.amount;
  return isTrue ? [] : [`${name} was refused with ${code} while the hold was ${hold.state}.`];
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
        decision.usedAfter === row.usedAfter &&
        decision.reservedAfter === row.reservedAfter
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

/** What lots have left, and who holds what. */
function checkCredits({ store }: History, model: SequentialModel): readonly string[] {
  const violations: string[] = [];
  for (const [id, { lot }] of store.lots) {
    const left = model.lots.get(id)?.left;
    if (lot.remaining !== left) violations.push(`A lot has ${lot.remaining} left, not ${left}.`);
  }
  const stored = new Map(
    [...store.holders.values()].map(({ customerId: whose, feature, scope, holder, amount }) => {
      const customer = CUSTOMERS.find((key) => customerId(key) === whose) ?? '';
      return [`${customer}|${feature}|${scope}|${holder}`, amount];
    }),
  );
  for (const name of new Set([...stored.keys(), ...model.holders.keys()])) {
    const [found, expected] = [stored.get(name) ?? 0, model.holders.get(name) ?? 0];
    if (found !== expected) violations.push(`${name} holds ${found}, not ${expected}.`);
  }
  return violations;
}

function checkBalances(history: History, model: SequentialModel): readonly string[] {
  const violations: string[] = [];
  for (const [id, { state }] of history.store.reservations) {
    const expected = model.holds.get(id)?.state;
    if (state !== expected) violations.push(`A reservation is ${state}, not ${expected}.`);
  }
  const names = new Map(CUSTOMERS.map((key) => [customerId(key), key]));
  for (const [row, account] of history.store.accounts) {
    const customer = names.get(row.slice(0, row.indexOf('|'))) ?? '';
    const feature = FEATURES.find(({ key }) => key === account.feature);
    if (feature === undefined) continue;
    const name = accountName(feature, { customer, user: account.scope });
    const expected = model.balances.get(name)?.used ?? 0;
    if (account.used !== expected) violations.push(`${name} used ${account.used}, not ${expected}.`);
    const covered = model.balances.get(name)?.covered ?? 0;
    if (account.covered !== covered) {
      violations.push(`${name} took ${account.covered} out of lots, not ${covered}.`);
    }
    const held = model.reserved(name);
    if (account.reserved !== held) violations.push(`${name} holds ${account.reserved}, not ${held}.`);
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
