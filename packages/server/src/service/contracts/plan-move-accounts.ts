import {
  type AccountOver,
  compareAccount,
  type PlanChangeComparison,
  type PlannedChange,
} from '@pennon/engine/impact/compare-plan-change';
import type { CustomerState } from '@pennon/engine/model/customer';
import type { CompiledFeature, Snapshot } from '@pennon/engine/snapshot/snapshot';
import {
  type AccountCursor,
  type AskedAccounts,
  type HeldAccount,
  readAccountPage,
} from '../../store/account-pages.js';
import { runInSlices } from '../run-in-slices.js';
import type { PlanMoveServices } from './plan-move-preview.js';
import type { PlanMoveRow } from './plan-move-record.js';

/*
 * Features that count per user or instance: who of a customer would be over. Looked at only where the customer's limit falls, account by
 * account with what each was given of its own, in pages, so that neither a customer of a million users nor a move of many is held in memory.
 */

/** One license of a page with what was found of its customer. */
export interface Finding {
  readonly customerId: string;
  readonly state: CustomerState;
  readonly change: PlannedChange;
  readonly comparison: PlanChangeComparison;
}

export interface FeatureOver {
  readonly feature: CompiledFeature;
  readonly over: AccountOver;
}

const PAGE = 200;

/** By license. */
export async function accountsOver(
  services: PlanMoveServices,
  move: PlanMoveRow,
  snapshot: Snapshot,
  findings: readonly Finding[],
): Promise<ReadonlyMap<string, readonly FeatureOver[]>> {
  const asked = askedOf(findings);
  const over = new Map<string, FeatureOver[]>();
  if (asked.length === 0) return over;
  const { environment_id: environmentId, product_id: productId } = move;
  const question = { environmentId, productId, productKey: snapshot.productKey, asked, limit: PAGE };
  let after: AccountCursor | null = null;
  for (;;) {
    const page: readonly HeldAccount[] = await readAccountPage(services.database, { ...question, after });
    await runInSlices(comparePage(snapshot, findings, page, over));
    after = page.at(-1) ?? null;
    if (after === null || page.length < PAGE) return over;
  }
}

function askedOf(findings: readonly Finding[]): readonly AskedAccounts[] {
  const asked = new Map<string, AskedAccounts>();
  for (const { customerId, comparison } of findings) {
    for (const { key, per } of comparison.shrinking) {
      if (per !== 'customer') asked.set(`${customerId}/${key}`, { customerId, feature: key, per });
    }
  }
  return [...asked.values()];
}

function* comparePage(
  snapshot: Snapshot,
  findings: readonly Finding[],
  page: readonly HeldAccount[],
  found: Map<string, FeatureOver[]>,
): Generator<void, void> {
  const byCustomer = new Map<string, Finding[]>();
  for (const finding of findings) {
    byCustomer.set(finding.customerId, [...(byCustomer.get(finding.customerId) ?? []), finding]);
  }
  for (const held of page) {
    for (const { change, comparison, state } of byCustomer.get(held.customerId) ?? []) {
      yield;
      const feature = comparison.shrinking.find(({ key }) => key === held.feature);
      if (feature === undefined) continue;
      const over = compareAccount(snapshot, state, change, feature, held);
      if (over === null) continue;
      found.set(change.licenseId, [...(found.get(change.licenseId) ?? []), { feature, over }]);
    }
  }
}
