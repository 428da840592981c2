import { canonicalJson } from '@pennon/engine/catalog/canonical-json';
import type { JsonObject } from '@pennon/engine/model/json';
import type pg from 'pg';

/** What came of a life, under names that are the same for both who lived it. */
export interface Outcome {
  /** What is known of each subscription: its newest state and its schedule. */
  readonly known: readonly string[];
  /** Every license that is not over, by all of its terms. */
  readonly licenses: readonly string[];
  readonly problems: readonly string[];
}

const LICENSES = `
  select b.subscription, b.slot, l.plan_key, l.plan_version, l.quantity, l.kind, l.status, l.starts_at, l.ends_at,
    l.grace_ends_at, l.anchor, l.addons, l.next_plan_key, l.next_plan_version, l.next_plan_at
  from license l
  join customer c on c.id = l.customer_id
  left join billing_license b on b.customer_id = l.customer_id and b.license_id = l.id
  where c.key = $1 and l.status <> 'ended'`;

/**
 * Left out is what tells of the way and not of the end: ids, versions, when something was written, licenses that are over, plans that
 * a license was to before, and (where events were lost) at which other instants a status was seen.
 */
export async function readOutcome(tables: pg.Pool, key: string, prefix: string): Promise<Outcome> {
  const bare = (text: string) => text.replaceAll(key, '').replaceAll(prefix, '');
  const subscriptions = await tables.query<{ subscription: string; record: string }>(
    'select subscription, record from billing_subscription where customer = $1',
    [`${prefix}_cus`],
  );
  const licenses = await tables.query<JsonObject>(LICENSES, [key]);
  const problems = await tables.query<JsonObject>(
    `select subscription, code, product, name, item, is_held from billing_problem where subscription like $1`,
    [`${prefix}\\_sub\\_%`],
  );
  return {
    known: subscriptions.rows
      .map(({ subscription, record }) => {
        const { latest, schedule } = JSON.parse(record) as JsonObject;
        return bare(canonicalJson({ subscription, latest: latest ?? null, schedule: schedule ?? null }));
      })
      .sort(),
    licenses: licenses.rows.map((row) => bare(canonicalJson(JSON.parse(JSON.stringify(row))))).sort(),
    problems: problems.rows.map((row) => bare(canonicalJson(JSON.parse(JSON.stringify(row))))).sort(),
  };
}
