import { type Kysely, sql } from 'kysely';
import type { Tables } from './tables.js';

/* What is due to whom: claims, outcomes, and the log of attempts. */

/** How many deliveries of one webhook are wanted now. */
export interface ClaimQuestion {
  readonly webhookId: string;
  readonly room: number;
}

export interface ClaimedDelivery {
  readonly webhook_id: string;
  readonly event_id: string;
  readonly environment_id: string;
  readonly occurred_at: Date;
  /** This one counted. */
  readonly attempts: number;
}

/**
 * Takes what is due, the longest due first. A claim holds for `leaseSeconds` and counts an attempt: whoever is killed with it gives it back
 * by the clock, and what kills a process cannot be tried for ever.
 */
export async function claimDeliveries(
  database: Kysely<Tables>,
  questions: readonly ClaimQuestion[],
  leaseSeconds: number,
): Promise<readonly ClaimedDelivery[]> {
  const { rows } = await sql<ClaimedDelivery>`
    with picked as materialized (
      select due.webhook_id, due.event_id
      from unnest(${questions.map(({ webhookId }) => webhookId)}::uuid[], ${questions.map(({ room }) => room)}::int[])
        as asked (webhook_id, room)
      cross join lateral (
        select d.webhook_id, d.event_id from webhook_delivery d
        where d.webhook_id = asked.webhook_id and d.state = 'waiting' and d.next_attempt_at <= now()
          and (d.claimed_until is null or d.claimed_until <= now())
        order by d.next_attempt_at limit asked.room for update skip locked) due)
    update webhook_delivery d set attempts = d.attempts + 1,
      claimed_until = now() + make_interval(secs => ${leaseSeconds})
    from picked p where d.webhook_id = p.webhook_id and d.event_id = p.event_id
    returning d.webhook_id, d.event_id, d.environment_id, d.occurred_at, d.attempts`.execute(database);
  return rows;
}

/** What one attempt came to. */
export interface DeliveryOutcome {
  readonly webhookId: string;
  readonly eventId: string;
  readonly environmentId: string;
  /** As it was claimed: what was claimed again since, or replayed, is not this one's to end. */
  readonly attempt: number;
  readonly state: 'waiting' | 'delivered' | 'dead';
  readonly delayMilliseconds: number | null;
  readonly logId: string;
  readonly attemptedAt: Date;
  readonly outcome: 'answered' | 'refused' | 'failed';
  readonly status: number | null;
  readonly why: string | null;
  readonly milliseconds: number;
}

/** Of many deliveries at once; the log's entry and the state are written together. */
export async function writeOutcomes(
  database: Kysely<Tables>,
  outcomes: readonly DeliveryOutcome[],
): Promise<void> {
  const of = <Value>(value: (outcome: DeliveryOutcome) => Value) => outcomes.map(value);
  await sql`
    with done as materialized (
      select * from unnest(${of(({ webhookId }) => webhookId)}::uuid[], ${of(({ eventId }) => eventId)}::uuid[],
        ${of(({ environmentId }) => environmentId)}::uuid[], ${of(({ attempt }) => attempt)}::int[],
        ${of(({ state }) => state)}::text[], ${of(({ delayMilliseconds }) => delayMilliseconds)}::bigint[],
        ${of(({ logId }) => logId)}::uuid[], ${of(({ attemptedAt }) => attemptedAt.toISOString())}::timestamptz[],
        ${of(({ outcome }) => outcome)}::text[], ${of(({ status }) => status)}::int[], ${of(({ why }) => why)}::text[],
        ${of(({ milliseconds }) => milliseconds)}::int[])
        as o (webhook_id, event_id, environment_id, attempt, state, delay, log_id, attempted_at, outcome, status, why, milliseconds)),
    locked as materialized (
      select d.webhook_id, d.event_id, d.state, d.attempts from webhook_delivery d
      join done o on o.webhook_id = d.webhook_id and o.event_id = d.event_id
      order by d.webhook_id, d.event_id for update of d),
    logged as (
      insert into webhook_attempt (webhook_id, event_id, id, environment_id, attempt, attempted_at, outcome, status, why, milliseconds)
      select o.webhook_id, o.event_id, o.log_id, o.environment_id, o.attempt, o.attempted_at, o.outcome, o.status, o.why, o.milliseconds
      from done o join locked l on l.webhook_id = o.webhook_id and l.event_id = o.event_id
      on conflict do nothing)
    update webhook_delivery d set state = o.state,
      next_attempt_at = case when o.state = 'waiting' then now() + make_interval(secs => o.delay / 1000.0) end,
      ended_at = case when o.state = 'waiting' then null else now() end, claimed_until = null
    from done o join locked l on l.webhook_id = o.webhook_id and l.event_id = o.event_id
    where d.webhook_id = o.webhook_id and d.event_id = o.event_id and l.state = 'waiting' and l.attempts = o.attempt`.execute(
    database,
  );
}

/** An event as it was told, with its numbers and keys. */
export interface ToldRow {
  readonly id: string;
  readonly occurred_at: Date;
  readonly environment_id: string;
  readonly product_id: string | null;
  readonly customer_id: string | null;
  readonly customer_key: string | null;
  readonly type: string;
  readonly subject: string | null;
  readonly scope: string;
  readonly data: string;
  readonly sequence: number;
}

/** Those that are kept no longer are absent. */
export async function readTold(
  database: Kysely<Tables>,
  events: readonly {
    readonly event_id: string;
    readonly environment_id: string;
    readonly occurred_at: Date;
  }[],
): Promise<ReadonlyMap<string, ToldRow>> {
  if (events.length === 0) return new Map();
  const { rows } = await sql<ToldRow>`
    select o.id, o.occurred_at, o.environment_id, o.product_id, o.customer_id, c.key as customer_key, o.type, o.subject,
      o.scope, o.data, o.sequence
    from unnest(${events.map((one) => one.event_id)}::uuid[], ${events.map((one) => one.environment_id)}::uuid[],
      ${events.map((one) => one.occurred_at.toISOString())}::timestamptz[]) as asked (id, environment_id, occurred_at)
    join outbox_event o on o.environment_id = asked.environment_id and o.occurred_at = asked.occurred_at and o.id = asked.id
    left join customer c on c.id = o.customer_id
    where o.sequence is not null`.execute(database);
  return new Map(rows.map((row) => [row.id, row]));
}

/**
 * Of webhooks whose listener has failed since before an instant: what was due before it and could not even be tried. Answers how many were
 * given up.
 */
export async function giveUpOverdue(database: Kysely<Tables>, before: Date, limit: number): Promise<number> {
  const { rows } = await sql`
    with late as materialized (
      select d.webhook_id, d.event_id from webhook w cross join lateral (
        select d.webhook_id, d.event_id from webhook_delivery d
        where d.webhook_id = w.id and d.state = 'waiting' and d.next_attempt_at < ${before}::timestamptz
          and (d.claimed_until is null or d.claimed_until <= now())
        order by d.next_attempt_at limit ${limit} for update skip locked) d
      where w.state = 'enabled' and w.failing_since < ${before}::timestamptz limit ${limit})
    update webhook_delivery d set state = 'dead', next_attempt_at = null, claimed_until = null, ended_at = now()
    from late l where d.webhook_id = l.webhook_id and d.event_id = l.event_id
    returning 1`.execute(database);
  return rows.length;
}

/** Deliveries that ended before an instant, with their log. Answers how many. */
export async function forgetDeliveries(
  database: Kysely<Tables>,
  endedBefore: Date,
  limit: number,
): Promise<number> {
  const { rows } = await sql`
    with old as materialized (
      select webhook_id, event_id from webhook_delivery where ended_at < ${endedBefore}::timestamptz
      order by ended_at limit ${limit} for update skip locked),
    unlogged as (
      delete from webhook_attempt a using old where a.webhook_id = old.webhook_id and a.event_id = old.event_id)
    delete from webhook_delivery d using old where d.webhook_id = old.webhook_id and d.event_id = old.event_id
    returning 1`.execute(database);
  return rows.length;
}
