import { type Kysely, sql, type Transaction } from 'kysely';
import type { WebhookRow } from './hook-rows.js';
import type { Tables } from './tables.js';

/* What a webhook was sent, to look at and to send again. */

export interface DeliveryQuestion {
  readonly webhookId: string;
  readonly state: string | null;
  readonly eventId: string | null;
  readonly from: Date | null;
  readonly to: Date | null;
  readonly before: { readonly occurredAt: Date; readonly eventId: string } | null;
  readonly limit: number;
}

export interface DeliveryRow {
  readonly event_id: string;
  readonly type: string;
  readonly occurred_at: Date;
  readonly customer_key: string | null;
  readonly sequence: number | null;
  readonly state: 'waiting' | 'delivered' | 'dead';
  readonly attempts: number;
  readonly next_attempt_at: Date | null;
  readonly ended_at: Date | null;
}

/** The latest event first. */
export async function readDeliveries(
  database: Kysely<Tables>,
  { webhookId, state, eventId, from, to, before, limit }: DeliveryQuestion,
): Promise<readonly DeliveryRow[]> {
  const conditions = [sql`d.webhook_id = ${webhookId}`];
  if (state === 'dead') conditions.push(sql`d.state = 'dead'`);
  else if (state !== null) conditions.push(sql`d.state = ${state}`);
  if (eventId !== null) conditions.push(sql`d.event_id = ${eventId}`);
  if (from !== null) conditions.push(sql`d.occurred_at >= ${from}::timestamptz`);
  if (to !== null) conditions.push(sql`d.occurred_at < ${to}::timestamptz`);
  if (before !== null) {
    conditions.push(
      sql`(d.occurred_at, d.event_id) < (${before.occurredAt}::timestamptz, ${before.eventId}::uuid)`,
    );
  }
  const { rows } = await sql<DeliveryRow>`
    select d.event_id, d.type, d.occurred_at, c.key as customer_key, o.sequence, d.state, d.attempts, d.next_attempt_at, d.ended_at
    from (select * from webhook_delivery d where ${sql.join(conditions, sql` and `)}
      order by d.occurred_at desc, d.event_id desc limit ${limit}) d
    left join customer c on c.id = d.customer_id
    left join outbox_event o on o.environment_id = d.environment_id and o.occurred_at = d.occurred_at and o.id = d.event_id
    order by d.occurred_at desc, d.event_id desc`.execute(database);
  return rows;
}

export function readAttempts(database: Kysely<Tables>, webhookId: string, eventId: string) {
  return database
    .selectFrom('webhook_attempt')
    .selectAll()
    .where('webhook_id', '=', webhookId)
    .where('event_id', '=', eventId)
    .orderBy('id')
    .execute();
}

/** Puts deliveries by again as if nothing had been tried; their log stays. Answers how many of these there are. */
export async function replayEvents(
  transaction: Transaction<Tables>,
  webhookId: string,
  eventIds: readonly string[],
): Promise<number> {
  const { rows } = await sql`
    update webhook_delivery set state = 'waiting', attempts = 0, next_attempt_at = now(), claimed_until = null, ended_at = null
    where webhook_id = ${webhookId} and event_id = any(${[...eventIds]}::uuid[])
    returning 1`.execute(transaction);
  return rows.length;
}

export interface ReplayedSpan {
  readonly replayed: number;
  /** The last that was replayed, where the span holds more than one call takes. */
  readonly until: Date | null;
}

interface ReplayedRow {
  readonly occurred_at: Date;
}

/** What was given up of a span, the earliest first. */
export async function replayDead(
  transaction: Transaction<Tables>,
  webhookId: string,
  { from, to }: { readonly from: Date; readonly to: Date },
  limit: number,
): Promise<ReplayedSpan> {
  const { rows } = await sql<ReplayedRow>`
    with picked as materialized (
      select webhook_id, event_id from webhook_delivery where webhook_id = ${webhookId} and state = 'dead'
        and occurred_at >= ${from}::timestamptz and occurred_at < ${to}::timestamptz
      order by occurred_at, event_id limit ${limit} for update)
    update webhook_delivery d set state = 'waiting', attempts = 0, next_attempt_at = now(), claimed_until = null, ended_at = null
    from picked p where d.webhook_id = p.webhook_id and d.event_id = p.event_id
    returning d.occurred_at`.execute(transaction);
  return { replayed: rows.length, until: rows.length === limit ? latestOf(rows) : null };
}

/** Everything that was told in a span and that the webhook wants, delivered or not; of one instant all or nothing. */
export async function replayTold(
  transaction: Transaction<Tables>,
  webhook: WebhookRow,
  types: readonly string[],
  { from, to }: { readonly from: Date; readonly to: Date },
  limit: number,
): Promise<ReplayedSpan> {
  const { id, environment_id, product_id } = webhook;
  const { rows } = await sql<ReplayedRow>`
    insert into webhook_delivery (webhook_id, event_id, environment_id, customer_id, type, occurred_at, state, attempts,
      next_attempt_at, created_at)
    select ${id}::uuid, o.id, o.environment_id, o.customer_id, o.type, o.occurred_at, 'waiting', 0, now(), now()
    from outbox_event o
    where o.environment_id = ${environment_id} and o.sequence is not null and o.type = any(${[...types]}::text[])
      and o.occurred_at >= ${from}::timestamptz and o.occurred_at < ${to}::timestamptz
      and (${product_id}::uuid is null or o.product_id = ${product_id}::uuid)
    order by o.occurred_at fetch first ${sql.lit(limit)} rows with ties
    on conflict (webhook_id, event_id) do update set state = 'waiting', attempts = 0, next_attempt_at = now(), claimed_until = null, ended_at = null
    returning occurred_at`.execute(transaction);
  return { replayed: rows.length, until: rows.length >= limit ? latestOf(rows) : null };
}

function latestOf(rows: readonly ReplayedRow[]): Date {
  return new Date(Math.max(...rows.map(({ occurred_at }) => occurred_at.getTime())));
}

/** Of webhooks that were removed: deliveries and their logs, then the webhooks themselves. Answers whether there is more. */
export async function forgetRemoved(database: Kysely<Tables>, limit: number): Promise<boolean> {
  const removed = await database
    .selectFrom('webhook')
    .select('id')
    .where('state', '=', 'removed')
    .limit(1)
    .executeTakeFirst();
  if (removed === undefined) return false;
  const { rows } = await sql`
    with old as materialized (
      select webhook_id, event_id from webhook_delivery where webhook_id = ${removed.id} limit ${limit} for update skip locked),
    unlogged as (
      delete from webhook_attempt a using old where a.webhook_id = old.webhook_id and a.event_id = old.event_id)
    delete from webhook_delivery d using old where d.webhook_id = old.webhook_id and d.event_id = old.event_id
    returning 1`.execute(database);
  if (rows.length < limit) {
    // An outcome that was on its way may still have written its log.
    await database.deleteFrom('webhook_attempt').where('webhook_id', '=', removed.id).execute();
    await database
      .deleteFrom('webhook')
      .where('id', '=', removed.id)
      .where((where) =>
        where.not(
          where.exists(
            where.selectFrom('webhook_delivery').select('webhook_id').where('webhook_id', '=', removed.id),
          ),
        ),
      )
      .execute();
  }
  return true;
}

/** Since when what waits is due at webhooks that are enabled, and since when the oldest event has no number. By one row of an index each. */
export async function readHookLag(
  database: Kysely<Tables>,
  now: Date,
): Promise<{ readonly due: Date | null; readonly told: Date | null }> {
  const { rows } = await sql<{ readonly due: Date | null; readonly told: Date | null }>`
    select (select min(d.next_attempt_at) from webhook w
        cross join lateral (select next_attempt_at from webhook_delivery d
          where d.webhook_id = w.id and d.state = 'waiting' and d.next_attempt_at <= ${now}::timestamptz
            and (d.claimed_until is null or d.claimed_until <= ${now}::timestamptz)
          order by d.next_attempt_at limit 1) d
        where w.state = 'enabled') as due,
      (select occurred_at from outbox_event where sequence is null order by transaction_id, id limit 1) as told`.execute(
    database,
  );
  return rows[0] ?? { due: null, told: null };
}
