import type { Kysely, Transaction } from 'kysely';
import type { Tables } from '../store/tables.js';
import { commitAnswered, type Outcome } from './answer.js';
import type { ChangeContext } from './credential.js';
import type { AuditTrail, ChangeFeed, ChangeNotice, Clock, Directory } from './ports.js';

/** What use-cases that change products, environments and keys need. */
export interface ManagementDependencies {
  readonly database: Kysely<Tables>;
  readonly directory: Directory;
  readonly audit: AuditTrail;
  readonly changes: ChangeFeed;
  readonly clock: Clock;
}

/** What a change made; `item` is what the call answers. */
export type Made<Item> = { readonly item: Item } & Pick<Outcome, 'created'>;

/**
 * One change: a transaction with its audit entry (law 8), the answer that repeats of the call get, and the notices for other
 * processes. When this resolves, this process answers with the change already.
 */
export async function inChange<Item>(
  dependencies: ManagementDependencies,
  context: ChangeContext,
  work: (
    transaction: Transaction<Tables>,
    notify: (notice: ChangeNotice) => Promise<void>,
  ) => Promise<Made<Item>>,
): Promise<Made<Item>> {
  const notices: ChangeNotice[] = [];
  const result = await commitAnswered(
    dependencies.database,
    context.call,
    (transaction) =>
      work(transaction, async (notice) => {
        notices.push(notice);
        await dependencies.changes.write(transaction, notice);
      }),
    (made) => context.call?.answerOf({ ...made, consistency: null }) ?? null,
  );
  for (const notice of notices) {
    await dependencies.changes.publishLocally(notice);
  }
  return result;
}
