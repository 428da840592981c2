import { randomUUID } from 'node:crypto';
import type { CaseSpan, HttpCase } from './conformance-case.js';
import type { TestServer } from './test-server.js';

/* What a case says to exist, as rows of the store: creation times, anchors and balances cannot be chosen over REST. */

const BEGINNING = '2026-01-31T10:00:00Z';
const TABLES = [
  'customer',
  'customer_user',
  'instance',
  'license',
  'membership',
  'access_grant',
  'account',
  'consumption',
  'reservation',
  'usage_holder',
  'credit_lot',
];

/** Ids of the store are UUIDs: the case's own are mapped in their order, and back in answers. */
export interface Names {
  back(text: string): string;
}

/** Puts what the case says to exist into the store, and nothing else. */
export async function arrange(server: TestServer, one: HttpCase): Promise<Names> {
  const { pool } = server.parts.database;
  await pool.query(TABLES.map((table) => `delete from ${table}`).join(';'));
  const environment = server.parts.directory.environment(one.environment ?? 'production')?.id;
  const product = server.parts.directory.product(server.product)?.id;
  const ids = new Map<string, string>();
  const idOf = (name: string): string => {
    const hex = ids.size.toString(16).padStart(12, '0');
    const id = ids.get(name) ?? `00000000-0000-7000-8000-${hex}`;
    ids.set(name, id);
    return id;
  };
  if (one.customer !== undefined) {
    const grantNames = (one.customer.grants ?? []).map((grant, index) => grant.id ?? `grant-${index + 1}`);
    for (const name of [...grantNames].sort()) idOf(name);
    await insertCustomer(pool.query.bind(pool), one.customer, { environment, product, idOf });
  }
  forgetEverything(server.parts.customers);
  return {
    back(text) {
      let result = text;
      for (const [name, id] of ids) result = result.replaceAll(id, name);
      return result;
    },
  };
}

function forgetEverything(customers: object): void {
  if (!('onReset' in customers) || typeof customers.onReset !== 'function') {
    throw new Error('The memory of customers cannot be emptied.');
  }
  customers.onReset();
}

type Query = (text: string, values: unknown[]) => Promise<unknown>;

interface Place {
  readonly environment: string | undefined;
  readonly product: string | undefined;
  readonly idOf: (name: string) => string;
}

async function insertCustomer(
  query: Query,
  customer: NonNullable<HttpCase['customer']>,
  place: Place,
): Promise<void> {
  const { environment, product, idOf } = place;
  const id = randomUUID();
  const span = (one: CaseSpan) => [one.startsAt ?? BEGINNING, one.endsAt ?? null];
  if (customer.registered !== false) {
    await query(
      `insert into customer (id, environment_id, key, time_zone, attributes, version, created_at) values ($1, $2, $3, $4, $5, 1, $6)`,
      [
        id,
        environment,
        customer.key,
        customer.timeZone ?? null,
        JSON.stringify(customer.attributes ?? {}),
        customer.createdAt ?? BEGINNING,
      ],
    );
  }
  for (const user of customer.users ?? []) {
    await query(
      `insert into customer_user (customer_id, key, environment_id, attributes, version, created_at) values ($1, $2, $3, '{}', 1, now())`,
      [id, user, environment],
    );
  }
  for (const instance of customer.instances ?? []) {
    await query(
      `insert into instance (customer_id, id, environment_id, key, metadata, version, created_at) values ($1, $2, $3, $4, $5, 1, now())`,
      [id, randomUUID(), environment, instance.key, JSON.stringify(instance.metadata ?? {})],
    );
  }
  for (const [index, license] of (customer.licenses ?? []).entries()) {
    await query(
      `insert into license (customer_id, id, environment_id, product_id, plan_key, plan_version, quantity, kind, status, starts_at,
         ends_at, grace_ends_at, anchor, sku, addons, earlier_plans, next_plan_key, next_plan_version, next_plan_at, next_anchor,
         version, created_at)
       values ($1, $2, $3, $4, $5, $6, 1, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, 1, now())`,
      [
        id,
        idOf(license.id ?? `license-${index + 1}`),
        environment,
        product,
        license.plan,
        license.version,
        license.kind ?? 'paid',
        license.status ?? 'active',
        ...span(license),
        license.graceEndsAt ?? null,
        anchorOf(license),
        license.sku ?? null,
        JSON.stringify(license.addons ?? []),
        JSON.stringify((license.earlier ?? []).map(toEarlierPlan)),
        license.next?.plan ?? null,
        license.next?.version ?? null,
        license.next?.at ?? null,
        license.next?.anchor ?? null,
      ],
    );
  }
  const memberships = [
    ...(customer.groups ?? []).map((one) => ({
      ...one,
      container: ['group', one.group],
      member: { kind: 'customer', key: customer.key },
    })),
    ...(customer.memberships ?? []).map((one) => ({ ...one, container: ['segment', one.segment] })),
  ];
  for (const one of memberships) {
    await query(
      `insert into membership (environment_id, member_kind, member_key, product_id, container_kind, container_key, id, starts_at,
         ends_at, reason, version, created_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'A test.', 1, now())`,
      [environment, one.member.kind, one.member.key, product, ...one.container, randomUUID(), ...span(one)],
    );
  }
  for (const [index, grant] of (customer.grants ?? []).entries()) {
    await query(
      `insert into access_grant (id, environment_id, product_id, target_kind, target_key, kind, effect, starts_at, ends_at, reason,
         version, created_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'A test.', 1, now())`,
      [
        idOf(grant.id ?? `grant-${index + 1}`),
        environment,
        product,
        grant.target.kind,
        grant.target.key,
        grant.kind ?? 'demo',
        JSON.stringify(grant.effect),
        ...span(grant),
      ],
    );
  }
  for (const usage of customer.usage ?? []) {
    await query(
      `insert into account (customer_id, product_id, feature, scope, environment_id, period_start, used, reserved, next_hold_end,
         updated_at)
       values ($1, $2, $3, $4, $5, $6, $7, $8::bigint, case when $8::bigint > 0 then now() + interval '1 day' end, now())`,
      [
        id,
        product,
        usage.feature,
        usage.scope ?? '',
        environment,
        usage.periodStart ?? null,
        usage.used,
        usage.reserved ?? 0,
      ],
    );
  }
}

function anchorOf({ startsAt = BEGINNING }: CaseSpan): string {
  return `${startsAt.replace('Z', '')}[UTC]`;
}

/** As the store keeps them: instants in milliseconds. */
function toEarlierPlan(earlier: { readonly plan: string; readonly version: number; readonly until: string }) {
  return { plan: earlier.plan, planVersion: earlier.version, until: Date.parse(earlier.until) };
}
