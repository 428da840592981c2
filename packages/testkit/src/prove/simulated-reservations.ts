import type { Hold } from '@pennon/engine/model/customer';
import { LIMITS } from '@pennon/engine/model/limits';
import type { AccountKey, BatchWrite } from '@pennon/server/store/account-transaction';
import type { EndedHolds, StoredReservation } from '@pennon/server/store/reservation-statements';
import { type SimulatedSession, type Statement, StoreError } from './simulated-store.js';

/* The reservation table of the simulated store, and the statements on it that are part of a consume transaction. */

export interface SimulatedReservation extends StoredReservation {
  readonly customerId: string;
}

/** As the adapter names accounts in what it answers of holds. */
function accountName({ feature, scope }: AccountKey): string {
  return `${feature}|${scope}`;
}

function heldBy(
  { store }: SimulatedSession,
  customerId: string,
  account: AccountKey,
): readonly SimulatedReservation[] {
  return [...store.reservations.values()]
    .filter(
      (one) =>
        one.customerId === customerId &&
        one.feature === account.feature &&
        one.scope === account.scope &&
        one.state === 'held',
    )
    .sort((one, other) => one.expiresAt - other.expiresAt);
}

export function findReservations(customerId: string, ids: readonly string[]): Statement {
  return {
    name: 'reservation-find',
    run: ({ store }): readonly StoredReservation[] =>
      [...store.reservations.values()].filter((one) => one.customerId === customerId && ids.includes(one.id)),
  };
}

export function endedHolds(customerId: string, accounts: readonly AccountKey[], now: number): Statement {
  return {
    name: 'reservation-ended',
    run(session): EndedHolds {
      const nextEnds = new Map<string, number>();
      const ended: SimulatedReservation[] = [];
      for (const account of accounts) {
        const held = heldBy(session, customerId, account);
        ended.push(...held.filter((one) => one.expiresAt <= now));
        const next = held.find((one) => one.expiresAt > now);
        if (next !== undefined) nextEnds.set(accountName(account), next.expiresAt);
      }
      const most = LIMITS.holdsEndedAtOnce.value;
      if (ended.length > most) ended.sort((left, right) => left.expiresAt - right.expiresAt);
      const left = ended[most];
      if (left !== undefined) {
        for (const account of accounts) nextEnds.set(accountName(account), left.expiresAt);
      }
      return { ended: ended.slice(0, most), more: ended.length > most, nextEnds };
    },
  };
}

export function writeReservations(customerId: string, { reservations }: BatchWrite): Statement {
  return {
    name: 'reservation-write',
    run(session) {
      const { store } = session;
      for (const { id, before } of reservations.finished) {
        if (store.reservations.get(id)?.state !== before) throw new StoreError('22012', 'division by zero');
      }
      session.effects?.push(() => {
        for (const { id, feature, scope, amount, expiresAt, attributes } of reservations.made) {
          const made = { id, feature, scope, amount, expiresAt, attributes };
          store.reservations.set(id, { ...made, customerId, state: 'held', settled: null });
        }
        for (const { id, state, settled } of reservations.finished) {
          const standing = store.reservations.get(id);
          if (standing !== undefined) store.reservations.set(id, { ...standing, state, settled });
        }
      });
      return null;
    },
  };
}

/** What the accounts hold once the batch is written, as its commit reports it. */
export function holdsNow(
  customerId: string,
  accounts: readonly AccountKey[],
): (session: SimulatedSession) => ReadonlyMap<string, readonly Hold[]> {
  return (session) =>
    new Map(
      accounts.map((account) => [
        accountName(account),
        heldBy(session, customerId, account).map(({ expiresAt, amount }) => ({ endsAt: expiresAt, amount })),
      ]),
    );
}
