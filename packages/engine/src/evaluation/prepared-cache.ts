import type { CustomerState } from '../model/customer.js';
import type { Snapshot } from '../snapshot/snapshot.js';
import { readSku } from './plan-facts.js';
import { type PreparedCustomer, prepareCustomer } from './prepared-customer.js';

/** A customer is read under several products and SKUs at most at once; older arrangements are made again when asked for. */
const KEPT = 4;

/**
 * Where a state keeps what was arranged of it: on the state itself, because the look-up of a `WeakMap` is a tenth of a whole decision.
 * Nobody else sees it: it is not enumerable, so that no copy, comparison or text of a state has it.
 */
const ARRANGED = Symbol('arranged');
type Arranged = CustomerState & { [ARRANGED]?: PreparedCustomer | undefined };

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
  const latest = (state as Arranged)[ARRANGED];
  if (latest !== undefined && latest.snapshot === snapshot && latest.askedSku === sku) return latest;
  return earlier(snapshot, state, sku, latest ?? null);
}

/** Found among the earlier ones, or made and put before them. */
function earlier(
  snapshot: Snapshot,
  state: CustomerState,
  sku: string | null,
  latest: PreparedCustomer | null,
): PreparedCustomer {
  for (let known = latest; known !== null; known = known.before) {
    if (known.snapshot === snapshot && known.askedSku === sku) return known;
  }
  const prepared = prepare(snapshot, state, sku);
  prepared.before = latest;
  let last: PreparedCustomer | null = prepared;
  for (let kept = 1; kept < KEPT && last !== null; kept += 1) last = last.before;
  if (last !== null) last.before = null;
  keep(state as Arranged, prepared);
  return prepared;
}

/** A state that was frozen keeps nothing, and is arranged again each time. */
function keep(state: Arranged, prepared: PreparedCustomer): void {
  if (!Object.isExtensible(state)) return;
  Object.defineProperty(state, ARRANGED, { value: prepared, writable: true, configurable: true });
}
