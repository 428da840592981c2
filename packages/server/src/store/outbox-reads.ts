import { type Kysely, sql } from 'kysely';
import type { Tables } from './tables.js';

/* Reading what was told. */

export interface OutboxQuestion {
  readonly environmentId: string;
  /** The types that are asked for; at least one. */
  readonly types: readonly string[];
  readonly productId: string | null;
  readonly customerId: string | null;
  readonly subject: string | null;
  readonly from: Date | null;
  readonly to: Date | null;
  readonly limit: number;
}

export interface OutboxRow {
  readonly id: string;
  readonly occurred_at: Date;
  readonly product_id: string | null;
  readonly customer_key: string | null;
  readonly type: string;
  readonly subject: string | null;
  readonly scope: string;
  readonly data: string;
  readonly transaction_id: string;
}

function selection(question: OutboxQuestion) {
  const { environmentId, types, productId, customerId, subject, from, to } = question;
  const all = sql<boolean>`true`;
  return sql`
    select o.id, o.occurred_at, o.product_id, c.key as customer_key, o.type, o.subject, o.scope, o.data,
      o.transaction_id::text as transaction_id
    from outbox_event o left join customer c on c.id = o.customer_id
    where o.environment_id = ${environmentId} and o.type = any(${[...types]}::text[])
      and ${productId === null ? all : sql<boolean>`o.product_id = ${productId}`}
      and ${customerId === null ? all : sql<boolean>`o.customer_id = ${customerId}`}
      and ${subject === null ? all : sql<boolean>`o.subject = ${subject}`}
      and ${from === null ? all : sql<boolean>`o.occurred_at >= ${from}`}
      and ${to === null ? all : sql<boolean>`o.occurred_at < ${to}`}`;
}

/** The latest first. */
export async function readNewest(
  database: Kysely<Tables>,
  question: OutboxQuestion,
  before: { readonly occurredAt: Date; readonly id: string } | null,
): Promise<readonly OutboxRow[]> {
  const place =
    before === null
      ? sql<boolean>`true`
      : sql<boolean>`(o.occurred_at, o.id) < (${before.occurredAt}::timestamptz, ${before.id}::uuid)`;
  const { rows } = await sql<OutboxRow>`${selection(question)} and ${place}
    order by o.occurred_at desc, o.id desc limit ${question.limit}`.execute(database);
  return rows;
}

/** Where a follower stands: it has seen all of earlier transactions, and of this one all up to the id. */
export interface FollowPlace {
  readonly transactionId: string;
  readonly id: string;
}

/**
 * The earliest transaction first. INVARIANT: only of transactions that began before every one that is under way: whatever commits later
 * stands after all of these, so that a follower passes nothing over. `null`: the place is none of this database, which was restored.
 */
export async function readOldest(
  database: Kysely<Tables>,
  question: OutboxQuestion,
  after: FollowPlace | null,
): Promise<readonly OutboxRow[] | null> {
  if (after !== null) {
    const { rows } = await sql<{ readonly known: boolean }>`
      select ${after.transactionId}::xid8 < pg_snapshot_xmax(pg_current_snapshot()) as known`.execute(
      database,
    );
    if (rows[0]?.known !== true) return null;
  }
  const place =
    after === null
      ? sql<boolean>`true`
      : sql<boolean>`(o.transaction_id, o.id) > (${after.transactionId}::xid8, ${after.id}::uuid)`;
  const { rows } = await sql<OutboxRow>`${selection(question)} and ${place}
    and o.transaction_id < pg_snapshot_xmin(pg_current_snapshot())
    order by o.transaction_id, o.id limit ${question.limit}`.execute(database);
  return rows;
}
