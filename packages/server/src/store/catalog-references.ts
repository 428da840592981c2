import type { Instant } from '@pennon/engine/model/customer';
import { type Kysely, type RawBuilder, sql } from 'kysely';
import { fromInstant } from './instant.js';
import type { Tables } from './tables.js';

/** Data of customers that still names an item of the catalog. */
export interface ItemReferences {
  readonly kind: string;
  readonly key: string;
  readonly count: number;
  /** The first few, named for a person. */
  readonly examples: readonly string[];
}

const EXAMPLES = 3;

interface ReferenceRow {
  readonly total: number;
  readonly name: string;
}

/** Which licenses, memberships, grants and top-ups that are in force, or will be, and which bundles name the item; `null` where none does. */
export async function findItemReferences(
  database: Kysely<Tables>,
  productId: string,
  item: { readonly kind: string; readonly key: string },
  now: Instant,
): Promise<ItemReferences | null> {
  return countReferences(database, item, queriesFor(productId, item, fromInstant(now)));
}

/** Which grants, bundles and vouchers give a variant that the flag does not have (any more). */
export async function findVariantReferences(
  database: Kysely<Tables>,
  productId: string,
  flag: { readonly key: string; readonly variants: readonly string[] },
  now: Instant,
): Promise<ItemReferences | null> {
  const item = { kind: 'flag', key: flag.key };
  // Bundles and vouchers may keep a variant as its reader wrote it.
  const written = [['on', 'true'] as const, ['off', 'false'] as const];
  const variants = [
    ...flag.variants,
    ...written.flatMap(([name, word]) => (flag.variants.includes(name) ? [word] : [])),
  ];
  return countReferences(database, item, [
    grantsOf(productId, 'flag', flag.key, fromInstant(now), variants),
    bundlesWith(productId, 'flag', flag.key, variants),
    vouchersOf(productId, 'flag', flag.key, fromInstant(now), variants),
  ]);
}

async function countReferences(
  database: Kysely<Tables>,
  item: { readonly kind: string; readonly key: string },
  queries: readonly RawBuilder<unknown>[],
): Promise<ItemReferences | null> {
  const examples: string[] = [];
  let count = 0;
  for (const query of queries) {
    const { rows } = await sql<ReferenceRow>`
      select count(*) over () as total, found.name from (${query}) found order by found.name limit ${EXAMPLES}`.execute(
      database,
    );
    count += rows[0]?.total ?? 0;
    examples.push(...rows.map((row) => row.name));
  }
  return count === 0
    ? null
    : { kind: item.kind, key: item.key, count, examples: examples.slice(0, EXAMPLES) };
}

function queriesFor(
  productId: string,
  item: { readonly kind: string; readonly key: string },
  now: Date,
): RawBuilder<unknown>[] {
  switch (item.kind) {
    case 'plan':
      return [licensesOfPlan(productId, versioned(item.key), now), vouchersForPlan(productId, item.key, now)];
    case 'addon':
      return [licensesWithAddon(productId, versioned(item.key), now)];
    case 'feature':
      return [...effectsOn(productId, item, now), lotsOf(productId, item.key, now)];
    case 'flag':
      return effectsOn(productId, item, now);
    case 'group':
    case 'segment':
      return [membersOf(productId, item.kind, item.key, now), grantsTo(productId, item.kind, item.key, now)];
    default:
      return [];
  }
}

function effectsOn(
  productId: string,
  { kind, key }: { readonly kind: string; readonly key: string },
  now: Date,
): RawBuilder<unknown>[] {
  return [
    grantsOf(productId, kind, key, now),
    bundlesWith(productId, kind, key),
    vouchersOf(productId, kind, key, now),
  ];
}

/** What was bought or given and is not used up. What only rolled over goes with the feature; what a grant made is told as the grant. */
function lotsOf(productId: string, feature: string, now: Date): RawBuilder<unknown> {
  return sql`select 'the top-up \`' || l.id || '\` of the customer \`' || coalesce(c.key, '') || '\` in \`' || e.key || '\`' as name
    from credit_lot l join environment e on e.id = l.environment_id left join customer c on c.id = l.customer_id
    where l.product_id = ${productId} and l.feature = ${feature} and l.closed_at is null and l.remaining > 0
      and l.kind <> 'rollover' and l.grant_id is null and (l.ends_at is null or l.ends_at > ${now})`;
}

function versioned(key: string): { readonly key: string; readonly version: number } {
  const at = key.lastIndexOf('@');
  return { key: key.slice(0, at), version: Number(key.slice(at + 1)) };
}

const LICENSE_NAME = sql`'the license \`' || l.id || '\` of the customer \`' || coalesce(c.key, '') || '\` in \`' || e.key || '\`'`;

function licensesOfPlan(
  productId: string,
  plan: { readonly key: string; readonly version: number },
  now: Date,
): RawBuilder<unknown> {
  return sql`select ${LICENSE_NAME} as name from license l
    join environment e on e.id = l.environment_id left join customer c on c.id = l.customer_id
    where l.product_id = ${productId} and l.plan_key = ${plan.key} and l.plan_version = ${plan.version}
      and l.status <> 'ended' and (l.ends_at is null or l.ends_at > ${now})
    union
    select ${LICENSE_NAME} as name from license l
    join environment e on e.id = l.environment_id left join customer c on c.id = l.customer_id
    where l.product_id = ${productId} and l.next_plan_key = ${plan.key} and l.next_plan_version = ${plan.version}
      and l.status <> 'ended' and (l.ends_at is null or l.ends_at > l.next_plan_at)
    union
    select 'the plan move \`' || m.id || '\` in \`' || e.key || '\`' as name from plan_move m
    join environment e on e.id = m.environment_id
    where m.product_id = ${productId} and m.to_plan = ${plan.key} and m.to_version = ${plan.version}
      and m.status in ('previewing', 'draft', 'running')`;
}

function licensesWithAddon(
  productId: string,
  addon: { readonly key: string; readonly version: number },
  now: Date,
): RawBuilder<unknown> {
  const named = JSON.stringify([{ addon: addon.key, version: addon.version }]);
  return sql`select ${LICENSE_NAME} as name from license l
    join environment e on e.id = l.environment_id left join customer c on c.id = l.customer_id
    where l.product_id = ${productId} and l.addons @> ${named}::jsonb
      and l.status <> 'ended' and (l.ends_at is null or l.ends_at > ${now})`;
}

const GRANT_NAME = sql`'the grant \`' || g.id || '\` of the ' || g.target_kind || ' \`' || g.target_key || '\` in \`' || e.key || '\`'`;

/** Only effects of another variant than these; without a list, of any. */
function givesOther(
  effect: RawBuilder<unknown>,
  variants: readonly string[] | undefined,
): RawBuilder<unknown> {
  return variants === undefined
    ? sql`true`
    : sql`not (coalesce(${effect} ->> 'variant', '') = any(${[...variants]}::text[]))`;
}

/** Over a million grants, the text is searched before the few that hold the key at all are parsed. */
function grantsOf(
  productId: string,
  member: string,
  key: string,
  now: Date,
  variants?: readonly string[],
): RawBuilder<unknown> {
  return sql`select ${GRANT_NAME} as name from access_grant g join environment e on e.id = g.environment_id
    where g.product_id = ${productId} and g.revoked_at is null and (g.ends_at is null or g.ends_at > ${now})
      and position(${`"${key}"`}::text in g.effect) > 0 and g.effect::jsonb ->> ${member}::text = ${key}
      and ${givesOther(sql`g.effect::jsonb`, variants)}`;
}

/** A bundle that names what is gone could not be applied any more, and nobody would know before a customer waits for it. */
function bundlesWith(
  productId: string,
  member: string,
  key: string,
  variants?: readonly string[],
): RawBuilder<unknown> {
  return sql`select 'the bundle \`' || b.key || '\` in \`' || e.key || '\`' as name
    from bundle b join environment e on e.id = b.environment_id
    where b.product_id = ${productId} and exists (
      select from jsonb_array_elements(b.effects::jsonb) effect where effect ->> ${member}::text = ${key}
        and ${givesOther(sql`effect`, variants)})`;
}

function grantsTo(productId: string, targetKind: string, key: string, now: Date): RawBuilder<unknown> {
  return sql`select ${GRANT_NAME} as name from access_grant g join environment e on e.id = g.environment_id
    where g.product_id = ${productId} and g.revoked_at is null and (g.ends_at is null or g.ends_at > ${now})
      and g.target_kind = ${targetKind} and g.target_key = ${key}`;
}

function membersOf(productId: string, containerKind: string, key: string, now: Date): RawBuilder<unknown> {
  return sql`select 'the membership of the ' || m.member_kind || ' \`' || m.member_key || '\` in \`' || e.key || '\`' as name
    from membership m join environment e on e.id = m.environment_id
    where m.product_id = ${productId} and m.container_kind = ${containerKind} and m.container_key = ${key}
      and (m.ends_at is null or m.ends_at > ${now})`;
}

const VOUCHER_NAME = sql`'the voucher \`' || v.key || '\` in \`' || e.key || '\`'`;

/** What a voucher that may still be redeemed gives. */
function vouchersOf(
  productId: string,
  member: string,
  key: string,
  now: Date,
  variants?: readonly string[],
): RawBuilder<unknown> {
  return sql`select ${VOUCHER_NAME} as name from voucher v join environment e on e.id = v.environment_id
    where ${redeemable(productId, now)}
      and exists (select from jsonb_array_elements(v.effects::jsonb) effect where effect ->> ${member}::text = ${key}
        and ${givesOther(sql`effect`, variants)})`;
}

/** Those that are for customers of exactly that version; a plan named without one may lose a version. */
function vouchersForPlan(productId: string, plan: string, now: Date): RawBuilder<unknown> {
  return sql`select ${VOUCHER_NAME} as name from voucher v join environment e on e.id = v.environment_id
    where ${redeemable(productId, now)} and v.plans::jsonb @> ${JSON.stringify([plan])}::jsonb`;
}

function redeemable(productId: string, now: Date): RawBuilder<unknown> {
  return sql`v.product_id = ${productId} and v.state <> 'archived' and (v.ends_at is null or v.ends_at > ${now})
    and (v.lasts_until is null or v.lasts_until > ${now})`;
}
