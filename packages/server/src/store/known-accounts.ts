import type { CustomerAccountKey } from './account-transaction.js';

/** Accounts that this process has seen are not inserted again and again; one that is gone is noticed under the lock. */
export interface KnownAccounts {
  missing(accounts: ProductAccounts): readonly CustomerAccountKey[];
  remember(accounts: ProductAccounts): void;
  forget(accounts: ProductAccounts): void;
}

export interface ProductAccounts {
  readonly productId: string;
  readonly accounts: readonly CustomerAccountKey[];
}

const KNOWN_ACCOUNTS = 100_000;

export function createKnownAccounts(): KnownAccounts {
  const known = new Set<string>();

  function nameOf(productId: string, { customerId, feature, scope }: CustomerAccountKey): string {
    return `${customerId}|${productId}|${feature}|${scope}`;
  }

  return {
    missing: ({ productId, accounts }) =>
      accounts.filter((account) => !known.has(nameOf(productId, account))),
    remember({ productId, accounts }) {
      if (known.size + accounts.length > KNOWN_ACCOUNTS) {
        known.clear();
      }
      for (const account of accounts) {
        known.add(nameOf(productId, account));
      }
    },
    forget({ productId, accounts }) {
      for (const account of accounts) {
        known.delete(nameOf(productId, account));
      }
    },
  };
}
