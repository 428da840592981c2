import { type Kysely, sql } from 'kysely';
import type { Renames } from './erase-traces.js';
import type { Tables } from './tables.js';

/* What was recorded of somebody who is erased: events, the history by the hour, and the values that were counted once. */

/** So many rows are changed in one statement: others record meanwhile. */
const ROWS_AT_ONCE = 5000;

/**
 * Amounts, times and features stay. What says who it was goes: scopes are renamed, dimensions that name somebody say the new name, and
 * events that name somebody lose their attributes and what the sender called them (the key that tells doubles apart stays). With `all`,
 * every event of the customer does, and the hashes of values go. Idempotent; each slice is a transaction of its own.
 */
export async function scrubRecorded(
  database: Kysely<Tables>,
  customerId: string,
  renames: Renames,
  all: boolean,
): Promise<void> {
  await scrubEvents(database, customerId, renames, all);
  for (const [old, name] of renames) {
    await untilNone(() =>
      sql`
        with found as (
          select tableoid, ctid from usage_hour h where h.customer_id = ${customerId}
            and (h.scope = ${old} or position(${JSON.stringify(old)} in h.dimensions) > 0)
          limit ${ROWS_AT_ONCE})
        update usage_hour h set scope = case when h.scope = ${old} then ${name} else h.scope end,
          dimensions = replace(h.dimensions, ${JSON.stringify(old)}, ${JSON.stringify(name)})
        from found where h.tableoid = found.tableoid and h.ctid = found.ctid`.execute(database),
    );
    await sql`update usage_value set scope = ${name} where customer_id = ${customerId} and scope = ${old}`.execute(
      database,
    );
  }
  if (all) {
    await sql`update usage_value set value = gen_random_uuid() where customer_id = ${customerId}`.execute(
      database,
    );
  }
}

async function scrubEvents(
  database: Kysely<Tables>,
  customerId: string,
  renames: Renames,
  all: boolean,
): Promise<void> {
  const from = [...renames.keys()];
  const to = [...renames.values()];
  const quoted = from.map((key) => JSON.stringify(key));
  await untilNone(() =>
    sql`
      with found as (
        select tableoid, ctid from usage_event e
        where e.customer_id = ${customerId} and (
          e.scope = any(${from}::text[])
          or ${all} and (e.attributes is not null or e.source <> '')
          or exists (select from unnest(${quoted}::text[]) as name (text) where position(name.text in e.attributes) > 0)
          or exists (select from unnest(${from}::text[]) as name (text)
            where position(name.text in e.source) > 0 or position(name.text in e.event_id) > 0))
        limit ${ROWS_AT_ONCE})
      update usage_event e set
        scope = coalesce((select named.new from unnest(${from}::text[], ${to}::text[]) as named (old, new)
          where named.old = e.scope), e.scope),
        attributes = null,
        source = '',
        event_id = e.event_key::text
      from found where e.tableoid = found.tableoid and e.ctid = found.ctid`.execute(database),
  );
}

/** Not until the first slice that is short: a row that somebody changes meanwhile is passed over, and found by the next one. */
async function untilNone(slice: () => Promise<{ readonly numAffectedRows?: bigint }>): Promise<void> {
  for (;;) {
    const { numAffectedRows } = await slice();
    if (Number(numAffectedRows ?? 0) === 0) return;
  }
}
