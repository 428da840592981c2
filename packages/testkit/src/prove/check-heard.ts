import { isDeepStrictEqual } from 'node:util';
import type { ConsumptionRow } from '@pennon/server/store/account-transaction';
import type { ModelDecision, SequentialModel } from './sequential-model.js';
import type { ClientCall, Heard } from './simulated-clients.js';
import type { History } from './simulated-history.js';
import { FEATURES } from './simulated-installation.js';

/* Whether every client of a simulated history was told what stands in the store, and nothing else. */

/** A call as it stands in the store. */
export interface Recorded {
  readonly call: ClientCall;
  readonly committedAt: number;
  readonly rows: readonly ConsumptionRow[];
}

export function nameOf(customer: string, operation: string, idempotencyKey: string): string {
  return `${customer} ${operation} ${idempotencyKey}`;
}

type Said = Pick<ModelDecision, 'allowed' | 'consumed' | 'usedAfter' | 'reservedAfter'>;

export function say(decisions: readonly Said[]): string {
  return decisions
    .map(({ allowed, consumed, usedAfter, reservedAfter }) =>
      [allowed, consumed, usedAfter, reservedAfter].join('/'),
    )
    .join(', ');
}

/** INVARIANT: nothing is acknowledged that does not stand in the store, and every repetition is answered alike. */
export function checkHeard(
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
