import { sql, type Transaction } from 'kysely';
import type { Tables } from './tables.js';

/* Numbers what was told, after the commit, and puts by what each webhook is to be sent of it. */

export interface UnnumberedEvent {
  readonly id: string;
  readonly occurred_at: Date;
  readonly environment_id: string;
  readonly product_id: string | null;
  readonly customer_id: string | null;
  readonly type: string;
}

/**
 * INVARIANT: only of transactions that began before every one that is under way, in the order of their ids; or of an id that this database
 * has not given yet, which stands in a dump that was restored and which nobody can be writing.
 */
export async function readUnnumbered(
  transaction: Transaction<Tables>,
  limit: number,
): Promise<readonly UnnumberedEvent[]> {
  const { rows } = await sql<UnnumberedEvent>`
    select o.id, o.occurred_at, o.environment_id, o.product_id, o.customer_id, o.type
    from outbox_event o
    where o.sequence is null and (o.transaction_id < pg_snapshot_xmin(pg_current_snapshot())
      or o.transaction_id >= pg_snapshot_xmax(pg_current_snapshot()))
    order by o.transaction_id, o.id limit ${limit}`.execute(transaction);
  return rows;
}

/** Each event gets the next number of its customer, or of its environment, in the order of the list. */
export async function numberEvents(
  transaction: Transaction<Tables>,
  events: readonly UnnumberedEvent[],
): Promise<void> {
  const streams = events.map((event) => event.customer_id ?? event.environment_id);
  await sql`
    with batch as materialized (
      select b.* from unnest(${events.map(({ id }) => id)}::uuid[],
        ${events.map(({ occurred_at }) => occurred_at.toISOString())}::timestamptz[],
        ${events.map(({ environment_id }) => environment_id)}::uuid[], ${streams}::uuid[])
        with ordinality as b (id, occurred_at, environment_id, stream_id, place)),
    counted as (
      select stream_id, environment_id, count(*) as events from batch group by stream_id, environment_id),
    raised as (
      insert into event_stream (stream_id, environment_id, last_sequence)
      select stream_id, environment_id, events from counted order by stream_id
      on conflict (stream_id) do update set last_sequence = event_stream.last_sequence + excluded.last_sequence
      returning stream_id, last_sequence),
    numbered as (
      select b.id, b.occurred_at, b.environment_id,
        r.last_sequence - c.events + row_number() over (partition by b.stream_id order by b.place) as sequence
      from batch b join raised r on r.stream_id = b.stream_id join counted c on c.stream_id = b.stream_id)
    update outbox_event o set sequence = n.sequence from numbered n
    where o.environment_id = n.environment_id and o.occurred_at = n.occurred_at and o.id = n.id`.execute(
    transaction,
  );
}

export interface NewDelivery {
  readonly webhookId: string;
  readonly event: UnnumberedEvent;
}

/** Each is due at once, by the clock that claims go by. What was put by already stays as it is. */
export async function putDeliveriesBy(
  transaction: Transaction<Tables>,
  deliveries: readonly NewDelivery[],
): Promise<void> {
  if (deliveries.length === 0) return;
  const of = <Value>(value: (event: UnnumberedEvent) => Value) => deliveries.map(({ event }) => value(event));
  await sql`
    insert into webhook_delivery (webhook_id, event_id, environment_id, customer_id, type, occurred_at, state, attempts,
      next_attempt_at, created_at)
    select d.*, 'waiting', 0, now(), now()
    from unnest(${deliveries.map(({ webhookId }) => webhookId)}::uuid[], ${of(({ id }) => id)}::uuid[],
      ${of(({ environment_id }) => environment_id)}::uuid[], ${of(({ customer_id }) => customer_id)}::uuid[],
      ${of(({ type }) => type)}::text[],
      ${of(({ occurred_at }) => occurred_at.toISOString())}::timestamptz[]) as d
    on conflict (webhook_id, event_id) do nothing`.execute(transaction);
}

/** Holds the lease until the transaction ends, so that nobody numbers beside this one. Answers whether it is still the holder's. */
export async function holdLease(
  transaction: Transaction<Tables>,
  name: string,
  holder: string,
): Promise<boolean> {
  const { rows } = await sql`
    select 1 from lease where name = ${name} and holder = ${holder} for update`.execute(transaction);
  return rows.length > 0;
}
