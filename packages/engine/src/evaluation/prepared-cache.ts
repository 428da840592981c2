import type { CustomerState } from '../model/customer.js';
import type { Snapshot } from '../snapshot/snapshot.js';
import { readSku } from './plan-facts.js';
import { type PreparedCustomer, prepareCustomer } from './prepared-customer.js';

/** A customer is read under several products and SKUs at most at once; older arrangements are made again when asked for. */
const KEPT = 4;

const byState = new WeakMap<CustomerState, PreparedCustomer[]>();
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
  let list = byState.get(state);
  if (list === undefined) {
    list = [];
    byState.set(state, list);
  }
  for (const prepared of list) {
    if (prepared.snapshot === snapshot && prepared.askedSku === sku) return prepared;
  }
  const prepared = prepare(snapshot, state, sku);
  list.unshift(prepared);
  if (list.length > KEPT) list.pop();
  return prepared;
}
