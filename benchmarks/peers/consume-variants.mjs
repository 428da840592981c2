import { createHash, randomUUID } from 'node:crypto';
import { placeOf } from '@pennon/server/store/consumption-place';

/*
 * The usual ways to enforce a limit with one transaction for each request, on Pennon's own tables and with the same promise: exact,
 * replay-safe, and a durable record of every decision. They differ in how often they go to the database and where they wait. Those that
 * keep the history write what Pennon writes; the others leave out the usage by the hour, and do less than Pennon does.
 */
const LIMIT = 1_000_000_000;
const ANSWER = JSON.stringify({ allowed: true, consumed: 1 });

/** By the same index as Pennon's own look-up, and as far back. */
const earlierOf = (key) => `select 1 from consumption c
  where ${placeOf('c.customer_id', 'c.idempotency_key')} = ${placeOf('$1::uuid', key)} and c.customer_id = $1::uuid
    and c.idempotency_key = ${key} and c.operation = 'consume'
    and c.decided_at > now() - interval '35 days' and c.decided_at < now() + interval '1 day'`;

const INSERT = `insert into consumption (customer_id, product_id, environment_id, decided_at, id, item, operation, idempotency_key,
  request_hash, feature, scope, allowed, reason, enforcement, requested, consumed, used_after, reserved_after, limit_at_decision,
  revision, answer, actor)`;

function valuesOf(account) {
  const key = randomUUID();
  return [
    account.customer_id,
    account.product_id,
    account.environment_id,
    randomUUID(),
    key,
    createHash('sha256').update(key).digest(),
    LIMIT,
    ANSWER,
  ];
}

// The usage by the hour, as Pennon's own transaction adds it up.
const HOUR = `, hour as (
  insert into usage_hour as h (customer_id, product_id, feature, scope, hour, dimensions, environment_id, aggregation, amount, events,
    last_at, used_after, limit_after)
  select $1::uuid, $2::uuid, 'units', '', date_trunc('hour', now(), 'UTC'), '', $3::uuid, 'sum', 1, 1, now(), used, $7::bigint from taken
  on conflict (customer_id, product_id, feature, scope, hour, dimensions) do update set amount = h.amount + excluded.amount,
    events = h.events + excluded.events, last_at = greatest(h.last_at, excluded.last_at), used_after = excluded.used_after,
    limit_after = excluded.limit_after
)`;

// One statement: lock, look the key up, decide and record in one round trip.
const oneStatement = (history) => `
with locked as (
  select used, reserved from account where customer_id = $1::uuid and product_id = $2::uuid and feature = 'units' and scope = '' for update
), earlier as (
  ${earlierOf('$5')} and (select used from locked) is not null
), taken as (
  update account a set used = a.used + 1, updated_at = clock_timestamp() from locked
  where a.customer_id = $1::uuid and a.product_id = $2::uuid and a.feature = 'units' and a.scope = ''
    and a.used + a.reserved + 1 <= $7::bigint and not exists (select 1 from earlier)
  returning a.used
)${history}
${INSERT}
select $1::uuid, $2::uuid, $3::uuid, clock_timestamp(), $4::uuid, 0, 'consume', $5, $6::bytea, 'units', '', taken.used is not null,
  'PLAN', 'hard', 1, 1, coalesce(taken.used, locked.used), 0, $7::bigint, 1, $8, 'benchmark'
from locked left join taken on true`;

// The conditional update first, the record second: two statements of one transaction.
const CONDITIONAL = `update account set used = used + 1, updated_at = clock_timestamp()
  where customer_id = $1::uuid and product_id = $2::uuid and feature = 'units' and scope = '' and used + reserved + 1 <= $3::bigint
  returning used`;
const RECORD = `${INSERT} values ($1::uuid, $2::uuid, $3::uuid, clock_timestamp(), $4::uuid, 0, 'consume', $5, $6::bytea, 'units', '', true,
  'PLAN', 'hard', 1, 1, $9::bigint, 0, $7::bigint, 1, $8, 'benchmark')`;
const EARLIER = earlierOf('$2');

async function inTransaction(pool, work) {
  const client = await pool.connect();
  try {
    await client.query('begin');
    await work(client);
    await client.query('commit');
  } finally {
    client.release();
  }
}

const byOneStatement = (name, history) => ({
  keepsHistory: history !== '',
  name,
  prepare: (pool, next) => () => pool.query({ name, text: oneStatement(history), values: valuesOf(next()) }),
});

/** What is measured calls `next` for the account of each request. */
export const variants = [
  byOneStatement('one statement', ''),
  // Each request is still a transaction of its own; only the wait for the answer of the one before is spared.
  { ...byOneStatement('one statement, pipelined', ''), pipeline: true },
  byOneStatement('one statement with history', HOUR),
  { ...byOneStatement('one statement with history, pipelined', HOUR), pipeline: true },
  {
    name: 'conditional update, then record',
    prepare: (pool, next) => () =>
      inTransaction(pool, async (client) => {
        const account = next();
        const values = valuesOf(account);
        const { rows } = await client.query({
          name: 'conditional',
          text: CONDITIONAL,
          values: [account.customer_id, account.product_id, LIMIT],
        });
        await client.query({ name: 'earlier', text: EARLIER, values: [account.customer_id, values[4]] });
        await client.query({ name: 'record', text: RECORD, values: [...values, rows[0].used] });
      }),
  },
  {
    name: 'select for update, then write',
    prepare: (pool, next) => () =>
      inTransaction(pool, async (client) => {
        const account = next();
        const values = valuesOf(account);
        await client.query({
          name: 'lock',
          text: `select used, reserved from account where customer_id = $1::uuid and product_id = $2::uuid and feature = 'units' and scope = '' for update`,
          values: [account.customer_id, account.product_id],
        });
        await client.query({ name: 'earlier', text: EARLIER, values: [account.customer_id, values[4]] });
        const { rows } = await client.query({
          name: 'conditional',
          text: CONDITIONAL,
          values: [account.customer_id, account.product_id, LIMIT],
        });
        await client.query({ name: 'record', text: RECORD, values: [...values, rows[0].used] });
      }),
  },
];
