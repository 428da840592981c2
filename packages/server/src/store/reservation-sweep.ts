import { type Kysely, sql } from 'kysely';
import type { AccountKey } from './account-transaction.js';
import type { Tables } from './tables.js';

/** Accounts of one customer and product of which holds have ended. */
export interface EndedAccounts {
  readonly environmentId: string;
  readonly productId: string;
  readonly customerId: string;
  /** In (feature, scope) order, as they are locked. */
  readonly accounts: readonly AccountKey[];
}

/** Those whose holds ended first. Nothing is locked: whoever takes them off looks again under the customer's lock. */
export async function readEndedAccounts(
  database: Kysely<Tables>,
  limit: number,
): Promise<readonly EndedAccounts[]> {
  const { rows } = await sql<{
    readonly environment_id: string;
    readonly product_id: string;
    readonly customer_id: string;
    readonly feature: string;
    readonly scope: string;
  }>`
    select distinct r.environment_id, r.product_id, r.customer_id, r.feature, r.scope
    from (select * from reservation where state = 'held' and expires_at <= now()
      order by expires_at limit ${limit}) r
    join customer c on c.id = r.customer_id
    order by r.customer_id, r.product_id, r.feature, r.scope`.execute(database);
  const found = new Map<string, EndedAccounts & { readonly accounts: AccountKey[] }>();
  for (const { environment_id, product_id, customer_id, feature, scope } of rows) {
    const name = `${customer_id} ${product_id}`;
    const whose = { environmentId: environment_id, productId: product_id, customerId: customer_id };
    const known = found.get(name) ?? { ...whose, accounts: [] };
    found.set(name, known);
    known.accounts.push({ feature, scope });
  }
  return [...found.values()];
}

/** @param beforeId ids sort by when they were made. Returns how many there were, at most `limit`. */
export async function deleteFinalReservations(
  database: Kysely<Tables>,
  beforeId: string,
  limit: number,
): Promise<number> {
  const { numAffectedRows } = await sql`delete from reservation r using (
      select customer_id, id from reservation where id < ${beforeId} and state <> 'held' order by id limit ${limit}) old
    where r.customer_id = old.customer_id and r.id = old.id`.execute(database);
  return Number(numAffectedRows ?? 0);
}
