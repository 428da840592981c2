import type { Feature } from '@pennon/engine/model/catalog';
import type { Instant, LotKind } from '@pennon/engine/model/customer';
import { LIMITS } from '@pennon/engine/model/limits';
import type { ApiTopUp } from '@pennon/protocol/management/top-ups';
import { sql } from 'kysely';
import { fromInstant, fromInstantOrNull } from '../../store/instant.js';
import { newId } from '../new-id.js';
import type { ProductRecord } from '../ports.js';
import { ServiceError } from '../service-error.js';
import type { DataChange } from './data-change.js';
import { type LotNames, type LotRow, lotEntry, toApiTopUp } from './lot-record.js';
import { refuse } from './refusals.js';

/*
 * Lots as management makes and ends them. INVARIANT: under the lock of their account, which every consume and every record takes; before it
 * the customer's, because that is the order of all who take both.
 */

type Target = ApiTopUp['target'];

export interface LotOwner {
  readonly customer: { readonly id: string; readonly key: string };
  readonly target: Target;
}

export interface LotDraft extends LotOwner {
  readonly product: ProductRecord;
  readonly feature: string;
  readonly kind: Exclude<LotKind, 'rollover'>;
  readonly priority: number;
  readonly amount: number;
  readonly startsAt: Instant;
  readonly endsAt: Instant | null;
  readonly source: string | null;
  readonly reason: string;
  readonly grantId: string | null;
}

/** A balance is one account's, so that it is made for exactly whom the feature counts for. */
export function checkCountsFor(
  feature: Feature,
  target: string,
  at: { feature: string; target: string },
): void {
  if (feature.type !== 'metered') {
    throw refuse(
      'unprocessable',
      'TOP_UP_NOT_METERED',
      `\`${feature.key}\` is a ${feature.type} feature, and nothing of it is used up. Top up a metered one, or grant it.`,
      at.feature,
    );
  }
  const per = feature.per ?? 'customer';
  if (per === target) return;
  throw refuse(
    'unprocessable',
    'TOP_UP_NOT_OF_ACCOUNT',
    `The usage of \`${feature.key}\` is counted per ${per}, so a balance of it is for one ${per} and not for a ${target}.`,
    at.target,
    per,
  );
}

/**
 * What is used up stays open only so that a release can refill it. Where there are as many lots as may be, the oldest of those are closed:
 * whoever buys again and again is never refused.
 */
async function makeRoom(change: DataChange, draft: LotDraft, scope: string): Promise<void> {
  const { transaction, now } = change;
  const { customer, product, feature } = draft;
  const most = LIMITS.lotsPerAccount.value;
  await lockAccount(change, { customerId: customer.id, productId: product.id, feature, scope });
  const open = await transaction
    .selectFrom('credit_lot')
    .select(['id', 'remaining'])
    .where('customer_id', '=', customer.id)
    .where('product_id', '=', product.id)
    .where('feature', '=', feature)
    .where('scope', '=', scope)
    .where('closed_at', 'is', null)
    .where((where) => where.or([where('ends_at', 'is', null), where('ends_at', '>', fromInstant(now))]))
    .orderBy('created_at')
    .orderBy('id')
    .execute();
  const tooMany = open.length + 1 - most;
  if (tooMany <= 0) return;
  const usedUp = open.filter(({ remaining }) => remaining === 0).slice(0, tooMany);
  if (usedUp.length < tooMany) {
    const left = open.filter(({ remaining }) => remaining > 0).length;
    throw new ServiceError(
      'unprocessable',
      'TOO_MANY_TOP_UPS',
      `The customer \`${customer.key}\` has ${left} balances of \`${feature}\` that are not used up, and at most ${most} are allowed. Void some, or make fewer that are larger.`,
    );
  }
  await transaction
    .updateTable('credit_lot')
    .set({ closed_at: fromInstant(now) })
    .where('customer_id', '=', customer.id)
    .where(
      'id',
      'in',
      usedUp.map(({ id }) => id),
    )
    .execute();
}

interface AccountName {
  readonly customerId: string;
  readonly productId: string;
  readonly feature: string;
  readonly scope: string;
}

async function lockAccount({ transaction }: DataChange, account: AccountName): Promise<void> {
  await transaction
    .selectFrom('account')
    .select('customer_id')
    .where('customer_id', '=', account.customerId)
    .where('product_id', '=', account.productId)
    .where('feature', '=', account.feature)
    .where('scope', '=', account.scope)
    .forUpdate()
    .execute();
}

/** The scope under which the account counts. */
function scopeOf({ kind, key }: Target): string {
  return kind === 'customer' ? '' : key;
}

export async function makeLot(change: DataChange, draft: LotDraft): Promise<ApiTopUp> {
  const { transaction, environmentId, now } = change;
  const { customer, product, feature, target } = draft;
  const scope = scopeOf(target);
  await makeRoom(change, draft, scope);
  const row = await transaction
    .insertInto('credit_lot')
    .values({
      customer_id: customer.id,
      id: newId(),
      environment_id: environmentId,
      product_id: product.id,
      feature,
      scope,
      kind: draft.kind,
      priority: draft.priority,
      amount: draft.amount,
      remaining: draft.amount,
      starts_at: fromInstant(draft.startsAt),
      ends_at: fromInstantOrNull(draft.endsAt),
      source: draft.source,
      reason: draft.reason,
      grant_id: draft.grantId,
      voided_at: null,
      void_reason: null,
      closed_at: null,
      version: 1,
      created_at: fromInstant(now),
    })
    .returningAll()
    .executeTakeFirstOrThrow();
  await sql`
    insert into account (customer_id, product_id, feature, scope, environment_id, used, reserved, has_lots, updated_at)
    values (${customer.id}, ${product.id}, ${feature}, ${scope}, ${environmentId}, 0, 0, true, ${fromInstant(now)})
    on conflict (customer_id, product_id, scope, feature) do update set has_lots = true`.execute(transaction);
  const item = toApiTopUp(row, namesOf(draft), now);
  await change.record(lotEntry(row, item, 'top-up.create'));
  return item;
}

function namesOf({ customer, product, target }: LotDraft): LotNames {
  return { customer: customer.key, product: product.key, target };
}

/** The lot as it stands once nobody else writes it. */
export async function lockLot(change: DataChange, lot: LotRow): Promise<LotRow> {
  const { transaction } = change;
  const { customer_id: customerId, product_id: productId, feature, scope } = lot;
  await lockAccount(change, { customerId, productId, feature, scope });
  return transaction
    .selectFrom('credit_lot')
    .selectAll()
    .where('customer_id', '=', lot.customer_id)
    .where('id', '=', lot.id)
    .executeTakeFirstOrThrow();
}

/** What is left of it can be used no more; what was used stays used. @param row as `lockLot` answered it. */
export async function voidLot(
  change: DataChange,
  row: LotRow,
  names: LotNames,
  reason: string,
): Promise<ApiTopUp> {
  const now = fromInstant(change.now);
  const saved = await change.transaction
    .updateTable('credit_lot')
    .set({ voided_at: now, closed_at: now, void_reason: reason, version: row.version + 1 })
    .where('customer_id', '=', row.customer_id)
    .where('id', '=', row.id)
    .returningAll()
    .executeTakeFirstOrThrow();
  const item = toApiTopUp(saved, names, change.now);
  await change.record(lotEntry(saved, item, 'top-up.void'));
  return item;
}
