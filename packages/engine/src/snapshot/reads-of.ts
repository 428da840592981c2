import { mergeReads, NO_READS, type Reads } from './reads.js';
import type { Snapshot } from './snapshot.js';

const known = new WeakMap<Snapshot, Map<string, Reads>>();

/** What a segment's condition reads, through the segments that it asks for. */
function readsOfSegment(snapshot: Snapshot, key: string, seen: Set<string>): Reads {
  const condition = snapshot.segments.get(key)?.condition;
  if (condition === undefined || condition === null || seen.has(key)) return NO_READS;
  seen.add(key);
  let reads = condition.reads;
  for (const other of condition.reads.segments)
    reads = mergeReads(reads, readsOfSegment(snapshot, other, seen));
  return reads;
}

/** What segments that carry a feature read, beside what is stored of the customer. */
function readsOfFeature(snapshot: Snapshot, key: string): Reads {
  let reads: Reads = { ...NO_READS, customer: true, entitlements: new Set([key]) };
  const seen = new Set<string>();
  for (const segment of snapshot.segmentsByFeature.get(key) ?? []) {
    reads = mergeReads(reads, readsOfSegment(snapshot, segment.key, seen));
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
  const segments = new Set<string>();
  for (const segment of flag.reads.segments) {
    reads = mergeReads(reads, readsOfSegment(snapshot, segment, segments));
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
