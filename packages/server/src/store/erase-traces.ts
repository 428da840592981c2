import { type Kysely, sql, type Transaction } from 'kysely';
import { isOfCustomer } from './consumption-place.js';
import type { Tables } from './tables.js';

/*
 * Everything outside of the own rows of a customer or user that names it by key. Whoever adds a table that does so adds it
 * here; a test looks for the erased texts in every table there is.
 */

/** Old keys and what stands in their places. */
export type Renames = ReadonlyMap<string, string>;

function columns(renames: Renames): readonly [string[], string[]] {
  return [[...renames.keys()], [...renames.values()]];
}

/** Grants and memberships stay on record, and are no longer anybody's. Answers how many there are of each. */
export async function renameTargets(
  transaction: Transaction<Tables>,
  environmentId: string,
  kind: 'customer' | 'team' | 'user' | 'instance',
  renames: Renames,
): Promise<{ readonly grants: number; readonly memberships: number }> {
  if (renames.size === 0) return { grants: 0, memberships: 0 };
  const [from, to] = columns(renames);
  const grants = await sql`
    update access_grant g set target_key = named.new, version = g.version + 1
    from unnest(${from}::text[], ${to}::text[]) as named (old, new)
    where g.environment_id = ${environmentId} and g.target_kind = ${kind} and g.target_key = named.old`.execute(
    transaction,
  );
  await sql`
    update bundle_application b set target_key = named.new
    from unnest(${from}::text[], ${to}::text[]) as named (old, new)
    where b.environment_id = ${environmentId} and b.target_kind = ${kind} and b.target_key = named.old`.execute(
    transaction,
  );
  await renameRedemptions(transaction, environmentId, kind, renames);
  const memberships = await sql`
    update membership m set member_key = named.new, version = m.version + 1
    from unnest(${from}::text[], ${to}::text[]) as named (old, new)
    where m.environment_id = ${environmentId} and m.member_kind = ${kind} and m.member_key = named.old`.execute(
    transaction,
  );
  return {
    grants: Number(grants.numAffectedRows ?? 0),
    memberships: Number(memberships.numAffectedRows ?? 0),
  };
}

/** Whom a voucher was redeemed for, and of whose accounts something was kept when it was revoked. */
async function renameRedemptions(
  transaction: Transaction<Tables>,
  environmentId: string,
  kind: string,
  renames: Renames,
): Promise<void> {
  const [from, to] = columns(renames);
  await sql`
    update voucher_redemption r set target_key = named.new
    from unnest(${from}::text[], ${to}::text[]) as named (old, new)
    where r.environment_id = ${environmentId} and r.target_kind = ${kind} and r.target_key = named.old`.execute(
    transaction,
  );
  if (kind !== 'user' && kind !== 'instance') return;
  for (const [old, name] of renames) {
    const scope = `"scope":${JSON.stringify(old)}`;
    await sql`
      update voucher_redemption set kept = replace(kept, ${scope}, ${`"scope":${JSON.stringify(name)}`})
      where environment_id = ${environmentId} and revoked_at is not null and position(${scope} in kept) > 0`.execute(
      transaction,
    );
  }
}

/** Moves between plans that the customer was part of, or is named by. */
export async function renameInPlanMoves(
  transaction: Transaction<Tables>,
  environmentId: string,
  customer: { readonly id: string; readonly key: string },
  name: string,
): Promise<void> {
  await sql`
    update plan_move_item set customer_key = ${name}
    where move_id in (select id from plan_move where environment_id = ${environmentId})
      and customer_id = ${customer.id}`.execute(transaction);
  await sql`
    update plan_move set customers = (customers - ${customer.key}::text) || jsonb_build_array(${name}::text)
    where environment_id = ${environmentId} and customers ? ${customer.key}::text`.execute(transaction);
}

/**
 * What billing providers told of the customer: who it is there, what it bought, and every event as it came, with names and addresses.
 * The licenses stay; what is told from now on is told of nobody that is known.
 */
export async function removeBilling(transaction: Transaction<Tables>, customerId: string): Promise<void> {
  for (const [table, column] of [
    ['webhook_inbox', 'subject'],
    ['billing_subscription', 'customer'],
  ] as const) {
    if (table === 'billing_subscription') await removeBillingProblems(transaction, customerId);
    await sql`
      delete from ${sql.table(table)} t using billing_customer b
      where b.customer_id = ${customerId} and t.connection_id = b.connection_id
        and t.${sql.ref(column)} = b.customer`.execute(transaction);
  }
  await transaction.deleteFrom('billing_license').where('customer_id', '=', customerId).execute();
  await transaction.deleteFrom('billing_customer').where('customer_id', '=', customerId).execute();
}

async function removeBillingProblems(transaction: Transaction<Tables>, customerId: string): Promise<void> {
  await sql`
    delete from billing_problem p using billing_customer b, billing_subscription s
    where b.customer_id = ${customerId} and s.connection_id = b.connection_id and s.customer = b.customer
      and p.connection_id = s.connection_id and p.subscription = s.subscription`.execute(transaction);
}

/**
 * Notices of changes before this one, which name who is erased. Whoever has not heard them yet hears of the erasure, which says the same
 * and more.
 */
export async function removeNotices(
  transaction: Transaction<Tables>,
  environmentId: string,
  kind: 'customer' | 'team' | 'user' | 'instance',
  keys: readonly string[],
): Promise<void> {
  if (keys.length === 0) return;
  await transaction
    .deleteFrom('change')
    .where('environment_id', '=', environmentId)
    .where('subject_kind', '=', kind)
    .where('subject_key', 'in', keys)
    .execute();
}

/** What a customer's users and instances used stays counted, under names that say nothing. */
export async function renameScopes(
  transaction: Transaction<Tables>,
  customerId: string,
  renames: Renames,
): Promise<void> {
  if (renames.size === 0) return;
  const [from, to] = columns(renames);
  const tables = [
    'account',
    'account_period',
    'reservation',
    'usage_holder',
    'credit_lot',
    'outbox_event',
  ] as const;
  for (const table of tables) {
    await sql`
      update ${sql.table(table)} a set scope = named.new
      from unnest(${from}::text[], ${to}::text[]) as named (old, new)
      where a.customer_id = ${customerId} and a.scope = named.old`.execute(transaction);
  }
  for (const rename of renames) {
    await renameInReservations(transaction, customerId, rename);
    await renameHolders(transaction, customerId, rename);
  }
}

/** What was held for a person is settled by whoever has its id, in the words that stand here for it. */
async function renameInReservations(
  transaction: Transaction<Tables>,
  customerId: string,
  [old, name]: readonly [string, string],
): Promise<void> {
  const [from, to] = [JSON.stringify(old), JSON.stringify(name)];
  await sql`
    update reservation set context = replace(context, ${from}, ${to}), attributes = null
    where customer_id = ${customerId}
      and (position(${from} in context) > 0 or position(${from} in attributes) > 0)`.execute(transaction);
}

/** A holder that is named by the person's key, alone or behind a kind (`seat:ada`). */
async function renameHolders(
  transaction: Transaction<Tables>,
  customerId: string,
  [old, name]: readonly [string, string],
): Promise<void> {
  await sql`
    update usage_holder set holder = left(holder, length(holder) - length(${old}::text)) || ${name}::text
    where customer_id = ${customerId}
      and (holder = ${old} or right(holder, length(${old}::text) + 1) in (${`:${old}`}, ${`/${old}`}))`.execute(
    transaction,
  );
}

/** All that a customer's reservations and holders say beside amounts and dates. */
export async function scrubHeld(transaction: Transaction<Tables>, customerId: string): Promise<void> {
  await sql`update reservation set context = '{}', attributes = null where customer_id = ${customerId}`.execute(
    transaction,
  );
  await sql`update usage_holder set holder = 'erased-' || gen_random_uuid() where customer_id = ${customerId}`.execute(
    transaction,
  );
}

/** Every scope that anything was counted under. */
export async function scopesOf(database: Kysely<Tables>, customerId: string): Promise<string[]> {
  const { rows } = await sql<{ readonly scope: string }>`
    select scope from account where customer_id = ${customerId} and scope <> ''
    union select scope from account_period where customer_id = ${customerId} and scope <> ''
    union select c.scope from consumption c where ${isOfCustomer('c', customerId)} and c.scope <> ''`.execute(
    database,
  );
  return rows.map((row) => row.scope);
}

/** So many records of usage are changed in one statement: others consume meanwhile. */
const RECORDS_AT_ONCE = 5000;

/**
 * Records of usage stay: what was asked, allowed and counted, when, and by which limit. What says who it was goes: the scope is
 * renamed and the attributes that the caller sent are emptied. With `all`, of every record of the customer, whose answers kept for
 * replays and callers' idempotency keys go too: nobody can ask again. Else of one renamed scope, whose answers can still be
 * replayed, and of the records whose attributes name it. Idempotent; each slice is a transaction of its own.
 */
export async function scrubUsage(
  database: Kysely<Tables>,
  customerId: string,
  renames: Renames,
  all: boolean,
): Promise<void> {
  const [from, to] = columns(renames);
  const quoted = from.map((key) => JSON.stringify(key));
  const quotedNew = to.map((key) => JSON.stringify(key));
  for (;;) {
    const result = await sql`
      with found as (
        select tableoid, ctid from consumption c
        where ${isOfCustomer('c', customerId)} and (
          c.scope = any(${from}::text[])
          or ${all} and (c.attributes is not null or c.answer is not null)
          or exists (select from unnest(${quoted}::text[]) as name (text) where position(name.text in c.attributes) > 0))
        limit ${RECORDS_AT_ONCE})
      update consumption c set
        scope = coalesce((select named.new from unnest(${from}::text[], ${to}::text[]) as named (old, new)
          where named.old = c.scope), c.scope),
        attributes = null,
        answer = case when ${all} then null else replace(c.answer, ${quoted[0] ?? ''}, ${quotedNew[0] ?? ''}) end,
        idempotency_key = case when ${all} then c.id::text else c.idempotency_key end
      from found where c.tableoid = found.tableoid and c.ctid = found.ctid`.execute(database);
    // Not at the first slice that is short: a row that somebody changes meanwhile is passed over, and found by the next one.
    if (Number(result.numAffectedRows ?? 0) === 0) return;
  }
}
