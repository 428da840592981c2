import type { Feature } from '../model/catalog.js';
import { quoted } from './issue-sink.js';
import type { ReadingRoom } from './reading-room.js';
import { type FeatureUse, featureUses } from './short-form.js';
import { placeAt } from './source-node.js';

/**
 * Features that are only named in plans of the short form are declared by that use; a use of a declared one must agree with
 * the declaration. `known` are the features that stand elsewhere.
 */
export function declareByUse(room: ReadingRoom, known: ReadonlyMap<string, Feature>): void {
  const declared = new Map(known);
  for (const { item } of room.draft.items)
    if (item.kind === 'feature') declared.set(item.value.key, item.value);
  const byUse = new Map<string, FeatureUse>();
  const uses = featureUses(room.draft);
  const written = room.draft.keys.get('feature') ?? new Set<string>();
  for (const use of [
    ...uses.filter(({ explicit }) => explicit),
    ...uses.filter(({ explicit }) => !explicit),
  ]) {
    const { key } = use.feature;
    const first = byUse.get(key);
    if (first !== undefined) agree(use, first.feature, `the use in ${whereOf(first)}`, room);
    else if (declared.has(key)) agree(use, declared.get(key) ?? use.feature, 'its declaration', room);
    else if (!written.has(key)) byUse.set(key, use);
  }
  // In written order, whichever use said the type.
  for (const { feature } of uses) {
    const use = byUse.get(feature.key);
    if (use === undefined || room.draft.keys.get('feature')?.has(feature.key)) continue;
    room.draft.items.push({ item: { kind: 'feature', value: use.feature }, node: use.node });
    room.draft.noteKey('feature', feature.key);
    room.draft.places.set(`feature ${feature.key}`, {
      node: use.node,
      reference: { kind: 'feature', key: feature.key },
    });
    room.sources.set(use.feature, use.node);
  }
}

function agree(use: FeatureUse, declared: Feature, where: string, room: ReadingRoom): void {
  if (!use.explicit) return;
  const { feature } = use;
  // A number with a reset period elsewhere is only a number here; what is not said cannot contradict.
  const quantity = feature.type === 'limit' && declared.type === 'metered';
  const sameType = feature.type === declared.type || quantity;
  const every = (reset: Feature['reset']) => (typeof reset === 'object' ? reset.every : reset);
  const sameReset = feature.reset === undefined || every(feature.reset) === every(declared.reset);
  if (sameType && sameReset) return;
  const said = `${declared.type}${declared.reset === undefined ? '' : `, reset ${String(every(declared.reset))}`}`;
  room.issues.at(
    use.node,
    'DUPLICATE_DEFINITION',
    `${quoted(feature.key)} contradicts ${where}, where it is ${said}; say the same or leave \`type\` and \`reset_period\` out.`,
  );
}

function whereOf(use: FeatureUse): string {
  const place = placeAt(use.node.file, use.node.start);
  return `${quoted(place.file)}, line ${place.line}, column ${place.column}`;
}
