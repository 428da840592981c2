import type { ConsumptionDecision } from '@pennon/engine/model/decision';
import type { LockedFrame } from '../store/account-transaction.js';
import type { HolderKey, StoredHolder } from '../store/holder-statements.js';
import type { ConsumeItem } from './consume-request.js';

/* Which thing holds how many units, between two decisions of a batch. */

export interface BatchHolders {
  /** What the item's holder holds; 0 where it names none, or one that holds nothing. */
  heldBy(item: ConsumeItem | undefined): number;
  /** Follows a decision that took or gave back. */
  note(item: ConsumeItem | undefined, decision: ConsumptionDecision, change: 'taken' | 'given'): void;
  write(): readonly StoredHolder[];
}

export function createBatchHolders({ holders }: LockedFrame): BatchHolders {
  const live = new Map<string, StoredHolder>();
  const changed = new Set<string>();
  for (const holder of holders) live.set(nameOf(holder), holder);

  function heldBy(item: ConsumeItem | undefined): number {
    const key = holderKey(item);
    return key === null ? 0 : (live.get(nameOf(key))?.amount ?? 0);
  }

  function note(
    item: ConsumeItem | undefined,
    { consumed, requested }: ConsumptionDecision,
    change: 'taken' | 'given',
  ): void {
    const key = holderKey(item);
    // What is given back may be more than is still in use, where somebody released by amount alone.
    const moved = change === 'taken' ? consumed : -requested;
    if (key === null || moved === 0) return;
    const amount = Math.max(0, heldBy(item) + moved);
    live.set(nameOf(key), { ...key, amount });
    changed.add(nameOf(key));
  }

  return {
    heldBy,
    note,
    write: () => [...changed].flatMap((name) => live.get(name) ?? []),
  };
}

export function holderKey(item: ConsumeItem | undefined): HolderKey | null {
  return item === undefined || item.holder === null ? null : { ...item.account, holder: item.holder };
}

function nameOf({ feature, scope, holder }: HolderKey): string {
  return JSON.stringify([feature, scope, holder]);
}
