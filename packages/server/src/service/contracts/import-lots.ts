import type { Feature } from '@pennon/engine/model/catalog';
import { LIMITS } from '@pennon/engine/model/limits';
import type { CustomerImport, TopUpLine } from '@pennon/protocol/management/customer-files';
import { sql } from 'kysely';
import { fromInstant, fromInstantOrNull } from '../../store/instant.js';
import type { Credential } from '../credential.js';
import type { EnvironmentRecord, ProductRecord } from '../ports.js';
import { ServiceError } from '../service-error.js';
import { fromTime } from '../times.js';
import type { ContractServices, DataChange } from './data-change.js';
import type { Known } from './import-known.js';
import type { ImportPlan } from './import-plan.js';
import { type LotRow, lotEntry, toApiTopUp } from './lot-record.js';
import { checkCountsFor } from './make-lots.js';
import { productNamed } from './named-product.js';
import { PublishedItems } from './published-items.js';
import { checkSpan, refuse, unknownName } from './refusals.js';

/* Balances in lines of a file. Which one it is, its id says: one that is there stays, because its use has gone on since. */

export interface LotImport {
  /** Reads, under the customers' locks, all that the lines of a batch are judged by. */
  read(lines: readonly CustomerImport[], known: Known): Promise<void>;
  /** Those of a line that are not there yet, and not over; throws a ServiceError for what cannot be one. */
  newOf(customerId: string, line: CustomerImport): readonly LotRow[];
  write(plans: readonly ImportPlan[]): Promise<void>;
}

interface Catalog {
  readonly product: ProductRecord;
  readonly features: ReadonlyMap<string, Feature>;
}

export function createLotImport(
  services: ContractServices,
  credential: Credential,
  environment: EnvironmentRecord,
  change: DataChange,
): LotImport {
  const catalogs = new Map<string, Catalog | ServiceError>();
  const there = new Set<string>();
  const counts = new Map<string, number>();
  /** Whose each new one is, by its id: a scope alone does not say. */
  const targets = new Map<string, 'customer' | 'instance' | 'user'>();

  async function catalogOf(named: string): Promise<Catalog | ServiceError> {
    try {
      const product = productNamed(services.directory, credential, named);
      const items = await PublishedItems.open(change.transaction, product, environment);
      return { product, features: await items.all('feature') };
    } catch (error) {
      if (error instanceof ServiceError) return error;
      throw error;
    }
  }

  async function read(lines: readonly CustomerImport[], known: Known): Promise<void> {
    const named = lines.flatMap(({ topUps }) => topUps ?? []);
    if (named.length === 0) return;
    for (const { product } of named) {
      if (!catalogs.has(product)) catalogs.set(product, await catalogOf(product));
    }
    const ids = [...known.customers.values()].map(({ id }) => id);
    if (ids.length === 0) return;
    const rows = await change.transaction
      .selectFrom('credit_lot')
      .select(['customer_id', 'id', 'product_id', 'feature', 'scope', 'closed_at'])
      .where('customer_id', 'in', ids)
      .execute();
    for (const row of rows) {
      there.add(`${row.customer_id}/${row.id}`);
      if (row.closed_at === null) count(row);
    }
  }

  function count(lot: Pick<LotRow, 'customer_id' | 'product_id' | 'feature' | 'scope'>): number {
    const name = JSON.stringify([lot.customer_id, lot.product_id, lot.feature, lot.scope]);
    const next = (counts.get(name) ?? 0) + 1;
    counts.set(name, next);
    return next;
  }

  function newOf(customerId: string, { key, topUps = [] }: CustomerImport): readonly LotRow[] {
    return topUps.flatMap((line, index) => {
      const pointer = `/topUps/${index}`;
      const row = rowOf(customerId, line, pointer);
      const name = `${customerId}/${line.id}`;
      if (there.has(name) || (row.ends_at !== null && row.ends_at.getTime() <= change.now)) return [];
      if (count(row) > LIMITS.lotsPerAccount.value) {
        const message = `The customer \`${key}\` would have more than ${LIMITS.lotsPerAccount.value} balances of \`${line.feature}\` that are not over. Leave some out.`;
        throw refuse('unprocessable', 'TOO_MANY_TOP_UPS', message, pointer);
      }
      there.add(name);
      return [row];
    });
  }

  function rowOf(customerId: string, line: TopUpLine, pointer: string): LotRow {
    const catalog = catalogs.get(line.product);
    if (catalog === undefined || catalog instanceof ServiceError) {
      throw catalog ?? refuse('invalid', 'PRODUCT_MISSING', 'Name the `product`.', `${pointer}/product`);
    }
    const { product, features } = catalog;
    const feature = features.get(line.feature);
    if (feature === undefined) {
      throw unknownName('FEATURE_UNKNOWN', 'feature', line.feature, features.keys(), `${pointer}/feature`);
    }
    const { scope = '', amount, remaining, kind, priority, source, reason } = line;
    const per = feature.per ?? 'customer';
    const target = scope === '' ? 'customer' : per === 'customer' ? 'user' : per;
    targets.set(line.id, target);
    checkCountsFor(feature, target, { feature: `${pointer}/feature`, target: `${pointer}/scope` });
    if (remaining > amount) {
      const message = `\`remaining\` is ${remaining}, more than \`amount\` (${amount}).`;
      throw refuse('unprocessable', 'REMAINING_ABOVE_AMOUNT', message, `${pointer}/remaining`);
    }
    const startsAt = fromTime(line.startsAt, `${pointer}/startsAt`);
    const endsAt = line.endsAt === null ? null : fromTime(line.endsAt, `${pointer}/endsAt`);
    checkSpan(startsAt, endsAt);
    return {
      customer_id: customerId,
      id: line.id,
      environment_id: environment.id,
      product_id: product.id,
      feature: feature.key,
      ...{ scope, kind, priority, amount, remaining, source, reason },
      starts_at: fromInstant(startsAt),
      ends_at: fromInstantOrNull(endsAt),
      grant_id: null,
      voided_at: null,
      void_reason: null,
      closed_at: null,
      version: 1,
      created_at: fromInstant(fromTime(line.createdAt, `${pointer}/createdAt`)),
    };
  }

  async function write(plans: readonly ImportPlan[]): Promise<void> {
    const rows = plans.flatMap(({ customer, topUps }) =>
      topUps.map((row) => ({ row, customer: customer.key })),
    );
    if (rows.length === 0) return;
    await change.transaction
      .insertInto('credit_lot')
      .values(rows.map(({ row }) => row))
      .execute();
    const accounts = new Map(
      rows.map(({ row }) => [JSON.stringify([row.customer_id, row.product_id, row.feature, row.scope]), row]),
    );
    // In the order of all writers of accounts.
    const inOrder = [...accounts.entries()].sort(([left], [right]) => (left < right ? -1 : 1));
    for (const [, row] of inOrder) {
      await sql`
        insert into account (customer_id, product_id, feature, scope, environment_id, used, reserved, has_lots, updated_at)
        values (${row.customer_id}, ${row.product_id}, ${row.feature}, ${row.scope}, ${row.environment_id}, 0, 0, true,
          ${fromInstant(change.now)})
        on conflict (customer_id, product_id, scope, feature) do update set has_lots = true`.execute(
        change.transaction,
      );
    }
    await change.recordAll(
      rows.map(({ row, customer }) => {
        const product = services.directory.product(row.product_id)?.key ?? row.product_id;
        const kind = targets.get(row.id) ?? 'customer';
        const target = { kind, key: kind === 'customer' ? customer : row.scope };
        return lotEntry(row, toApiTopUp(row, { customer, product, target }, change.now), 'top-up.create');
      }),
    );
  }

  return { read, newOf, write };
}
