import type { JsonObject } from '@pennon/engine/model/json';
import type { ApiRedemption } from '@pennon/protocol/management/vouchers';
import { fromInstant, fromInstantOrNull } from '../../store/instant.js';
import { registerInChange } from '../contracts/customers.js';
import type { DataChange } from '../contracts/data-change.js';
import { type GrantServices, makeGrants } from '../contracts/make-grants.js';
import { touchTarget } from '../contracts/touch-target.js';
import { newId } from '../new-id.js';
import {
  CODE_USED,
  CODE_WITHDRAWN,
  EXHAUSTED,
  type ReadyRedemption,
  refuseState,
} from './decide-redemption.js';
import type { RedemptionAsk } from './redemption-ask.js';
import { type GivenGrant, type RedemptionRow, toApiRedemption } from './voucher-record.js';
import { toServiceError } from './voucher-refusal.js';

/**
 * Redeems: the counts, the grants, the redemption and the audit entries, in the change's own transaction. INVARIANT (K-8): counting
 * is one conditional update, so that of any number of redeemers of the last one exactly one gets it, over all processes; whoever comes
 * too late is refused, and nothing of it remains.
 */
export async function applyRedemption(
  services: GrantServices,
  change: DataChange,
  ask: RedemptionAsk,
  ready: ReadyRedemption,
): Promise<ApiRedemption> {
  const { voucher, code, product, target } = ready;
  const customer = ready.customer ?? (await registerInChange(change, ask.customerKey));
  await countCode(change, ready);
  await countVoucher(change, ready);
  const id = newId();
  const made = await makeGrants(
    services,
    change,
    product,
    ready.effects.map((effect) => ({
      kind: 'voucher',
      target,
      effect,
      startsAt: change.now,
      endsAt: ready.endsAt,
      contractReference: voucher.contract_reference,
      reason: `The voucher ${voucher.key} was redeemed.`,
      owner: null,
      source: `voucher:${voucher.key}/${id}`,
      applicationId: null,
    })),
  );
  // Ids are made in the order of the effects, and the rows come in the order of their ids.
  const grants = made.map((grant): GivenGrant => ({ id: grant.id, effect: JSON.parse(grant.effect) }));
  const row: RedemptionRow = {
    customer_id: customer.id,
    id,
    environment_id: change.environmentId,
    product_id: product.id,
    voucher_id: voucher.id,
    code_id: code.id,
    code_hint: code.hint,
    number: ready.number,
    target_kind: target.kind,
    target_key: target.key,
    grants: JSON.stringify(grants),
    kept: '[]',
    redeemed_at: fromInstant(change.now),
    ends_at: fromInstantOrNull(ready.endsAt),
    revoked_at: null,
    revoke_reason: null,
    version: 1,
  };
  await change.transaction.insertInto('voucher_redemption').values(row).execute();
  await touchTarget(change, target);
  const names = { voucher: voucher.key, product: product.key, customer: ask.customerKey };
  const item = toApiRedemption(row, names);
  await change.record({
    action: 'voucher.redeem',
    productId: product.id,
    objectKind: 'redemption',
    objectId: id,
    objectVersion: 1,
    after: item as unknown as JsonObject,
  });
  return item;
}

async function countCode(change: DataChange, { code }: ReadyRedemption): Promise<void> {
  const counted = await change.transaction
    .updateTable('voucher_code')
    .set((row) => ({ redeemed: row('redeemed', '+', 1) }))
    .where('environment_id', '=', code.environment_id)
    .where('hash', '=', code.hash)
    .where('product_id', '=', code.product_id)
    // One that is being withdrawn was read before: its row says which came first.
    .where('withdrawn_at', 'is', null)
    .where((where) =>
      where.or([where('max_redemptions', 'is', null), where('redeemed', '<', where.ref('max_redemptions'))]),
    )
    .returning('id')
    .executeTakeFirst();
  if (counted !== undefined) return;
  const row = await change.transaction
    .selectFrom('voucher_code')
    .select('withdrawn_at')
    .where('environment_id', '=', code.environment_id)
    .where('hash', '=', code.hash)
    .where('product_id', '=', code.product_id)
    .executeTakeFirst();
  throw toServiceError((row?.withdrawn_at ?? null) === null ? CODE_USED : CODE_WITHDRAWN);
}

async function countVoucher(change: DataChange, { voucher }: ReadyRedemption): Promise<void> {
  const now = fromInstant(change.now);
  const counted = await change.transaction
    .updateTable('voucher')
    .set((row) => ({ redeemed: row('redeemed', '+', 1) }))
    .where('id', '=', voucher.id)
    // What was decided with must be what is there: a change of the terms in between is decided anew.
    .where('version', '=', voucher.version)
    .where('state', '=', 'active')
    .where((where) => where.or([where('ends_at', 'is', null), where('ends_at', '>', now)]))
    .where((where) =>
      where.or([where('max_redemptions', 'is', null), where('redeemed', '<', where.ref('max_redemptions'))]),
    )
    .returning('id')
    .executeTakeFirst();
  if (counted !== undefined) return;
  const row = await change.transaction
    .selectFrom('voucher')
    .selectAll()
    .where('id', '=', voucher.id)
    .executeTakeFirstOrThrow();
  const unfit = refuseState(row, change.now);
  if (unfit !== null) throw toServiceError(unfit);
  if (row.version !== voucher.version) throw new TermsChanged();
  throw toServiceError(EXHAUSTED);
}

/** The terms were changed between reading and counting; nothing was written, and it is decided again. */
export class TermsChanged extends Error {}
