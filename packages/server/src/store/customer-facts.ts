import type pg from 'pg';
import type {
  BalanceQuestion,
  BalanceRow,
  CustomerFactsStore,
  Facts,
  FactsQuestion,
} from '../service/customer-facts.js';
import { type FactsRow, toFacts } from './customer-facts-rows.js';
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
  select named.question, named.ref, i.customer_id, i.id, i.key, i.metadata
  from unnest($5::text[], $6::uuid[], $7::int[]) as named (ref, id, question)
  cross join lateral (
    select i.customer_id, i.id, i.key, i.metadata from instance i
      where i.environment_id = $1 and i.key = named.ref
    union all
    select i.customer_id, i.id, i.key, i.metadata from instance i
      where i.id = named.id and i.environment_id = $1
        and not exists (select from instance other where other.environment_id = $1 and other.key = named.ref)
    offset 0) i
),
owner as materialized (
  select u.key as user_key, c.id as customer_id, c.key as customer_key
  from (select distinct unnest($8::text[]) as key) named
  cross join lateral (select u.customer_id, u.key from customer_user u
    where u.environment_id = $1 and u.key = named.key limit 1000) u
  cross join lateral (select c.id, c.key from customer c where c.id = u.customer_id offset 0) c
),
sole (user_key, customer_id) as materialized (
  select o.user_key, (array_agg(o.customer_id))[1] from owner o group by o.user_key having count(*) = 1
),
found as materialized (
  select c.* from (select distinct unnest($3::text[]) as key) named
  cross join lateral (select * from customer c where c.environment_id = $1 and c.key = named.key offset 0) c
  union all
  select c.* from (select customer_id from looked union select customer_id from sole) known
  cross join lateral (select * from customer c where c.id = known.customer_id offset 0) c
  where not (c.key = any($3::text[]))
),
target (kind, key) as materialized (
  select 'customer', named.key from unnest($3::text[]) as named (key)
  union select 'customer', f.key from found f
  union select 'user', named.key from unnest($8::text[]) as named (key)
  union select 'team', named.key from unnest($10::text[]) as named (key)
  union select 'instance', coalesce(l.key, named.ref) from unnest($5::text[]) as named (ref)
    left join looked l on l.ref = named.ref
),
metered (question, id, key) as materialized (
  select named.question, f.id, f.key from unnest($3::text[], $4::int[]) as named (key, question)
    join found f on f.key = named.key
  union all
  select l.question, f.id, f.key from looked l join found f on f.id = l.customer_id
  union all
  select named.question, f.id, f.key from unnest($8::text[], $9::int[]) as named (key, question)
    join sole s on s.user_key = named.key join found f on f.id = s.customer_id
  union all
  select named.question, c.id, c.key from unnest($11::text[], $12::int[]) as named (key, question)
  cross join lateral (select c.id, c.key from customer c
    where c.environment_id = $1 and c.key = named.key offset 0) c
),
scope (question, key) as materialized (
  select named.question, named.key from unnest($13::text[], $14::int[]) as named (key, question)
  union all select l.question, l.key from looked l
)
select json_build_object(
  'product', (select p.key from product p where p.id = $2),
  'versions', (select json_build_array(e.subject_version, e.shared_version) from environment e where e.id = $1),
  'customers', (select json_agg(json_build_array(f.key, f.id, f.version, ${milliseconds('f.created_at')},
      f.time_zone, f.attributes, f.archived_at is not null)) from found f),
  'instances', (select json_agg(json_build_array(l.ref, l.key, l.id, l.metadata, c.key))
      from looked l cross join lateral (select c.key from customer c where c.id = l.customer_id offset 0) c),
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
  'shared', case when $15::boolean then (select json_agg(${GRANT_COLUMNS} order by g.starts_at, g.id)
    from (${grantsOf("(values ('group', ''), ('segment', '')) t (kind, key)", SHARED, 200)}) g) end,
  'balanced', (select json_agg(json_build_array(m.question, m.key)) from metered m),
  'accounts', (select json_agg(json_build_array(asked.key, a.scope, a.feature, ${milliseconds('a.period_start')},
      a.used, a.reserved, ${HOLDS_OF('a')}, ${milliseconds('a.period_end')}, a.covered, ${LOTS_OF('a')}) order by a.feature)
    from (select distinct m.id, m.key, s.key as scope from metered m join scope s on s.question = m.question) asked
    cross join lateral (select * from account a
      where a.customer_id = asked.id and a.product_id = $2 and a.scope = asked.scope offset 0) a)
) as facts`;

const BALANCES = `
select a.customer_id, a.product_id, a.scope, a.feature, ${milliseconds('a.period_start')} as period_start,
  a.used, a.reserved, ${HOLDS_OF('a')} as holds, ${milliseconds('a.period_end')} as period_end, a.covered,
  ${LOTS_OF('a')} as lots
from unnest($1::uuid[], $2::uuid[], $3::text[]) as asked (customer_id, product_id, scope)
cross join lateral (select * from account a where a.customer_id = asked.customer_id
  and a.product_id = asked.product_id and a.scope = asked.scope offset 0) a
order by a.feature`;

/** Reads customer facts with prepared statements, one round trip each. */
export function createCustomerFactsStore(pool: Pick<pg.Pool, 'query'>): CustomerFactsStore {
  const loadTogether = async (questions: readonly FactsQuestion[]): Promise<readonly Facts[]> => {
    const result = await pool.query<{ facts: FactsRow }>({
      name: 'customer-facts',
      text: LOAD,
      values: factsValues(questions),
    });
    const row = result.rows[0];
    if (row === undefined) throw new Error('The statement of customer facts answered no row.');
    return toFacts(questions, row.facts);
  };
  return {
    loadTogether,

    async load(question) {
      const [facts] = await loadTogether([question]);
      if (facts === undefined) throw new Error('The statement of customer facts answered nothing.');
      return facts;
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

/** What is asked in columns, each key beside the number of the question that asks for it. */
function factsValues(questions: readonly FactsQuestion[]): unknown[] {
  const [first] = questions;
  const columns = (keysOf: (question: FactsQuestion) => readonly string[]): [string[], number[]] => {
    const named = questions.flatMap((question, number) => keysOf(question).map((key) => ({ key, number })));
    return [named.map(({ key }) => key), named.map(({ number }) => number)];
  };
  const [refs, numbersOfRefs] = columns(({ instanceRef }) => (instanceRef === null ? [] : [instanceRef]));
  return [
    first?.environmentId,
    first?.productId,
    ...columns((question) => question.customerKeys),
    refs,
    refs.map((ref) => (UUID.test(ref) ? ref : null)),
    numbersOfRefs,
    ...columns((question) => question.userKeys),
    questions.flatMap((question) => question.teamKeys),
    ...columns((question) => question.balanceCustomerKeys),
    ...columns((question) => ['', ...question.scopes]),
    questions.some((question) => question.shared),
  ];
}

function balanceColumns(questions: readonly BalanceQuestion[]): unknown[] {
  return [
    questions.map((question) => question.customerId),
    questions.map((question) => question.productId),
    questions.map((question) => question.scope),
  ];
}
