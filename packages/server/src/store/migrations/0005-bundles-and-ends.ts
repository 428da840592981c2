import { type Kysely, sql } from 'kysely';

/**
 * Bundles, their applications, and what lists that go by the end walk. `coalesce(ends_at, 'infinity')` is written in queries
 * exactly as here: what never ends stands last, and the index is walked in the list's own order.
 */
export async function up(database: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) {
    await sql.raw(statement).execute(database);
  }
}

const STATEMENTS: readonly string[] = [
  // A set of grants to be. Its effects are a JSON list of the model's GrantEffect.
  `create table bundle (
    environment_id uuid not null,
    product_id uuid not null,
    key text collate "C" not null,
    id uuid not null,
    name text not null,
    description text,
    kind text collate "C" not null,
    days integer check (days > 0),
    owner text,
    effects text not null,
    version bigint not null,
    created_at timestamptz(3) not null,
    primary key (environment_id, product_id, key)
  )`,

  // One call of "apply": it keeps what the bundle was, whatever becomes of the bundle.
  `create table bundle_application (
    id uuid primary key,
    environment_id uuid not null,
    product_id uuid not null,
    bundle_key text collate "C" not null,
    bundle_version bigint not null,
    target_kind text collate "C" not null
      check (target_kind in ('user', 'instance', 'customer', 'group', 'segment')),
    target_key text collate "C" not null,
    kind text collate "C" not null,
    starts_at timestamptz(3) not null,
    ends_at timestamptz(3),
    reason text not null,
    owner text,
    contract_reference text,
    source text,
    revoked_at timestamptz(3),
    revoke_reason text,
    version bigint not null,
    created_at timestamptz(3) not null,
    check (kind <> 'contract' or contract_reference is not null)
  )`,
  `create index bundle_application_target on bundle_application (environment_id, target_kind, target_key)`,
  `create index bundle_application_end
    on bundle_application (environment_id, (coalesce(ends_at, 'infinity'::timestamptz)), id)`,

  `alter table access_grant add column application_id uuid`,
  `create index access_grant_application on access_grant (application_id) where application_id is not null`,
  `drop index access_grant_end`,
  `create index access_grant_end
    on access_grant (environment_id, (coalesce(ends_at, 'infinity'::timestamptz)), id)`,
  `create index access_grant_kind
    on access_grant (environment_id, kind, (coalesce(ends_at, 'infinity'::timestamptz)), id)`,
  `create index access_grant_contract
    on access_grant (environment_id, contract_reference) where contract_reference is not null`,

  `create index license_end on license (environment_id, ends_at, id) where ends_at is not null`,
  `create index membership_end on membership (environment_id, ends_at, id) where ends_at is not null`,
];
