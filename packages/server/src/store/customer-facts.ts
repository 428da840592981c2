import type {
  AccountState,
  EarlierPlan,
  Grant,
  GrantEffect,
  GrantKind,
  GroupMembership,
  License,
  LicenseAddon,
  LicenseKind,
  LicenseStatus,
  MemberKind,
  NextPlan,
  SegmentMembership,
  TargetKind,
} from '@pennon/engine/model/customer';
import type { JsonObject } from '@pennon/engine/model/json';
import type pg from 'pg';
import type {
  BalanceQuestion,
  BalanceRow,
  CustomerFacts,
  CustomerFactsStore,
  Facts,
  FactsQuestion,
  HeldFacts,
  InstanceFacts,
  ScopeBalances,
  SubjectFacts,
  UserFacts,
} from '../service/customer-facts.js';
import { LOTS_OF, toLots } from './lot-statements.js';
import { HOLDS_OF, toHolds } from './reservation-statements.js';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** Milliseconds since the epoch, exactly: columns are `timestamptz(3)`, and `extract` is a numeric. */
export function milliseconds(column: string): string {
  return `(extract(epoch from ${column}) * 1000)::bigint`;
}

export const GRANT_COLUMNS = `json_build_array(g.target_kind, g.target_key, g.id, g.kind, g.effect::json,
  ${milliseconds('g.starts_at')}, ${milliseconds('g.ends_at')})`;

const LICENSE_COLUMNS = `json_build_array(f.key, l.id, l.plan_key, l.plan_version, l.quantity, l.kind, l.status,
  ${milliseconds('l.starts_at')}, ${milliseconds('l.ends_at')}, ${milliseconds('l.grace_ends_at')},
  l.anchor, l.time_zone, l.sku, l.addons, l.earlier_plans,
  case when l.next_plan_at is null then null
    else json_build_array(l.next_plan_key, l.next_plan_version, ${milliseconds('l.next_plan_at')}, l.next_anchor) end,
  ${milliseconds('l.anchor_since')})`;

/**
 * Grants that hold or will hold, and the last few of each target that ended: "expired" is another answer than "never had one". A
 * revoked one comes with an empty span, so that by no clock it holds for a moment longer.
 */
function grantsOf(targets: string, condition: string, fewEnded: number): string {
  return `select g.target_kind, g.target_key, g.id, g.kind, g.effect, g.starts_at,
      case when g.revoked_at is null then g.ends_at else g.starts_at end as ends_at
    from (
      select g.*, g.revoked_at is null and (g.ends_at is null or g.ends_at > now() - interval '1 hour') as may_hold,
        row_number() over (partition by t.kind, t.key, g.revoked_at is null
            and (g.ends_at is null or g.ends_at > now() - interval '1 hour')
          order by least(g.revoked_at, g.ends_at) desc) as place
      from ${targets}
      cross join lateral (select * from access_grant g where g.environment_id = $1 and ${condition} offset 0) g
      where g.product_id = $2
        and (g.revoked_at is null or g.starts_at < g.revoked_at)
        and (g.ends_at is null or g.starts_at < g.ends_at)) g
    where g.may_hold or g.place <= ${fewEnded}`;
}

/** Said twice, so that the index of just these serves. */
const SHARED = "g.target_kind in ('group', 'segment') and g.target_kind = t.kind";

/**
 * Everything that a cold evaluation needs, in one statement and therefore of one instant (law 1), with the environment's
 * counts of changes as they stood at that instant. What ended an hour ago can matter to no clock; of what ended the last few
 * are kept, to be told as such.
 *
 * Plans of this statement are kept, and the first may be made while tables are empty, when reading a whole table looks as good as
 * any other way. Every table is therefore reached by a lateral look-up that PostgreSQL does not take apart (`offset 0`): from
 * what is asked for, by the columns that one index begins with and no other, whatever it believes of the sizes. What else is asked
 * of the rows stands outside of the look-up.
 */
const LOAD = `
with looked as materialized (
  select i.customer_id, i.id, i.key, i.metadata from instance i where i.environment_id = $1 and i.key = $4
  union all
  select i.customer_id, i.id, i.key, i.metadata from instance i
    where i.id = $5::uuid and i.environment_id = $1
      and not exists (select from instance named where named.environment_id = $1 and named.key = $4)
),
owner as materialized (
  select u.key as user_key, c.id as customer_id, c.key as customer_key
  from (select distinct unnest($6::text[]) as key) named
  cross join lateral (select u.customer_id, u.key from customer_user u
    where u.environment_id = $1 and u.key = named.key offset 0) u
  cross join lateral (select c.id, c.key from customer c where c.id = u.customer_id offset 0) c
  limit 1000
),
found as materialized (
  select c.* from (select distinct unnest($3::text[]) as key) named
  cross join lateral (select * from customer c where c.environment_id = $1 and c.key = named.key offset 0) c
  union all
  select c.* from (
    select customer_id from looked
    union
    select (array_agg(o.customer_id))[1] from owner o group by o.user_key having count(*) = 1) known
  cross join lateral (select * from customer c where c.id = known.customer_id offset 0) c
  where not (c.key = any($3::text[]))
),
target (kind, key) as materialized (
  select 'customer', named.key from unnest($3::text[]) as named (key)
  union select 'customer', f.key from found f
  union select 'user', named.key from unnest($6::text[]) as named (key)
  union select 'team', named.key from unnest($7::text[]) as named (key)
  union select 'instance', coalesce((select key from looked), $4::text) where $4::text is not null
),
metered (id, key) as materialized (
  select f.id, f.key from found f
  union
  select c.id, c.key from (select distinct unnest($8::text[]) as key) named
  cross join lateral (select c.id, c.key from customer c
    where c.environment_id = $1 and c.key = named.key offset 0) c
),
scope (key) as materialized (
  select '' union select named.key from unnest($9::text[]) as named (key) union select key from looked
)
select json_build_object(
  'product', (select p.key from product p where p.id = $2),
  'versions', (select json_build_array(e.subject_version, e.shared_version) from environment e where e.id = $1),
  'customers', (select json_agg(json_build_array(f.key, f.id, f.version, ${milliseconds('f.created_at')},
      f.time_zone, f.attributes, f.archived_at is not null)) from found f),
  'instance', (select json_build_array(looked.key, looked.id, looked.metadata, c.key)
      from looked cross join lateral (select c.key from customer c where c.id = looked.customer_id offset 0) c),
  'owners', (select json_agg(json_build_array(o.user_key, o.customer_key) order by o.customer_key) from owner o),
  'licenses', (select json_agg(${LICENSE_COLUMNS} order by l.starts_at, l.id) from found f cross join lateral (
      (select * from license
        where customer_id = f.id and product_id = $2 and (ends_at is null or ends_at > now() - interval '1 hour'))
      union all
      (select * from license
        where customer_id = f.id and product_id = $2 and ends_at <= now() - interval '1 hour'
        order by ends_at desc limit 5)) l
    where f.archived_at is null),
  'memberships', (select json_agg(json_build_array(m.member_kind, m.member_key, m.container_kind, m.container_key,
      ${milliseconds('m.starts_at')}, ${milliseconds('m.ends_at')}) order by m.container_key)
    from target t cross join lateral (select * from membership m
      where m.environment_id = $1 and m.member_kind = t.kind and m.member_key = t.key offset 0) m
    where m.product_id = $2 and (m.ends_at is null or m.ends_at > now() - interval '1 hour')),
  'grants', (select json_agg(${GRANT_COLUMNS} order by g.starts_at, g.id)
    from (${grantsOf('target t', 'g.target_kind = t.kind and g.target_key = t.key', 20)}) g),
  'shared', case when $10::boolean then (select json_agg(${GRANT_COLUMNS} order by g.starts_at, g.id)
    from (${grantsOf("(values ('group', ''), ('segment', '')) t (kind, key)", SHARED, 200)}) g) end,
  'balanced', (select json_agg(m.key) from metered m),
  'accounts', (select json_agg(json_build_array(m.key, a.scope, a.feature, ${milliseconds('a.period_start')},
      a.used, a.reserved, ${HOLDS_OF('a')}, ${milliseconds('a.period_end')}, a.covered, ${LOTS_OF('a')}) order by a.feature)
    from metered m cross join scope s cross join lateral (select * from account a
      where a.customer_id = m.id and a.product_id = $2 and a.scope = s.key offset 0) a)
) as facts`;

const BALANCES = `
select a.customer_id, a.product_id, a.scope, a.feature, ${milliseconds('a.period_start')} as period_start,
  a.used, a.reserved, ${HOLDS_OF('a')} as holds, ${milliseconds('a.period_end')} as period_end, a.covered,
  ${LOTS_OF('a')} as lots
from unnest($1::uuid[], $2::uuid[], $3::text[]) as asked (customer_id, product_id, scope)
cross join lateral (select * from account a where a.customer_id = asked.customer_id
  and a.product_id = asked.product_id and a.scope = asked.scope offset 0) a
order by a.feature`;

export type GrantRow = readonly [TargetKind, string, string, GrantKind, GrantEffect, number, number | null];
type LicenseRow = readonly [
  string,
  string,
  string,
  number,
  number,
  LicenseKind,
  LicenseStatus,
  number,
  number | null,
  number | null,
  string,
  string | null,
  string | null,
  readonly LicenseAddon[],
  readonly EarlierPlan[],
  readonly [string, number, number, string] | null,
  number | null,
];

interface FactsRow {
  readonly product: string | null;
  /** Of subjects, and of shared grants. */
  readonly versions: readonly [number, number] | null;
  readonly customers:
    | readonly (readonly [string, string, number, number, string | null, JsonObject, boolean])[]
    | null;
  readonly instance: readonly [string, string, JsonObject, string] | null;
  readonly owners: readonly (readonly [string, string])[] | null;
  readonly licenses: readonly LicenseRow[] | null;
  readonly memberships:
    | readonly (readonly [MemberKind, string, 'group' | 'segment', string, number, number | null])[]
    | null;
  readonly grants: readonly GrantRow[] | null;
  readonly shared: readonly GrantRow[] | null;
  readonly balanced: readonly string[] | null;
  readonly accounts:
    | readonly (readonly [
        string,
        string,
        string,
        number | null,
        number,
        number,
        unknown,
        number | null,
        number,
        unknown,
      ])[]
    | null;
}

/** Reads customer facts with prepared statements, one round trip each. */
export function createCustomerFactsStore(pool: Pick<pg.Pool, 'query'>): CustomerFactsStore {
  return {
    async load(question) {
      const { instanceRef } = question;
      const result = await pool.query<{ facts: FactsRow }>({
        name: 'customer-facts',
        text: LOAD,
        values: [
          question.environmentId,
          question.productId,
          question.customerKeys,
          instanceRef,
          instanceRef !== null && UUID.test(instanceRef) ? instanceRef : null,
          question.userKeys,
          question.teamKeys,
          question.balanceCustomerKeys,
          question.scopes,
          question.shared,
        ],
      });
      const row = result.rows[0];
      if (row === undefined) throw new Error('The statement of customer facts answered no row.');
      return fromFactsRow(question, row.facts);
    },

    async balances(questions) {
      const result = await pool.query<{
        customer_id: string;
        product_id: string;
        scope: string;
        feature: string;
        period_start: number | null;
        used: number;
        reserved: number;
        holds: unknown;
        period_end: number | null;
        covered: number;
        lots: unknown;
      }>({ name: 'customer-balances', text: BALANCES, values: balanceColumns(questions) });
      return result.rows.map(
        (row): BalanceRow => ({
          customerId: row.customer_id,
          productId: row.product_id,
          scope: row.scope,
          feature: row.feature,
          periodStart: row.period_start,
          used: row.used,
          reserved: row.reserved,
          holds: toHolds(row.holds),
          periodEnd: row.period_end,
          covered: row.covered,
          lots: toLots(row.lots),
        }),
      );
    },

    async versionOf(environmentId, customerKey) {
      const result = await pool.query<{ version: number }>({
        name: 'customer-version',
        text: 'select version from customer where environment_id = $1 and key = $2',
        values: [environmentId, customerKey],
      });
      return result.rows[0]?.version ?? null;
    },
  };
}

function balanceColumns(questions: readonly BalanceQuestion[]): unknown[] {
  return [
    questions.map((question) => question.customerId),
    questions.map((question) => question.productId),
    questions.map((question) => question.scope),
  ];
}

interface Pieces {
  readonly subjectVersion: number;
  readonly grants: Map<string, Grant[]>;
  readonly memberships: Map<string, SegmentMembership[]>;
  readonly groups: Map<string, GroupMembership[]>;
  readonly licenses: Map<string, License[]>;
}

function push<Item>(lists: Map<string, Item[]>, key: string, item: Item): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [item]);
  else list.push(item);
}

export function toGrant(product: string, row: GrantRow): Grant {
  const [kind, key, id, grantKind, effect, startsAt, endsAt] = row;
  return { id, product, target: { kind, key }, kind: grantKind, effect, startsAt, endsAt };
}

function toLicense(product: string, row: LicenseRow): License {
  const [, id, plan, planVersion, quantity, kind, status, startsAt, endsAt, graceEndsAt, ...rest] = row;
  const [anchor, timeZone, sku, addons, earlier, next, anchorSince] = rest;
  return {
    id,
    product,
    plan,
    planVersion,
    quantity,
    kind,
    status,
    startsAt,
    endsAt,
    graceEndsAt,
    anchor,
    timeZone,
    sku,
    addons,
    ...(earlier.length === 0 ? {} : { earlier }),
    ...(next === null ? {} : { next: toNextPlan(next) }),
    ...(anchorSince === null ? {} : { anchorSince }),
  };
}

function toNextPlan([plan, planVersion, at, anchor]: readonly [string, number, number, string]): NextPlan {
  return { plan, planVersion, at, anchor, sku: null };
}

function toPieces(product: string, row: FactsRow): Pieces {
  const pieces: Pieces = {
    subjectVersion: row.versions?.[0] ?? 0,
    grants: new Map(),
    memberships: new Map(),
    groups: new Map(),
    licenses: new Map(),
  };
  for (const grant of row.grants ?? []) {
    push(pieces.grants, `${grant[0]}/${grant[1]}`, toGrant(product, grant));
  }
  for (const [kind, key, containerKind, container, startsAt, endsAt] of row.memberships ?? []) {
    const subject = `${kind}/${key}`;
    if (containerKind === 'segment') {
      push(pieces.memberships, subject, { segment: container, member: { kind, key }, startsAt, endsAt });
    } else if (kind === 'customer') {
      push(pieces.groups, key, { group: container, startsAt, endsAt });
    }
  }
  for (const license of row.licenses ?? []) push(pieces.licenses, license[0], toLicense(product, license));
  return pieces;
}

function heldFacts(pieces: Pieces, kind: string, key: string): HeldFacts {
  const subject = `${kind}/${key}`;
  return { memberships: pieces.memberships.get(subject) ?? [], grants: pieces.grants.get(subject) ?? [] };
}

function subjectFacts(pieces: Pieces, kind: string, key: string): SubjectFacts {
  return { ...heldFacts(pieces, kind, key), version: pieces.subjectVersion };
}

function fromFactsRow(question: FactsQuestion, row: FactsRow): Facts {
  const product = row.product ?? '';
  const pieces = toPieces(product, row);
  return {
    customers: toCustomers(question, row, pieces),
    instance: toInstance(question, row, pieces),
    users: toUsers(question, row, pieces),
    teams: new Map(question.teamKeys.map((key) => [key, subjectFacts(pieces, 'team', key)])),
    shared: question.shared
      ? {
          memberships: [],
          grants: (row.shared ?? []).map((grant) => toGrant(product, grant)),
          version: row.versions?.[1] ?? 0,
        }
      : null,
    balances: toBalances(question, row),
  };
}

function toCustomers(question: FactsQuestion, row: FactsRow, pieces: Pieces): Map<string, CustomerFacts> {
  const customers = new Map<string, CustomerFacts>();
  for (const [key, id, version, createdAt, timeZone, attributes, archived] of row.customers ?? []) {
    const record = { id, version, createdAt, timeZone, attributes };
    // An archived customer keeps all that it had, and none of it is in force until it is taken back.
    customers.set(
      key,
      archived
        ? { key, record, licenses: [], groups: [], memberships: [], grants: [] }
        : {
            key,
            record,
            licenses: pieces.licenses.get(key) ?? [],
            groups: pieces.groups.get(key) ?? [],
            ...heldFacts(pieces, 'customer', key),
          },
    );
  }
  for (const key of question.customerKeys) {
    if (customers.has(key)) continue;
    const groups = pieces.groups.get(key) ?? [];
    customers.set(key, {
      key,
      record: null,
      licenses: [],
      groups,
      ...heldFacts(pieces, 'customer', key),
    });
  }
  return customers;
}

function toInstance(question: FactsQuestion, row: FactsRow, pieces: Pieces): InstanceFacts | null {
  if (question.instanceRef === null) return null;
  if (row.instance === null) {
    const key = question.instanceRef;
    return { key, record: null, ...subjectFacts(pieces, 'instance', key) };
  }
  const [key, id, metadata, customerKey] = row.instance;
  return { key, record: { id, key, customerKey, metadata }, ...subjectFacts(pieces, 'instance', key) };
}

function toUsers(question: FactsQuestion, row: FactsRow, pieces: Pieces): Map<string, UserFacts> {
  const owners = new Map<string, string[]>();
  for (const [userKey, customerKey] of row.owners ?? []) push(owners, userKey, customerKey);
  return new Map(
    question.userKeys.map((key) => [
      key,
      { customerKeys: owners.get(key) ?? [], ...subjectFacts(pieces, 'user', key) },
    ]),
  );
}

function toBalances(question: FactsQuestion, row: FactsRow): ScopeBalances[] {
  const scopes = new Set(['', ...question.scopes]);
  if (row.instance !== null) scopes.add(row.instance[0]);
  const found = new Map<string, AccountState[]>();
  for (const [customer, scope, feature, periodStart, used, reserved, held, ...credits] of row.accounts ??
    []) {
    const [periodEnd, covered, lots] = credits;
    push(found, JSON.stringify([customer, scope]), {
      feature,
      scope,
      periodStart,
      used,
      reserved,
      holds: toHolds(held),
      periodEnd,
      covered,
      lots: toLots(lots),
    });
  }
  return (row.balanced ?? []).flatMap((customerKey) =>
    [...scopes].map((scope) => ({
      customerKey,
      scope,
      accounts: found.get(JSON.stringify([customerKey, scope])) ?? [],
    })),
  );
}
