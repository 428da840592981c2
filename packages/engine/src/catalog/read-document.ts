import { suggestName } from '../cel/suggest.js';
import { type ItemKind, versionedKey } from '../model/catalog.js';
import type { JsonObject } from '../model/json.js';
import { LISTED_KINDS, SECTION_OF } from './draft.js';
import { quoted } from './issue-sink.js';
import { admit, claimKey, type ReadingRoom } from './reading-room.js';
import { CATALOG_SCHEMA } from './schema.js';
import { ref } from './schema-words.js';
import { readShortFlag, readShortPlan } from './short-form.js';
import { memberOf, type SourceMember, type SourceNode, typeNameOf } from './source-node.js';

const KIND_OF_SECTION = new Map<string, ItemKind>(LISTED_KINDS.map((kind) => [SECTION_OF[kind], kind]));

/** Reads one (YAML or JSON) document into the draft. */
export function readDocument(root: SourceNode, room: ReadingRoom): void {
  if (root.kind !== 'object') {
    // Between two `---` of YAML nothing may stand; a written `null` is a value, and not a document.
    if (root.kind === 'scalar' && root.value === null && root.start === root.end) return;
    room.issues.at(root, 'WRONG_TYPE', `A catalog document is an object, and this is ${typeNameOf(root)}.`);
    return;
  }
  const short = root.members.filter((member) => member.key === 'plan' || member.key === 'flag');
  if (short.length > 0 && root.members.length > 1) {
    const other = root.members.find((member) => member !== short[0]) ?? short[0];
    if (other) {
      const message = `The short form has one object to a document: put ${quoted(short[0]?.key)} and ${quoted(other.key)} into documents of their own, with \`---\` between.`;
      room.issues.at(other.value, 'ONE_OF', message, { offset: other.keyStart });
    }
  }
  for (const member of root.members) readMember(member, room);
}

function readMember(member: SourceMember, room: ReadingRoom): void {
  const { key, value } = member;
  const kind = KIND_OF_SECTION.get(key);
  if (kind !== undefined) readList(kind, value, room);
  else if (key === 'product') readItem('product', value, room);
  else if (key === 'context') readItem('context', value, room);
  else if (key === 'plan') readShortPlan(value, room);
  else if (key === 'flag') readShortFlag(value, room);
  else {
    const names = Object.keys(CATALOG_SCHEMA.properties ?? {});
    room.issues.at(value, 'UNKNOWN_MEMBER', `${quoted(key)} is not a part of a catalog.`, {
      offset: member.keyStart,
      suggestion: suggestName(key, names),
    });
  }
}

function readList(kind: ItemKind, node: SourceNode, room: ReadingRoom): void {
  if (node.kind !== 'array') {
    room.issues.at(
      node,
      'WRONG_TYPE',
      `${quoted(node.segment)} must be a list, and this is ${typeNameOf(node)}.`,
    );
    return;
  }
  const maximum = CATALOG_SCHEMA.properties?.[String(node.segment)]?.maxItems ?? Number.POSITIVE_INFINITY;
  const before = room.draft.keys.get(kind)?.size ?? 0;
  for (const [index, item] of node.items.entries()) {
    if (before + index === maximum) {
      room.issues.at(
        item,
        'TOO_MANY',
        `There are more than ${maximum} ${quoted(node.segment)}; remove some.`,
      );
      return;
    }
    readItem(kind, item, room);
  }
}

/** Reads one item, notes its key, and admits it unless another of the same key stands elsewhere. */
export function readItem(kind: ItemKind, node: SourceNode, room: ReadingRoom): void {
  const key = writtenKey(kind, node);
  room.issues.within(key === undefined ? undefined : { kind, key }, () => {
    const schema = kind === 'context' ? (CATALOG_SCHEMA.properties?.context ?? {}) : ref(kind);
    const value = room.reader.read(schema, node);
    const fresh = key === undefined || claimKey(kind, key, node, room);
    if (value !== undefined && fresh) admit({ kind, value: value as JsonObject }, node, room);
  });
}

/** The key as written, also of an item that has other faults. */
function writtenKey(kind: ItemKind, node: SourceNode): string | undefined {
  if (kind === 'context') return 'context';
  const text = scalarText(memberOf(node, kind === 'test' ? 'name' : 'key')?.value);
  if (text === undefined || (kind !== 'plan' && kind !== 'addon')) return text;
  const version = memberOf(node, 'version')?.value;
  return versionedKey(
    text,
    version?.kind === 'scalar' && typeof version.value === 'number' ? version.value : 0,
  );
}

function scalarText(node: SourceNode | undefined): string | undefined {
  return node?.kind === 'scalar' && typeof node.value === 'string' ? node.value : undefined;
}
