import type { DesiredLicense } from '@pennon/engine/billing/desired-license';
import { canonicalJson } from '@pennon/engine/catalog/canonical-json';
import type { JsonValue } from '@pennon/engine/model/json';
import { LIMITS } from '@pennon/engine/model/limits';
import { anchorAt } from '@pennon/engine/period/anchor';
import type { BillingLicenseRow, BillingSubscriptionRow } from '../../store/billing-rows.js';
import { fromInstant, fromInstantOrNull } from '../../store/instant.js';
import { finishLicense, writeLicense } from '../contracts/change-license.js';
import { countLicenses } from '../contracts/count-licenses.js';
import type { CustomerRow } from '../contracts/customer-record.js';
import type { DataChange } from '../contracts/data-change.js';
import {
  columnsOf,
  type LicenseRow,
  moveAnchor,
  settledAt,
  withEarlier,
  withoutNext,
} from '../contracts/license-record.js';
import { newId } from '../new-id.js';
import type { ProductRecord } from '../ports.js';

/** For whom, and of what. */
export interface BillingTarget {
  readonly change: DataChange;
  readonly customer: CustomerRow;
  readonly subscription: Pick<BillingSubscriptionRow, 'connection_id' | 'subscription'>;
  readonly product: ProductRecord;
  /** Of the product, where neither license nor customer has one. */
  readonly timeZone: string | null;
}

/** A license that billing decided on for the first time. False: the customer has as many as it may. */
export async function createBillingLicense(target: BillingTarget, desired: DesiredLicense): Promise<boolean> {
  const { change, customer, subscription, product } = target;
  const count = await countLicenses(change.transaction, customer.id, product.id, change.now);
  if (count >= LIMITS.licensesPerCustomer.value) return false;
  const zone = customer.time_zone ?? target.timeZone ?? 'UTC';
  const anchor = anchorAt(desired.anchorAt, zone);
  const { startsAt, endsAt, graceEndsAt } = desired;
  const terms = {
    ...desired,
    startsAt,
    endsAt,
    graceEndsAt,
    timeZone: null,
    sku: null,
    contractReference: null,
  };
  const row = await change.transaction
    .insertInto('license')
    .values({
      customer_id: customer.id,
      id: newId(),
      environment_id: change.environmentId,
      product_id: product.id,
      ...columnsOf(terms),
      ...nextOf(desired, anchor),
      anchor,
      version: 1,
      created_at: fromInstant(change.now),
    })
    .returningAll()
    .executeTakeFirstOrThrow();
  await change.transaction
    .insertInto('billing_license')
    .values({
      customer_id: customer.id,
      connection_id: subscription.connection_id,
      subscription: subscription.subscription,
      product_id: product.id,
      slot: desired.slot,
      environment_id: change.environmentId,
      license_id: row.id,
      desired: textOf(desired),
    })
    .execute();
  await finishLicense(change, row, customer.key, product, 'license.create');
  return true;
}

/**
 * INVARIANT: only what billing changed since it decided last is written. What people changed in between (another plan version by a move,
 * an add-on for a contract) stays until billing says something else of the same thing; the drift report shows it.
 */
export async function changeBillingLicense(
  target: BillingTarget,
  held: BillingLicenseRow,
  desired: DesiredLicense,
): Promise<void> {
  const before = desiredOf(held);
  if (textOf(before) === textOf(desired)) return;
  const row = await lockedLicense(target, held);
  await writeHeld(target, held, desired);
  // What has ended stays ended, whoever ended it.
  if (row === null || row.status === 'ended') return;
  const changed = changedRow(target, settledAt(row, target.change.now), before, desired);
  if (canonicalRow(changed) === canonicalRow(row)) return;
  const written = await writeLicense(target.change, changed);
  await finishLicense(target.change, written, target.customer.key, target.product, 'license.change');
}

/** What is not bought any more ends now. */
export async function endBillingLicense(target: BillingTarget, held: BillingLicenseRow): Promise<void> {
  const { change, customer, product } = target;
  await change.transaction
    .deleteFrom('billing_license')
    .where('customer_id', '=', held.customer_id)
    .where('connection_id', '=', held.connection_id)
    .where('subscription', '=', held.subscription)
    .where('product_id', '=', held.product_id)
    .where('slot', '=', held.slot)
    .execute();
  const row = await lockedLicense(target, held);
  if (row === null || row.status === 'ended') return;
  const now = Math.max(change.now, row.starts_at.getTime());
  const endsAt = fromInstant(Math.min(now, row.ends_at?.getTime() ?? now));
  const ended = {
    ...settledAt(row, change.now),
    ...withoutNext,
    status: 'ended',
    ends_at: endsAt,
    before_cancel: null,
  };
  await finishLicense(change, await writeLicense(change, ended), customer.key, product, 'license.change');
}

export function desiredOf(held: BillingLicenseRow): DesiredLicense {
  return JSON.parse(held.desired) as DesiredLicense;
}

function textOf(desired: DesiredLicense): string {
  return canonicalJson(desired as unknown as JsonValue);
}

/** The customer's lock is held, so that nobody else changes it. */
async function lockedLicense({ change }: BillingTarget, held: BillingLicenseRow): Promise<LicenseRow | null> {
  const row = await change.transaction
    .selectFrom('license')
    .selectAll()
    .where('customer_id', '=', held.customer_id)
    .where('id', '=', held.license_id)
    .executeTakeFirst();
  return row ?? null;
}

async function writeHeld(
  target: BillingTarget,
  held: BillingLicenseRow,
  desired: DesiredLicense,
): Promise<void> {
  await target.change.transaction
    .updateTable('billing_license')
    .set({ desired: textOf(desired) })
    .where('customer_id', '=', held.customer_id)
    .where('connection_id', '=', held.connection_id)
    .where('subscription', '=', held.subscription)
    .where('product_id', '=', held.product_id)
    .where('slot', '=', held.slot)
    .execute();
}

function changedRow(
  { change, customer, timeZone }: BillingTarget,
  row: LicenseRow,
  before: DesiredLicense,
  desired: DesiredLicense,
): LicenseRow {
  const is = (member: keyof DesiredLicense) =>
    canonicalJson(before[member] as unknown as JsonValue) !==
    canonicalJson(desired[member] as unknown as JsonValue);
  const isOtherPlan =
    (is('plan') || is('planVersion')) &&
    (row.plan_key !== desired.plan || row.plan_version !== desired.planVersion);
  const zone = row.time_zone ?? customer.time_zone ?? timeZone ?? 'UTC';
  const moved = is('anchorAt') ? moveAnchor(row, anchorAt(desired.anchorAt, zone), change.now) : {};
  return {
    ...row,
    ...(isOtherPlan
      ? {
          ...withoutNext,
          plan_key: desired.plan,
          plan_version: desired.planVersion,
          sku: null,
          earlier_plans: withEarlier(row, change.now) as never,
        }
      : {}),
    ...(is('quantity') ? { quantity: desired.quantity } : {}),
    ...(is('kind') ? { kind: desired.kind } : {}),
    ...(is('status') ? { status: desired.status, before_cancel: null } : {}),
    ...(is('startsAt') ? { starts_at: fromInstant(desired.startsAt) } : {}),
    ...(is('endsAt') || is('status') ? { ends_at: fromInstantOrNull(desired.endsAt) } : {}),
    ...(is('graceEndsAt') ? { grace_ends_at: fromInstantOrNull(desired.graceEndsAt) } : {}),
    ...(is('addons') ? { addons: desired.addons as never } : {}),
    ...moved,
    // Another plan takes a planned change back, which was planned for the plan before; what billing plans stands all the same.
    ...(is('next') || isOtherPlan ? nextOf(desired, moved.anchor ?? row.anchor) : {}),
  };
}

/** A planned change of plan carries the periods on: the provider's anchor says when they begin again. */
function nextOf({ next }: DesiredLicense, anchor: string) {
  if (next === null) return withoutNext;
  return {
    next_plan_key: next.plan,
    next_plan_version: next.planVersion,
    next_plan_at: fromInstant(next.at),
    next_anchor: anchor,
    next_move_id: null,
  };
}

function canonicalRow(row: LicenseRow): string {
  return canonicalJson(JSON.parse(JSON.stringify(row)) as JsonValue);
}
