import type { ConsumptionRow } from '@pennon/server/store/account-transaction';
import type { NewReservation } from '@pennon/server/store/reservation-statements';
import { accountName, type SequentialModel } from './sequential-model.js';
import type { ClientCall } from './simulated-clients.js';
import { FEATURES } from './simulated-installation.js';
import type { Commit } from './simulated-store.js';

/* Whether what is held in a simulated history is held, and ends, as it should. */

/** INVARIANT: a hold whose end has come by the database's clock counts for nobody who is decided after that. */
export function checkDue(model: SequentialModel, call: ClientCall, { write }: Commit): readonly string[] {
  return call.items.flatMap(({ key }) => {
    const feature = FEATURES.find((one) => one.key === key);
    const due = feature === undefined ? [] : model.due(accountName(feature, call), write.now);
    return due.map(
      (hold) => `A hold of ${hold.amount} that had ended counted against ${call.idempotencyKey}.`,
    );
  });
}

/** What was allowed to be held is held, by that amount and for that time. */
export function checkMade(
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

export function checkExpiry(
  model: SequentialModel,
  { write }: Commit,
  row: ConsumptionRow,
): readonly string[] {
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
