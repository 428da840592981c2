import { mergeReads, NO_READS, type Reads } from './reads.js';
import type { Snapshot } from './snapshot.js';

const known = new WeakMap<Snapshot, Map<string, Reads>>();

/** What segments that carry a feature read, beside what is stored of the customer. */
function readsOfFeature(snapshot: Snapshot, key: string): Reads {
  let reads: Reads = { ...NO_READS, customer: true, entitlements: new Set([key]) };
  for (const segment of snapshot.segmentsByFeature.get(key) ?? []) {
    if (segment.condition !== null) reads = mergeReads(reads, segment.condition.reads);
  }
  return reads;
}

function collect(snapshot: Snapshot, key: string, seen: Set<string>): Reads {
  if (seen.has(key)) return NO_READS;
  seen.add(key);
  const flag = snapshot.flags.get(key);
  if (flag === undefined) return snapshot.features.has(key) ? readsOfFeature(snapshot, key) : NO_READS;
  let reads = flag.reads;
  for (const feature of flag.reads.entitlements) reads = mergeReads(reads, collect(snapshot, feature, seen));
  for (const segment of flag.reads.segments) {
    const condition = snapshot.segments.get(segment)?.condition;
    if (condition !== undefined && condition !== null) reads = mergeReads(reads, condition.reads);
  }
  for (const other of flag.reads.flags) reads = mergeReads(reads, collect(snapshot, other, seen));
  return reads;
}

/**
 * What the answer of a flag or feature rests on, through prerequisites, required features and segments; worked out when first
 * asked for. A key that is not there rests on nothing.
 */
export function readsOf(snapshot: Snapshot, key: string): Reads {
  let byKey = known.get(snapshot);
  if (byKey === undefined) {
    byKey = new Map();
    known.set(snapshot, byKey);
  }
  let reads = byKey.get(key);
  if (reads === undefined) {
    reads = collect(snapshot, key, new Set());
    byKey.set(key, reads);
  }
  return reads;
}
