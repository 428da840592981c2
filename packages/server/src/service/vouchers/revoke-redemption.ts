import type { JsonObject } from '@pennon/engine/model/json';
import { LIMITS } from '@pennon/engine/model/limits';
import type { ApiRedemption, ApiVoucherRevoked } from '@pennon/protocol/management/vouchers';
import { fromInstant } from '../../store/instant.js';
import { type Changed, changeData, type DataChange } from '../contracts/data-change.js';
import { type GrantServices, updateGrants } from '../contracts/make-grants.js';
import { touchTarget } from '../contracts/touch-target.js';
import { type ChangeContext, type Credential, withoutCall } from '../credential.js';
import type { ProductRecord } from '../ports.js';
import { checkPrecondition, type Precondition } from '../precondition.js';
import { environmentInReach, productInReach } from '../scope.js';
import { ServiceError } from '../service-error.js';
import { findVoucher, type VoucherName } from './find-voucher.js';
import { keepSpent } from './keep-spent.js';
import { findRedemption, type RedemptionName } from './list-redemptions.js';
import { archiveVoucher, getVoucher } from './manage-vouchers.js';
import { givenGrants, type RedemptionRow, toApiRedemption, toApiVoucher } from './voucher-record.js';

/**
 * Takes back what a redemption gave and was not used: its grants end at once. What was used out of them stays counted and stays
 * covered, so that nobody is over a limit because of it. It still counts as a redemption.
 */
export async function revokeRedemption(
  services: GrantServices,
  credential: Credential,
  context: ChangeContext,
  name: RedemptionName,
  precondition: Precondition,
): Promise<Changed<ApiRedemption>> {
  const environment = environmentInReach(services.directory, credential, name.environment);
  return changeData(services, context, environment.id, async (change) => {
    const { names } = await findRedemption(change.transaction, credential, environment, name.redemption);
    // The customer first, as every change of it: a consume of the customer waits, and what it used before is seen.
    const customer = await change.lockCustomer(names.customer);
    const { row } = await findRedemption(change.transaction, credential, environment, name.redemption);
    if (precondition.kind !== 'none') {
      const current = { tag: String(row.version), item: toApiRedemption(row, names) };
      checkPrecondition(precondition, current, `The redemption \`${row.id}\``);
    }
    if (row.revoked_at !== null) throw alreadyRevoked(row);
    const product = productInReach(services.directory, credential, row.product_id);
    const kept = await keepSpent(services, change, {
      row,
      customerKey: names.customer,
      version: customer?.version ?? null,
      product,
      snapshot: services.snapshots.current(product.id, environment.id),
      source: `voucher:${names.voucher}/${row.id}`,
    });
    await endGrants(services, change, row, product, context.reason);
    const saved = await change.transaction
      .updateTable('voucher_redemption')
      .set({
        revoked_at: fromInstant(change.now),
        revoke_reason: context.reason,
        kept: JSON.stringify(kept),
        version: row.version + 1,
      })
      .where('customer_id', '=', row.customer_id)
      .where('id', '=', row.id)
      .returningAll()
      .executeTakeFirstOrThrow();
    await touchTarget(change, { kind: row.target_kind, key: row.target_key });
    const item = toApiRedemption(saved, names);
    await change.record({
      action: 'voucher.revoke-redemption',
      productId: product.id,
      objectKind: 'redemption',
      objectId: row.id,
      objectVersion: saved.version,
      after: auditedRevocation(item),
    });
    return { item, created: false };
  });
}

/** A scope may be a user's key, which no byte of the trail may hold; the grant that it was kept by names whose it is. */
function auditedRevocation(item: ApiRedemption): JsonObject {
  const kept = item.kept.map(({ feature, amount, until, grant }) => ({ feature, amount, until, grant }));
  return { ...item, kept } as unknown as JsonObject;
}

function alreadyRevoked(row: RedemptionRow): ServiceError {
  return new ServiceError(
    'conflict',
    'REDEMPTION_REVOKED',
    `The redemption \`${row.id}\` was revoked at ${row.revoked_at?.toISOString() ?? ''} and stays so.`,
  );
}

/** Those that were taken back one by one before are left as they are. */
async function endGrants(
  services: GrantServices,
  change: DataChange,
  row: RedemptionRow,
  product: ProductRecord,
  reason: string,
): Promise<void> {
  const ids = givenGrants(row).map(({ id }) => id);
  const held = await change.transaction
    .selectFrom('access_grant')
    .selectAll()
    .where('id', 'in', ids)
    .where('environment_id', '=', change.environmentId)
    .where('revoked_at', 'is', null)
    .forUpdate()
    .execute();
  const columns = { revoked_at: fromInstant(change.now), revoke_reason: reason };
  await updateGrants(services, change, held, product, columns, 'grant.revoke');
}

/**
 * Takes a whole voucher back: nobody redeems it any more, and its redemptions are revoked one after the other, each in a transaction of
 * its own. So many in one call; whoever calls again goes on where it stopped. What is expected of the voucher is checked where it is
 * archived; a voucher that is archived already has the version that the first call gave it.
 */
export async function revokeVoucher(
  services: GrantServices,
  credential: Credential,
  context: ChangeContext,
  named: VoucherName,
  precondition: Precondition,
): Promise<ApiVoucherRevoked> {
  const { directory, database, clock } = services;
  const environment = environmentInReach(directory, credential, named.environment);
  const { row, product } = await findVoucher(database, directory, credential, environment, named.voucher);
  const name = { environment: environment.id, voucher: row.id };
  // Many transactions, so that what is remembered of the call is its answer and not the first of them.
  const part = withoutCall(context);
  if (row.state !== 'archived') {
    await archiveVoucher(services, credential, part, name, precondition);
  } else if (precondition.kind !== 'none') {
    // It changes no more, so that reading it is enough.
    const current = { tag: String(row.version), item: toApiVoucher(row, product.key, clock.now()) };
    checkPrecondition(precondition, current, `The voucher \`${row.key}\``);
  }
  // Counted after no more can come.
  const open = database
    .selectFrom('voucher_redemption')
    .where('voucher_id', '=', row.id)
    .where('revoked_at', 'is', null);
  const found = await open.select('id').orderBy('id').limit(LIMITS.redemptionsRevokedAtOnce.value).execute();
  let revoked = 0;
  for (const { id } of found) {
    if (await revokeOne(services, credential, part, { environment: environment.id, redemption: id }))
      revoked += 1;
  }
  const { count } = await open
    .select((expression) => expression.fn.countAll<number>().as('count'))
    .executeTakeFirstOrThrow();
  return { voucher: await getVoucher(services, credential, name), revoked, remaining: count };
}

/** False where somebody else was faster. */
async function revokeOne(
  services: GrantServices,
  credential: Credential,
  context: ChangeContext,
  name: RedemptionName,
): Promise<boolean> {
  try {
    await revokeRedemption(services, credential, context, name, { kind: 'none' });
    return true;
  } catch (error) {
    if (error instanceof ServiceError && error.code === 'REDEMPTION_REVOKED') return false;
    throw error;
  }
}
