import type { CustomerImport, TopUpLine } from '@pennon/protocol/management/customer-files';
import { type Kysely, sql } from 'kysely';
import { toInstantOrNull } from '../../store/instant.js';
import type { Tables } from '../../store/tables.js';
import type { Credential } from '../credential.js';
import { environmentInReach } from '../scope.js';
import { toTime, toTimeOrNull } from '../times.js';
import type { CustomerRow } from './customer-record.js';
import type { ContractServices } from './data-change.js';
import type { InstanceRow } from './instance-record.js';
import type { LotRow } from './lot-record.js';
import type { UserRow } from './user-record.js';

const CUSTOMERS_AT_ONCE = 200;
/** Of one customer in one line; who has more goes on in the next line, with the same key. */
const MEMBERS_PER_LINE = 50;

/**
 * Every customer of an environment as an import takes it, in the order of keys, archived ones too, erased ones not. Read in
 * slices as the caller takes them, each of its own instant, so that neither side holds more than a few hundred.
 */
export async function* exportCustomers(
  services: ContractServices,
  credential: Credential,
  named: { readonly environment: string },
): AsyncGenerator<readonly CustomerImport[]> {
  const environment = environmentInReach(services.directory, credential, named.environment);
  const { database } = services;
  let after: string | null = null;
  for (;;) {
    let select = database
      .selectFrom('customer')
      .selectAll()
      .where('environment_id', '=', environment.id)
      .where('erased_at', 'is', null)
      .orderBy('key')
      .limit(CUSTOMERS_AT_ONCE);
    if (after !== null) select = select.where('key', '>', after);
    const rows: readonly CustomerRow[] = await select.execute();
    const last = rows.at(-1);
    if (last === undefined) return;
    after = last.key;
    yield* linesOf(database, rows, { products: services.directory, productId: credential.productId });
  }
}

async function* linesOf(
  database: Kysely<Tables>,
  rows: readonly CustomerRow[],
  reach: Reach,
): AsyncGenerator<readonly CustomerImport[]> {
  const ids = rows.map(({ id }) => id);
  const users = await firstMembers<UserRow>(database, 'customer_user', ids);
  const instances = await firstMembers<InstanceRow>(database, 'instance', ids);
  const lots = await openLots(database, ids, reach);
  let lines: CustomerImport[] = [];
  for (const row of rows) {
    const own = users.get(row.id) ?? [];
    const deployed = instances.get(row.id) ?? [];
    const topUps = lots.get(row.id) ?? [];
    lines.push({
      ...toLine(row),
      users: own.map(toUserLine),
      instances: deployed.map(toInstanceLine),
      ...(topUps.length === 0 ? {} : { topUps: topUps.slice(0, MEMBERS_PER_LINE) }),
    });
    for (let from = MEMBERS_PER_LINE; from < topUps.length; from += MEMBERS_PER_LINE) {
      lines.push({ key: row.key, topUps: topUps.slice(from, from + MEMBERS_PER_LINE) });
    }
    if (own.length < MEMBERS_PER_LINE && deployed.length < MEMBERS_PER_LINE) continue;
    yield lines;
    lines = [];
    for await (const more of moreMembers<UserRow>(database, 'customer_user', row.id, own)) {
      yield [{ key: row.key, users: more.map(toUserLine) }];
    }
    for await (const more of moreMembers<InstanceRow>(database, 'instance', row.id, deployed)) {
      yield [{ key: row.key, instances: more.map(toInstanceLine) }];
    }
  }
  if (lines.length > 0) yield lines;
}

interface Reach {
  readonly products: ContractServices['directory'];
  /** `null`: every product. */
  readonly productId: string | null;
}

/**
 * Balances that are not over, by customer, the oldest first. Those that a grant made come and go with it, and are no part of a file. INVARIANT
 * (law 11): of products beyond the credential's reach none.
 */
async function openLots(
  database: Kysely<Tables>,
  ids: readonly string[],
  { products, productId }: Reach,
): Promise<ReadonlyMap<string, readonly TopUpLine[]>> {
  const { rows } = await sql<LotRow>`
    select l.* from unnest(${ids}::uuid[]) as c (id) cross join lateral (
      select * from credit_lot where customer_id = c.id and closed_at is null and grant_id is null
        and (ends_at is null or ends_at > now()) order by id offset 0) l`.execute(database);
  const lots = new Map<string, TopUpLine[]>();
  for (const row of rows) {
    const product = products.product(row.product_id);
    if (product === null || (productId !== null && productId !== product.id)) continue;
    const line = toTopUpLine(row, product.key);
    const list = lots.get(row.customer_id);
    if (list === undefined) lots.set(row.customer_id, [line]);
    else list.push(line);
  }
  return lots;
}

function toTopUpLine(row: LotRow, product: string): TopUpLine {
  const { id, feature, scope, kind, priority, amount, remaining, source, reason } = row;
  return {
    ...{ id, product, feature, ...(scope === '' ? {} : { scope }), kind, priority, amount, remaining },
    startsAt: toTime(row.starts_at.getTime()),
    endsAt: toTimeOrNull(toInstantOrNull(row.ends_at)),
    ...{ source, reason },
    createdAt: toTime(row.created_at.getTime()),
  };
}

type MemberTable = 'customer_user' | 'instance';

async function firstMembers<Row extends { readonly customer_id: string }>(
  database: Kysely<Tables>,
  table: MemberTable,
  ids: readonly string[],
): Promise<ReadonlyMap<string, readonly Row[]>> {
  const { rows } = await sql<Row>`
    select m.* from unnest(${ids}::uuid[]) as c (id) cross join lateral (
      select * from ${sql.table(table)} where customer_id = c.id order by key limit ${MEMBERS_PER_LINE}) m`.execute(
    database,
  );
  const members = new Map<string, Row[]>();
  for (const row of rows) {
    const list = members.get(row.customer_id);
    if (list === undefined) members.set(row.customer_id, [row]);
    else list.push(row);
  }
  return members;
}

async function* moreMembers<Row extends { readonly key: string }>(
  database: Kysely<Tables>,
  table: MemberTable,
  customerId: string,
  first: readonly Row[],
): AsyncGenerator<readonly Row[]> {
  let last = first.length < MEMBERS_PER_LINE ? undefined : first.at(-1);
  while (last !== undefined) {
    const { rows } = await sql<Row>`
      select * from ${sql.table(table)} where customer_id = ${customerId} and key > ${last.key}
      order by key limit ${MEMBERS_PER_LINE}`.execute(database);
    if (rows.length > 0) yield rows;
    last = rows.length < MEMBERS_PER_LINE ? undefined : rows.at(-1);
  }
}

function toLine(row: CustomerRow): CustomerImport {
  return {
    key: row.key,
    externalId: row.external_id,
    name: row.name,
    email: row.email,
    timeZone: row.time_zone,
    attributes: row.attributes,
    archived: row.archived_at !== null,
    createdAt: toTime(row.created_at.getTime()),
  };
}

function toUserLine({ key, name, email, attributes }: UserRow) {
  return { key, name, email, attributes };
}

function toInstanceLine({ key, name, metadata }: InstanceRow) {
  return { key, name, metadata };
}
