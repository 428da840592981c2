import { type Addon, type Plan, versionedKey } from '@pennon/engine/model/catalog';
import type { Instant, LicenseAddon } from '@pennon/engine/model/customer';
import type { JsonObject } from '@pennon/engine/model/json';
import {
  holdMove,
  type ItemOutcome,
  lockLicenses,
  settleItems,
  takeItems,
  writePlans,
} from '../../store/plan-move-rows.js';
import type { ProductRecord } from '../ports.js';
import { changeData, type DataChange } from './data-change.js';
import { type LicenseRow, settledAt, toApiLicense, withoutNext } from './license-record.js';
import { billingPeriodEnd, changePlan } from './plan-change.js';
import type { PlanMoveServices } from './plan-move-preview.js';
import { contextOf, type PlanMoveItemRow, type PlanMoveRow } from './plan-move-record.js';
import { PublishedItems } from './published-items.js';

/*
 * One batch of a move is one transaction: the licenses, an audit entry for each, the customers' versions, the rows that other processes
 * hear of, and what became of the items. INVARIANT: an item changes its state with its license or not at all, so that no license is moved
 * twice, whichever process goes on after whatever crash.
 */

/** Customers are locked while their batch is written, and a consume waits for that. */
export const BATCH = 50;

/** `null`: the lease is lost or the move was told to stop; else how many items were taken on. */
export async function applyBatch(
  services: PlanMoveServices,
  holder: string,
  move: PlanMoveRow,
  limit: number = BATCH,
): Promise<number | null> {
  const work = async (change: DataChange): Promise<number | null> => {
    if ((await holdMove(change.transaction, holder, move)) === null) return null;
    const items = await takeItems(change.transaction, move.id, 'selected', limit);
    if (items.length === 0) return 0;
    const offers = await readOffers(services, change, move);
    const licenses = await lockLicenses(change.transaction, items);
    const changed: ChangedLicense[] = [];
    const outcomes: ItemOutcome[] = [];
    for (const item of items) {
      const outcome = decideItem(move, item, licenses.get(item.license_id), offers, change.now);
      if (outcome.row !== null) changed.push({ row: outcome.row, key: item.customer_key });
      outcomes.push(outcome);
    }
    await finishBatch(change, move, offers.product, 'license.move-plan', changed, outcomes);
    return items.length;
  };
  return inBatch(services, move, work);
}

/** Takes back what is planned and not due yet, and what was never applied. */
export async function undoBatch(
  services: PlanMoveServices,
  holder: string,
  move: PlanMoveRow,
): Promise<number | null> {
  const work = async (change: DataChange): Promise<number | null> => {
    if ((await holdMove(change.transaction, holder, move)) === null) return null;
    const waiting = await takeItems(change.transaction, move.id, 'selected', 5000);
    await settleItems(
      change.transaction,
      move.id,
      waiting.map((item) => settled(item, 'undone')),
    );
    const items = await takeItems(change.transaction, move.id, 'applied', BATCH, change.now);
    if (items.length === 0) return waiting.length;
    const licenses = await lockLicenses(change.transaction, items);
    const changed: ChangedLicense[] = [];
    const outcomes: ItemOutcome[] = [];
    for (const item of items) {
      const row = licenses.get(item.license_id);
      // Another change came in between and took the planned one with it: there is nothing of ours to take back.
      if (row === undefined || row.next_move_id !== move.id) {
        outcomes.push(
          settled(item, 'skipped', 'SUPERSEDED', 'Another change of the license replaced this one.'),
        );
        continue;
      }
      changed.push({ row: { ...row, ...withoutNext }, key: item.customer_key });
      outcomes.push(settled(item, 'undone'));
    }
    const product = productOf(services, move);
    await finishBatch(change, move, product, 'license.undo-plan-change', changed, outcomes);
    return items.length + waiting.length;
  };
  return inBatch(services, move, work);
}

/** A license as it is to be written, and the key of its customer. */
interface ChangedLicense {
  readonly row: LicenseRow;
  readonly key: string;
}

async function inBatch(
  services: PlanMoveServices,
  move: PlanMoveRow,
  work: (change: DataChange) => Promise<number | null>,
): Promise<number | null> {
  const done = await changeData(services, contextOf(move), move.environment_id, async (change) => ({
    item: await work(change),
    created: false,
  }));
  return done.item;
}

async function finishBatch(
  change: DataChange,
  move: PlanMoveRow,
  product: ProductRecord,
  action: string,
  changed: readonly ChangedLicense[],
  outcomes: readonly ItemOutcome[],
): Promise<void> {
  const keys = new Map(changed.map(({ row, key }) => [row.id, key]));
  const written = await writePlans(
    change.transaction,
    changed.map(({ row }) => row),
  );
  await change.touchCustomers(keys.values());
  await change.recordAll(
    written.map((row) => ({
      action,
      productId: product.id,
      objectKind: 'license',
      objectId: row.id,
      objectVersion: row.version,
      after: toApiLicense(row, keys.get(row.id) ?? '', product.key, change.now) as unknown as JsonObject,
    })),
  );
  await settleItems(change.transaction, move.id, outcomes);
}

interface Offers {
  readonly product: ProductRecord;
  readonly from: Plan | null;
  readonly addons: ReadonlyMap<string, Addon>;
}

function productOf(services: PlanMoveServices, move: PlanMoveRow): ProductRecord {
  const product = services.directory.product(move.product_id);
  if (product === null) throw new TypeError(`The product ${move.product_id} is not known to this process.`);
  return product;
}

async function readOffers(
  services: PlanMoveServices,
  change: DataChange,
  move: PlanMoveRow,
): Promise<Offers> {
  const product = productOf(services, move);
  const environment = services.directory.environment(move.environment_id);
  if (environment === null)
    throw new TypeError(`The environment ${move.environment_id} is not known to this process.`);
  const items = await PublishedItems.open(change.transaction, product, environment);
  const from = await items.findOne('plan', versionedKey(move.from_plan, move.from_version));
  return { product, from, addons: await items.all('addon') };
}

function settled(
  item: PlanMoveItemRow,
  state: ItemOutcome['state'],
  code: string | null = null,
  message: string | null = null,
  dueAt: Instant | null = null,
): ItemOutcome {
  const { license_id: licenseId, customer_id: customerId } = item;
  return { licenseId, customerId, from: item.state, state, code, message, dueAt };
}

/** What becomes of one license, under its customer's lock. */
function decideItem(
  move: PlanMoveRow,
  item: PlanMoveItemRow,
  stored: LicenseRow | undefined,
  offers: Offers,
  now: Instant,
): ItemOutcome & { readonly row: LicenseRow | null } {
  const not = (state: 'skipped' | 'failed', code: string, message: string) => ({
    ...settled(item, state, code, message),
    row: null,
  });
  if (stored === undefined) return not('skipped', 'LICENSE_GONE', 'The license does not exist any more.');
  const row = settledAt(stored, now);
  if (row.plan_key !== move.from_plan || row.plan_version !== move.from_version) {
    const name = versionedKey(row.plan_key, row.plan_version);
    return not('skipped', 'PLAN_CHANGED_MEANWHILE', `The license is to \`${name}\` now.`);
  }
  const addon = unfitting(row, move.to_plan, offers.addons);
  if (addon !== null) {
    const message = `The add-on \`${addon}\` is not sold with \`${move.to_plan}\`. Take it from the license, then retry.`;
    return not('failed', 'ADDON_NOT_FOR_PLAN', message);
  }
  const wanted = { plan: move.to_plan, planVersion: move.to_version, usage: move.usage, moveId: move.id };
  const change = changePlan(row, { ...wanted, at: instantOf(move, row, offers.from, now) }, now);
  if (!change.ok) return not('skipped', change.code, change.message);
  return { ...settled(item, 'applied', null, null, change.at), row: change.row };
}

/** `null`: at once. An instant that has passed while the move ran is at once, too: nothing is changed in the past. */
function instantOf(move: PlanMoveRow, row: LicenseRow, from: Plan | null, now: Instant): Instant | null {
  if (move.timing === 'period-end') return billingPeriodEnd(row, from, now);
  const at = move.at?.getTime() ?? now;
  return at <= now ? null : at;
}

function unfitting(row: LicenseRow, plan: string, addons: ReadonlyMap<string, Addon>): string | null {
  for (const { addon, version } of row.addons as unknown as readonly LicenseAddon[]) {
    const plans = addons.get(versionedKey(addon, version))?.plans;
    if (plans !== undefined && !plans.includes(plan)) return addon;
  }
  return null;
}

/** An item that brings its batch down is failed alone, so that the others go on. */
export async function failItem(
  services: PlanMoveServices,
  holder: string,
  move: PlanMoveRow,
  message: string,
): Promise<void> {
  await services.database.transaction().execute(async (transaction) => {
    if ((await holdMove(transaction, holder, move)) === null) return;
    const [item] = await takeItems(transaction, move.id, 'selected', 1);
    if (item === undefined) return;
    await settleItems(transaction, move.id, [settled(item, 'failed', 'NOT_WRITTEN', message.slice(0, 500))]);
  });
}
