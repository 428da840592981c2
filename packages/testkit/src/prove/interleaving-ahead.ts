import type {
  AccountKey,
  BatchWrite,
  LockedAccount,
  LockedFrame,
} from '@pennon/server/store/account-transaction';
import type { AheadWrite } from '@pennon/server/store/write-ahead';
import type { Off } from './interleaving-script.js';

/* What a party of a script expects of its own last batch, and how that is deliberately wrong now and then. */

type Expectation = Omit<AheadWrite, 'write'>;

/** Longer than any script takes. */
const LONG_MILLISECONDS = 3_600_000;
const TOLD_AT = Date.UTC(2027, 0, 1);

/** What the batch leaves, of those of the accounts that it knew. */
export function expectationOf(
  { frame, write }: { readonly frame: LockedFrame; readonly write: BatchWrite },
  accounts: readonly AccountKey[],
): LockedFrame {
  const standing = accounts.flatMap((key) => find(write.accounts, key) ?? find(frame.accounts, key) ?? []);
  return { ...frame, accounts: standing, earlier: [], reservations: [], holders: [] };
}

function find(accounts: readonly LockedAccount[], { feature, scope }: AccountKey): LockedAccount | undefined {
  return accounts.find((account) => account.feature === feature && account.scope === scope);
}

export function misled(expected: LockedFrame, off: Off | null): Expectation {
  const { now } = expected;
  const changed = off === null ? expected : CHANGES[off](expected);
  return { expected: changed, validUntil: off === 'too-late' ? now : now + LONG_MILLISECONDS };
}

const ofAccounts =
  (change: (account: LockedAccount) => Partial<LockedAccount>) =>
  (frame: LockedFrame): LockedFrame => ({
    ...frame,
    accounts: frame.accounts.map((account) => ({ ...account, ...change(account) })),
  });

const CHANGES: Record<Off, (frame: LockedFrame) => LockedFrame> = {
  used: ofAccounts(({ used }) => ({ used: used + 1 })),
  reserved: ofAccounts(({ reserved }) => ({ reserved: reserved + 1 })),
  covered: ofAccounts(({ covered }) => ({ covered: covered + 1 })),
  told: ofAccounts(({ told }) => ({ told: { rank: told.rank + 1, at: TOLD_AT, limit: 7 } })),
  'limit-known': ofAccounts(({ limitKnown }) => ({ limitKnown: (limitKnown ?? 0) + 1 })),
  'period-start': ofAccounts(({ periodStart }) => ({ periodStart: (periodStart ?? 0) + 1 })),
  'period-end': ofAccounts(({ periodEnd }) => ({ periodEnd: (periodEnd ?? 0) + 1 })),
  customer: (frame) => ({ ...frame, customer: { version: (frame.customer?.version ?? 0) + 1 } }),
  revision: (frame) => ({ ...frame, revision: (frame.revision ?? 0) + 1 }),
  subjects: (frame) => ({
    ...frame,
    versions: { ...frame.versions, subjects: frame.versions.subjects + 1 },
  }),
  shared: (frame) => ({ ...frame, versions: { ...frame.versions, shared: frame.versions.shared + 1 } }),
  'too-early': (frame) => ({ ...frame, now: frame.now + LONG_MILLISECONDS / 2 }),
  'too-late': (frame) => frame,
};
