import type { ItemKind } from '../model/catalog.js';
import type { JsonValue } from '../model/json.js';
import { type AnyItem, type Draft, itemKey } from './draft.js';
import { type IssueSink, quoted } from './issue-sink.js';
import type { SchemaReader, SourceMap } from './schema-reader.js';
import { memberOf, placeAt, type SourceNode } from './source-node.js';

export interface ReadingRoom {
  readonly issues: IssueSink;
  readonly reader: SchemaReader;
  readonly sources: SourceMap;
  readonly draft: Draft;
}

/** The schema has just checked the shape, which the compiler cannot see. */
export function admit(item: { kind: ItemKind; value: JsonValue }, node: SourceNode, room: ReadingRoom): void {
  const checked = item as unknown as AnyItem;
  room.draft.items.push({ item: checked, node });
  room.draft.noteKey(checked.kind, itemKey(checked));
}

/** Features and flags share one namespace. The second definition is the fault, and it names the place of the first. */
export function claimKey(kind: ItemKind, key: string, node: SourceNode, room: ReadingRoom): boolean {
  const { draft, issues } = room;
  const identity = `${kind === 'flag' ? 'feature' : kind} ${kind === 'product' ? '' : key}`;
  const first = draft.places.get(identity);
  draft.noteKey(kind, key);
  if (kind === 'plan' || kind === 'addon') draft.noteKey(kind, key.replace(/@[0-9]+$/, ''));
  if (first === undefined) {
    draft.places.set(identity, { node, reference: { kind, key } });
    return true;
  }
  const place = placeAt(first.node.file, first.node.start);
  const at = memberOf(node, kind === 'test' ? 'name' : 'key')?.value ?? node;
  const hint =
    kind === 'plan' || kind === 'addon'
      ? ' Give one of them another `version`.'
      : kind === 'feature' || kind === 'flag'
        ? ' Features and flags share one namespace.'
        : '';
  issues.at(
    at,
    'DUPLICATE_DEFINITION',
    `The ${kind} ${quoted(key)} is already defined as a ${first.reference.kind} in ${quoted(place.file)}, line ${place.line}, column ${place.column}; keep one.${hint}`,
  );
  return false;
}
