import type { CustomerState } from '../model/customer.js';
import type { Snapshot } from '../snapshot/snapshot.js';
import { readSku } from './plan-facts.js';
import { type PreparedCustomer, prepareCustomer } from './prepared-customer.js';

/** A customer is read under several products and SKUs at most at once; older arrangements are made again when asked for. */
const KEPT = 4;

/** The latest arrangement, with those before it behind it: the common case is found without a list. */
interface Kept {
  readonly prepared: PreparedCustomer;
  readonly before: Kept | null;
}

const byState = new WeakMap<CustomerState, Kept>();
const anonymous = new WeakMap<Snapshot, PreparedCustomer>();

function prepare(snapshot: Snapshot, state: CustomerState | null, sku: string | null): PreparedCustomer {
  return prepareCustomer(
    snapshot,
    state,
    sku === null ? null : { text: sku, plan: readSku(snapshot, sku).plan },
  );
}

/**
 * The customer's state arranged for the snapshot. States and snapshots are immutable, so what was arranged once is found again by
 * their identity and goes when they go; the answer is the same with and without.
 */
export function preparedFor(
  snapshot: Snapshot,
  state: CustomerState | null,
  sku: string | null,
): PreparedCustomer {
  if (state === null) {
    if (sku !== null) return prepare(snapshot, null, sku);
    let shared = anonymous.get(snapshot);
    if (shared === undefined) {
      shared = prepare(snapshot, null, null);
      anonymous.set(snapshot, shared);
    }
    return shared;
  }
  const latest = byState.get(state) ?? null;
  for (let kept = latest; kept !== null; kept = kept.before) {
    if (kept.prepared.snapshot === snapshot && kept.prepared.askedSku === sku) return kept.prepared;
  }
  const prepared = prepare(snapshot, state, sku);
  byState.set(state, { prepared, before: shortened(latest, KEPT - 1) });
  return prepared;
}

function shortened(kept: Kept | null, length: number): Kept | null {
  if (kept === null || length === 0) return null;
  return { prepared: kept.prepared, before: shortened(kept.before, length - 1) };
}
