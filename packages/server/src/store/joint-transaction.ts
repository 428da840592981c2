import type { CreditLot } from '@pennon/engine/model/customer';
import { toEarlier, toLockedAccount } from './account-rows.js';
import { lockStatements } from './account-statements.js';
import {
  type AccountTurn,
  accountsOf,
  type BatchWrite,
  type CustomerAccountKey,
  type EarlierConsumption,
  insertMissing,
  type LockedAccount,
  type LockedFrame,
  type LockRequest,
  rowsOf,
  toFrame,
} from './account-transaction.js';
import { writeStatements } from './account-writes.js';
import type { KnownAccounts } from './known-accounts.js';
import { accountText, findLotsStatement, toAccountLots } from './lot-statements.js';
import { BEGIN } from './open-transaction.js';
import { sendGroup } from './statement-group.js';

/*
 * One transaction for requests of several customers of one product, in the same two round trips that one customer takes. It never waits
 * for a lock: whoever is at a customer already keeps neither the others waiting nor what they hold locked.
 */

export interface JointTransaction {
  /** By the place of the request; `null`: somebody else is at what it asked for, or it is gone. */
  readonly frames: readonly (LockedFrame | null)[];
  /** The lots of these accounts that are not closed; by customer, then by `accountText`. */
  lotsOf(
    accounts: readonly CustomerAccountKey[],
  ): Promise<ReadonlyMap<string, ReadonlyMap<string, readonly CreditLot[]>>>;
  /** Writes and commits, by the place of the request; `null`: nothing of it. When this rejects, the outcome may be unknown. */
  commit(writes: readonly (BatchWrite | null)[]): Promise<void>;
  rollback(): Promise<void>;
}

/**
 * When this rejects, the connection must be closed.
 *
 * @param requests of different customers, in the order of their ids, with neither reservations nor holders
 */
export async function lockTogether(
  turn: AccountTurn,
  requests: readonly LockRequest[],
  known: KnownAccounts,
): Promise<JointTransaction> {
  const [first] = requests;
  if (first === undefined) {
    throw new Error('A transaction for nobody.');
  }
  const { client, copier } = turn.connection;
  const { send, commit, rollback } = turn.transaction;
  await insertMissing(client, first, requests.flatMap(accountsOf), known);
  const [, customers, locked, frames, earlier] = await sendGroup(client, [
    BEGIN,
    ...lockStatements(first, requests, 'skip'),
  ]);
  const frame = toFrame(frames);
  const versions = new Map(rowsOf(customers).map(([id, version]) => [id ?? '', Number(version)]));
  const accounts = byCustomer(rowsOf(locked), toLockedAccount);
  const decided = byCustomer(rowsOf(earlier), toEarlier);

  function frameOf(request: LockRequest): LockedFrame | null {
    const version = versions.get(request.customerId);
    const found: readonly LockedAccount[] = accounts.get(request.customerId) ?? [];
    if (found.length < request.accounts.length) {
      // Locked by somebody, or gone: inserted anew then.
      known.forget({ productId: request.productId, accounts: accountsOf(request) });
      return null;
    }
    if (version === undefined) return null;
    const before: readonly EarlierConsumption[] = decided.get(request.customerId) ?? [];
    return {
      ...frame,
      customer: { version },
      accounts: found,
      earlier: before,
      reservations: [],
      holders: [],
    };
  }

  return {
    frames: requests.map(frameOf),
    async lotsOf(asked) {
      const [found] = await send([findLotsStatement(first.productId, asked)]);
      const lots = new Map<string, Map<string, readonly CreditLot[]>>();
      for (const one of toAccountLots(found)) {
        const ofCustomer = lots.get(one.customerId) ?? new Map();
        lots.set(one.customerId, ofCustomer);
        ofCustomer.set(accountText(one), one.lots);
      }
      return lots;
    },
    async commit(writes) {
      const customers = requests.flatMap((request, place) => {
        const write = writes[place];
        return write === null || write === undefined ? [] : [{ request, write }];
      });
      await commit(() => writeStatements(copier, frame.now, customers));
    },
    rollback,
  };
}

type Row = readonly (string | null)[];

/** Rows that end with the customer's id. */
function byCustomer<Read>(
  rows: readonly Row[],
  read: (row: Row) => Read,
): ReadonlyMap<string, readonly Read[]> {
  const found = new Map<string, Read[]>();
  for (const row of rows) {
    const customerId = row.at(-1) ?? '';
    const ofCustomer = found.get(customerId);
    if (ofCustomer === undefined) found.set(customerId, [read(row)]);
    else ofCustomer.push(read(row));
  }
  return found;
}
