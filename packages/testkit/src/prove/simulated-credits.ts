import type { CreditLot } from '@pennon/engine/model/customer';
import type { AccountKey, BatchWrite } from '@pennon/server/store/account-transaction';
import type { HolderKey, StoredHolder } from '@pennon/server/store/holder-statements';
import { accountText } from '@pennon/server/store/lot-statements';
import { BEGIN, COMMIT, insertAccounts, lockAccounts, raiseCustomer, rowOf } from './simulated-statements.js';
import { type Statement, StoreError } from './simulated-store.js';

/* Holders and lots of the simulated store, and the statements on them that are part of a consume transaction. */

export interface SimulatedHolder extends StoredHolder {
  readonly customerId: string;
}

export interface SimulatedLot {
  readonly customerId: string;
  readonly account: AccountKey;
  readonly lot: CreditLot;
  readonly closed: boolean;
  /** How many batches were committed before it was. */
  readonly after: number;
  /** The same of its void; `null`: it is not. */
  readonly voidedAfter: number | null;
}

function holderRow(customerId: string, { feature, scope, holder }: HolderKey): string {
  return `${customerId}|${feature}|${scope}|${holder}`;
}

/** Nothing is sent where nobody names a holder. */
export function findHolders(customerId: string, holders: readonly HolderKey[]): readonly Statement[] {
  if (holders.length === 0) return [];
  return [
    {
      name: 'holder-find',
      run: ({ store }): readonly StoredHolder[] => {
        const rows = new Set(holders.map((holder) => holderRow(customerId, holder)));
        return [...rows].flatMap((row) => store.holders.get(row) ?? []);
      },
    },
  ];
}

export function findLots(customerId: string, accounts: readonly AccountKey[]): Statement {
  return {
    name: 'lots-find',
    run: ({ store }): ReadonlyMap<string, readonly CreditLot[]> =>
      new Map(
        accounts.map((account) => {
          const name = accountText(account);
          const open = [...store.lots.values()].filter(
            (one) => one.customerId === customerId && accountText(one.account) === name && !one.closed,
          );
          return [name, open.map(({ lot }) => lot)];
        }),
      ),
  };
}

export function writeHolders(customerId: string, { holders }: BatchWrite): readonly Statement[] {
  if (holders.length === 0) return [];
  return [
    {
      name: 'holder-write',
      run({ effects, store }) {
        effects?.push(() => {
          for (const holder of holders) {
            const row = holderRow(customerId, holder);
            if (holder.amount > 0) store.holders.set(row, { ...holder, customerId });
            else store.holders.delete(row);
          }
        });
        return null;
      },
    },
  ];
}

export function writeLots(customerId: string, { lots }: BatchWrite): readonly Statement[] {
  const { credits, changed, made } = lots;
  if (credits.length + changed.length + made.length === 0) return [];
  return [
    {
      name: 'lots-write',
      run({ effects, store }) {
        for (const { id, remainingBefore } of changed) {
          if (store.lots.get(id)?.lot.remaining !== remainingBefore) {
            throw new StoreError('22012', 'division by zero');
          }
        }
        effects?.push(() => {
          for (const { lot, ...account } of made) {
            const after = store.commits.length;
            store.lots.set(lot.id, { customerId, account, lot, closed: false, after, voidedAfter: null });
          }
          for (const { id, remaining, closed } of changed) {
            const standing = store.lots.get(id);
            if (standing === undefined) continue;
            store.lots.set(id, { ...standing, lot: { ...standing.lot, remaining }, closed });
          }
          for (const { covered, hasLots, ...account } of credits) {
            const row = rowOf(customerId, account);
            const standing = store.accounts.get(row);
            if (standing !== undefined) store.accounts.set(row, { ...standing, covered, hasLots });
          }
        });
        return null;
      },
    },
  ];
}

/** As management makes one: under the lock of the customer, then of the account. */
export function makeLot(
  customerId: string,
  account: AccountKey,
  lot: CreditLot,
  onVersion: (version: number) => void,
): readonly Statement[] {
  const insert: Statement = {
    name: 'lot-insert',
    run({ effects, store }) {
      effects?.push(() => {
        const after = store.commits.length;
        store.lots.set(lot.id, { customerId, account, lot, closed: false, after, voidedAfter: null });
        const row = rowOf(customerId, account);
        const standing = store.accounts.get(row);
        if (standing !== undefined) store.accounts.set(row, { ...standing, hasLots: true });
      });
      return null;
    },
  };
  return [
    insertAccounts(customerId, [account]),
    BEGIN,
    raiseCustomer(customerId, onVersion),
    lockAccounts(customerId, [account]),
    insert,
    COMMIT,
  ];
}

/** As management takes back what is left of one: under the same locks, and not where it is over already. */
export function voidLot(
  customerId: string,
  account: AccountKey,
  id: string,
  onVersion: (version: number) => void,
): readonly Statement[] {
  const update: Statement = {
    name: 'lot-void',
    run({ effects, store }) {
      effects?.push(() => {
        const lot = store.lots.get(id);
        if (lot === undefined || lot.closed) return;
        store.lots.set(id, { ...lot, closed: true, voidedAfter: store.commits.length });
      });
      return null;
    },
  };
  return [BEGIN, raiseCustomer(customerId, onVersion), lockAccounts(customerId, [account]), update, COMMIT];
}
