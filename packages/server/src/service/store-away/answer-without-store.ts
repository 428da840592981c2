import { resolveEntitlement } from '@pennon/engine/entitlement/resolve-entitlement';
import type { Instant } from '@pennon/engine/model/customer';
import type { ConsumptionDecision } from '@pennon/engine/model/decision';
import type { CompiledFeature } from '@pennon/engine/snapshot/snapshot';
import { decideFallback } from '@pennon/engine/usage/decide-fallback';
import { measureAmount } from '@pennon/engine/usage/measure';
import type { ConsumeItem, ConsumeRequest } from '../consume-request.js';

/**
 * Whether every item's feature lets a consume be answered without the store. Who holds a unit is only known to the store, so that what
 * names a holder is never answered without it.
 */
export function mayBeAnswered({ operation, evaluation, happened }: ConsumeRequest): boolean {
  const { items, request } = evaluation;
  if (operation !== 'consume' || happened !== undefined || items instanceof Error) return false;
  for (const { key, holder } of items) {
    const feature = request.snapshot.features.get(key);
    if (holder !== null || feature === undefined || feature.onStoreAway === 'closed') return false;
  }
  return true;
}

/**
 * Decides from what this process knows; the engine does. `null`: some item of it only the store can decide, so that the whole call has no
 * answer (never a denial).
 * @param journaled what was answered of an account before and is in no balance yet
 */
export function answerWithoutStore(
  call: ConsumeRequest,
  at: Instant,
  journaled: (item: ConsumeItem) => number,
): readonly ConsumptionDecision[] | null {
  const { request, items } = call.evaluation;
  if (items instanceof Error || request.customer === null || request.customer === 'unavailable') return null;
  if (request.subject.customerKey !== call.customerKey) return null;
  const taken = new Map<string, number>();
  const decisions: ConsumptionDecision[] = [];
  for (const item of items) {
    const feature = request.snapshot.features.get(item.key);
    const entitlement = resolveEntitlement({ ...request, now: at }, item.key);
    const amount = feature === undefined ? null : amountOf(feature, item);
    if (feature === undefined || amount === null || entitlement.kind === 'error') return null;
    const before = taken.get(item.key) ?? 0;
    const decision = decideFallback({
      entitlement,
      amount,
      mode: call.mode,
      policy: feature.onStoreAway,
      journaled: journaled(item) + before,
      at,
    });
    if (decision === null) return null;
    taken.set(item.key, before + decision.consumed);
    decisions.push(decision);
  }
  return decisions;
}

function amountOf(feature: CompiledFeature, { amount, attributes }: ConsumeItem): number | null {
  if (amount !== null) return amount;
  const measured = measureAmount(feature, { attributes });
  return measured.ok ? measured.amount : null;
}
