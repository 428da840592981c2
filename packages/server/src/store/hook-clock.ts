import { type Kysely, type RawBuilder, type Selectable, sql, type Transaction } from 'kysely';
import { END } from './grant-lists.js';
import type { CreditLotTable } from './lot-tables.js';
import type { AccessGrantTable, LicenseTable, MembershipTable, Tables } from './tables.js';

/* What begins and ends by the clock alone, and up to when that was told. */

/** A row of one of the tables whose instant came. */
export interface ClockRows {
  readonly grant: Selectable<AccessGrantTable>;
  readonly license: Selectable<LicenseTable> & { readonly customer_key: string };
  readonly membership: Selectable<MembershipTable>;
  /** A scope is a user's or an instance's key; which of them, the customer's instances tell. */
  readonly 'top-up': Selectable<CreditLotTable> & {
    readonly customer_key: string;
    readonly is_instance: boolean;
  };
}
export type ClockKind = keyof ClockRows;
export type ClockEdge = 'start' | 'end' | 'next-plan';

interface Walk {
  readonly columns: RawBuilder<unknown>;
  readonly from: RawBuilder<unknown>;
  /** INVARIANT: written as in the index that it walks. */
  readonly instant: Readonly<Partial<Record<ClockEdge, RawBuilder<unknown>>>>;
  readonly where: Readonly<Partial<Record<ClockEdge, RawBuilder<unknown>>>>;
}

const LATER = sql`g.starts_at > g.created_at`;
const WALKS: Readonly<Record<ClockKind, Walk>> = {
  grant: {
    columns: sql`g.*`,
    from: sql`access_grant g`,
    instant: { start: sql`g.starts_at`, end: END },
    where: { start: sql`${LATER} and g.revoked_at is null`, end: sql`g.revoked_at is null` },
  },
  license: {
    columns: sql`g.*, c.key as customer_key`,
    from: sql`license g join customer c on c.id = g.customer_id`,
    instant: { start: sql`g.starts_at`, end: sql`g.ends_at`, 'next-plan': sql`g.next_plan_at` },
    where: { start: LATER, end: sql`g.ends_at is not null`, 'next-plan': sql`g.next_plan_at is not null` },
  },
  membership: {
    columns: sql`g.*`,
    from: sql`membership g`,
    instant: { start: sql`g.starts_at`, end: sql`g.ends_at` },
    where: { start: LATER, end: sql`g.ends_at is not null` },
  },
  // One of which nothing is left ends for nobody.
  'top-up': {
    columns: sql`g.*, c.key as customer_key, exists (
      select from instance i where i.customer_id = g.customer_id and i.key = g.scope) as is_instance`,
    from: sql`credit_lot g join customer c on c.id = g.customer_id`,
    instant: { start: sql`g.starts_at`, end: sql`g.ends_at` },
    where: {
      start: sql`${LATER} and g.voided_at is null`,
      end: sql`g.ends_at is not null and g.voided_at is null and g.remaining > 0`,
    },
  },
};

export type Crossed<Kind extends ClockKind> = ClockRows[Kind] & { readonly crossed_at: Date };

export interface CrossedSpan {
  readonly after: Date;
  readonly until: Date;
  /** Of what crossed at the very instant that it is after, what stands behind this id too. */
  readonly afterId?: string;
}

/** What crossed an edge after one instant and up to another, the earliest first, and of one instant by id. */
export async function readCrossed<Kind extends ClockKind>(
  database: Kysely<Tables>,
  environmentId: string,
  { kind, edge }: { readonly kind: Kind; readonly edge: ClockEdge },
  { after, until, afterId }: CrossedSpan,
  limit: number,
): Promise<readonly Crossed<Kind>[]> {
  const { columns, from, instant, where } = WALKS[kind];
  const at = instant[edge];
  const condition = where[edge];
  if (at === undefined || condition === undefined) return [];
  const behind =
    afterId === undefined
      ? sql`${at} > ${after}::timestamptz`
      : sql`(${at}, g.id) > (${after}::timestamptz, ${afterId}::uuid)`;
  const { rows } = await sql<Crossed<Kind>>`
    select ${columns}, ${at} as crossed_at from ${from}
    where g.environment_id = ${environmentId} and ${behind} and ${at} <= ${until}::timestamptz and ${condition}
    order by ${at}, g.id limit ${sql.lit(limit)}`.execute(database);
  return rows;
}

/** Environments with a webhook: of others nothing is told. */
export async function readListenedEnvironments(database: Kysely<Tables>): Promise<readonly string[]> {
  const rows = await database
    .selectFrom('webhook')
    .select('environment_id')
    .distinct()
    .where('state', '<>', 'removed')
    .execute();
  return rows.map((row) => row.environment_id);
}

/** `null`: never. */
export async function readToldUntil(
  database: Kysely<Tables>,
  environmentId: string,
  boundary: string,
): Promise<Date | null> {
  const row = await database
    .selectFrom('clock_told')
    .select('told_until')
    .where('environment_id', '=', environmentId)
    .where('boundary', '=', boundary)
    .executeTakeFirst();
  return row?.told_until ?? null;
}

/** Up to when a boundary was told, locked; where it never was, it is from now on. */
export async function lockToldUntil(
  transaction: Transaction<Tables>,
  environmentId: string,
  boundary: string,
  now: Date,
): Promise<Date> {
  const told = { environment_id: environmentId, boundary, told_until: now };
  await transaction
    .insertInto('clock_told')
    .values(told)
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  const { told_until } = await transaction
    .selectFrom('clock_told')
    .select('told_until')
    .where('environment_id', '=', environmentId)
    .where('boundary', '=', boundary)
    .forUpdate()
    .executeTakeFirstOrThrow();
  return told_until;
}

export async function writeToldUntil(
  transaction: Transaction<Tables>,
  environmentId: string,
  boundary: string,
  until: Date,
): Promise<void> {
  await transaction
    .updateTable('clock_told')
    .set({ told_until: until })
    .where('environment_id', '=', environmentId)
    .where('boundary', '=', boundary)
    .execute();
}

/** Where nobody listens any more nothing was told since: whoever listens next begins anew. */
export async function forgetUnlistened(database: Kysely<Tables>): Promise<void> {
  await sql`delete from clock_told t where not exists (
    select from webhook w where w.environment_id = t.environment_id and w.state <> 'removed')`.execute(
    database,
  );
}
