import type { Instant } from '@pennon/engine/model/customer';
import type { ConsumptionDecision, EntitlementDecision, Reservation } from '@pennon/engine/model/decision';
import type { CompiledFeature } from '@pennon/engine/snapshot/snapshot';
import { type ConsumptionInput, refuseConsumption } from '@pennon/engine/usage/decide-consumption';
import { decideReservation } from '@pennon/engine/usage/decide-reservation';
import {
  decideHoldEnd,
  decideLateSettlement,
  decideSettlement,
  refuseSettlement,
} from '@pennon/engine/usage/settle-reservation';
import type { AccountKey, BatchWrite, LockedFrame } from '../store/account-transaction.js';
import type {
  EndedHolds,
  FinishedReservation,
  NewReservation,
  StoredReservation,
} from '../store/reservation-statements.js';
import { newId } from './new-id.js';
import { reservationNotFound } from './reservation-refusals.js';
import { ServiceError } from './service-error.js';

/*
 * The reservations of one batch: made, settled, released and ended on accounts that are locked. The engine decides the amounts; this file
 * knows which reservation is in which state, and keeps each from ending twice.
 */

export interface MakeQuestion extends ConsumptionInput {
  readonly ttlMilliseconds: number;
  readonly context: string;
  readonly attributes: string | null;
  readonly actor: string;
}

export interface EndQuestion {
  readonly id: string;
  /** `null`: what the feature's measure makes of the attributes, else all that is held. */
  readonly amount: number | null;
  readonly feature: CompiledFeature;
  /** The account that is locked, by what the feature says today. */
  readonly account: AccountKey;
  readonly entitlement: EntitlementDecision;
}

export interface BatchReservations {
  make(question: MakeQuestion): ConsumptionDecision;
  settle(question: EndQuestion): ConsumptionDecision;
  release(question: EndQuestion): ConsumptionDecision;
  /** The attributes that it was made with, as they are stored. */
  attributesOf(id: string): string | null;
  write(): BatchWrite['reservations'];
}

interface LiveReservation extends StoredReservation {
  /** As the store has it; `null`: it was made in this batch. */
  readonly before: StoredReservation | null;
}

export function createBatchReservations(
  { now, reservations }: LockedFrame,
  { ended }: EndedHolds,
): BatchReservations {
  const live = new Map<string, LiveReservation>();
  const changed = new Map<string, AccountKey>();
  const made: NewReservation[] = [];
  for (const stored of [...reservations, ...ended]) live.set(stored.id, { ...stored, before: stored });
  for (const one of ended) end(one.id, 'expired', null);

  function find({ id, account }: EndQuestion): LiveReservation {
    const found = live.get(id);
    if (found === undefined) throw reservationNotFound(id);
    if (found.feature !== account.feature || found.scope !== account.scope) throw countsElsewhere(found);
    // A hold of nothing ends without its account noticing.
    return found.state === 'held' && found.expiresAt <= now ? end(id, 'expired', null) : found;
  }

  function end(id: string, state: FinishedReservation['state'], settled: number | null): LiveReservation {
    const found = live.get(id);
    if (found === undefined) throw reservationNotFound(id);
    const after = { ...found, state, settled };
    live.set(id, after);
    changed.set(JSON.stringify([found.feature, found.scope]), { feature: found.feature, scope: found.scope });
    return after;
  }

  function make(question: MakeQuestion): ConsumptionDecision {
    const { entitlement, amount } = question;
    refuse(refuseConsumption({ entitlement, amount }));
    const decision = decideReservation(question);
    if (!decision.allowed) return decision;
    const { key: feature, scope } = entitlement;
    const expiresAt = now + question.ttlMilliseconds;
    const { context, attributes, actor } = question;
    const id = newId();
    made.push({ id, feature, scope, amount: decision.consumed, expiresAt, context, attributes, actor });
    changed.set(JSON.stringify([feature, scope]), { feature, scope });
    const reservation: Reservation = {
      id,
      state: 'held',
      amount: decision.consumed,
      settled: null,
      expiresAt,
    };
    return { ...decision, reservation };
  }

  function settle(question: EndQuestion): ConsumptionDecision {
    const { id, amount: asked, feature, entitlement } = question;
    const found = find(question);
    const { state, amount: held } = found;
    if (state === 'settled' || state === 'released') throw alreadyFinal(found);
    const { more, late } = feature.settle;
    if (state === 'expired' && late === 'refuse') throw expired(found);
    const input = { entitlement, held, amount: asked ?? held, more };
    refuse(refuseSettlement(input));
    const decision = state === 'expired' ? decideLateSettlement(input) : decideSettlement(input);
    const after = decision.allowed ? end(id, 'settled', decision.consumed) : found;
    return { ...decision, reservation: toReservation(after) };
  }

  function release(question: EndQuestion): ConsumptionDecision {
    const { id, entitlement } = question;
    const found = find(question);
    if (found.state === 'settled') throw alreadyFinal(found);
    const decision = decideHoldEnd(entitlement, found.state === 'held' ? found.amount : 0);
    const after = found.state === 'held' ? end(id, 'released', null) : found;
    return { ...decision, reservation: toReservation(after) };
  }

  function write(): BatchWrite['reservations'] {
    const finished: FinishedReservation[] = [];
    for (const { id, before, state, settled } of live.values()) {
      if (before !== null && state !== 'held' && state !== before.state) {
        finished.push({ id, before: before.state, state, settled });
      }
    }
    return { made, finished, accounts: [...changed.values()] };
  }

  return { make, settle, release, attributesOf: (id) => live.get(id)?.attributes ?? null, write };
}

function toReservation({ id, state, amount, settled, expiresAt }: StoredReservation): Reservation {
  return { id, state, amount, settled, expiresAt };
}

function refuse(refusal: ReturnType<typeof refuseConsumption>): void {
  if (refusal !== null) throw new ServiceError('invalid', refusal.errorCode, refusal.message);
}

function alreadyFinal({ id, state }: StoredReservation): ServiceError {
  return new ServiceError(
    'conflict',
    'RESERVATION_FINAL',
    `The reservation \`${id}\` is ${state} already, and stays so. Consume what is used beyond it.`,
  );
}

/** The catalog has come to count the feature by another measure since. */
function countsElsewhere({ id, feature, expiresAt }: StoredReservation): ServiceError {
  return new ServiceError(
    'conflict',
    'RESERVATION_FINAL',
    `\`${feature}\` is counted per something else since \`${id}\` was made. It ends by itself at ${timeText(expiresAt)}; consume what was used.`,
  );
}

function expired({ id, expiresAt }: StoredReservation): ServiceError {
  return new ServiceError(
    'gone',
    'RESERVATION_EXPIRED',
    `The reservation \`${id}\` ended at ${timeText(expiresAt)}, and what it held was given back. Consume what was used, or reserve for longer.`,
  );
}

function timeText(instant: Instant): string {
  return new Date(instant).toISOString();
}
