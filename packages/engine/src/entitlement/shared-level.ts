import type { CompiledFeature } from '../snapshot/snapshot.js';
import type { Level } from './level.js';

/** Of one feature: enough for every plan, group and end of day of a product; then they are collected anew. */
const MOST_KEPT = 256;

const known = new WeakMap<CompiledFeature, Map<string, Level>>();

/**
 * The one object for all levels that say the same: thousands of customers have the same plan, and over many customers every object of
 * their own is one more line of memory to wait for. Levels are immutable, and who holds one asks what it says.
 */
export function sharedLevel(feature: CompiledFeature, level: Level): Level {
  let levels = known.get(feature);
  if (levels === undefined) {
    levels = new Map();
    known.set(feature, levels);
  }
  const text = JSON.stringify(level);
  const same = levels.get(text);
  if (same !== undefined) return same;
  if (levels.size >= MOST_KEPT) levels.clear();
  levels.set(text, level);
  return level;
}
