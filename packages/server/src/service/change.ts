import type { Kysely, Transaction } from 'kysely';
import type { Tables } from '../store/tables.js';
import type { AuditTrail, ChangeFeed, ChangeNotice, Clock, Directory } from './ports.js';

/** What use-cases that change products, environments and keys need. */
export interface ManagementDependencies {
  readonly database: Kysely<Tables>;
  readonly directory: Directory;
  readonly audit: AuditTrail;
  readonly changes: ChangeFeed;
  readonly clock: Clock;
}

/**
 * One change: a transaction with its audit entry (law 8) and the notices for other processes. When this resolves, this process
 * answers with the change already.
 */
export async function inChange<Result>(
  dependencies: ManagementDependencies,
  work: (
    transaction: Transaction<Tables>,
    notify: (notice: ChangeNotice) => Promise<void>,
  ) => Promise<Result>,
): Promise<Result> {
  const notices: ChangeNotice[] = [];
  const result = await dependencies.database.transaction().execute((transaction) =>
    work(transaction, async (notice) => {
      notices.push(notice);
      await dependencies.changes.write(transaction, notice);
    }),
  );
  for (const notice of notices) {
    await dependencies.changes.publishLocally(notice);
  }
  return result;
}
