import type { Catalog, Feature, ItemKind } from '../model/catalog.js';
import { LIMITS } from '../model/limits.js';
import { checkCatalog } from './check-catalog.js';
import { CheckScope } from './check-scope.js';
import { declareByUse } from './declare-by-use.js';
import { type AnyItem, catalogOf, Draft, EMPTY_CATALOG, itemKey, mergeCatalogs } from './draft.js';
import type { CatalogIssue, SourcePlace } from './issue.js';
import { IssueSink } from './issue-sink.js';
import { readDocument, readItem } from './read-document.js';
import { readJson } from './read-json.js';
import { readYaml } from './read-yaml.js';
import type { ReadingRoom } from './reading-room.js';
import { SchemaReader, SourceMap } from './schema-reader.js';
import { placeAt, type SourceNode, sourceFile } from './source-node.js';

export interface CatalogFile {
  /** Shown in faults; `.json` is read as JSON, anything else as YAML. */
  readonly name: string;
  readonly text: string;
}

export interface ParseOptions {
  /** References that point nowhere are accepted, for a part of a catalog that stands alone. `known` turns this off. */
  readonly partial?: boolean;
  /** What stands elsewhere (on the server): references may point there, and items of the same key replace it. */
  readonly known?: Catalog;
  /** The environments that exist; without them every name is accepted. */
  readonly environments?: readonly string[];
}

export interface ParsedCatalog {
  /** What the documents say, without `known`; `null` when there is an error: a bad document is refused whole. */
  readonly catalog: Catalog | null;
  /** Every fault found, in reading order. */
  readonly issues: readonly CatalogIssue[];
  /** Where each item is written, by `kind key`, for example `plan pro@1` (see `positionKey`). */
  readonly positions: ReadonlyMap<string, SourcePlace>;
}

export function positionKey(kind: ItemKind, key: string): string {
  return `${kind} ${key}`;
}

/** Reads one or many YAML (multi-document) or JSON files as one catalog (spec: the catalog document). Never throws. */
export function parseCatalog(files: readonly CatalogFile[], options: ParseOptions = {}): ParsedCatalog {
  const room = readingRoom();
  if (withinSize(files, room.issues)) {
    for (const file of files) {
      for (const root of readFile(file, room.issues)) if (root !== null) readDocument(root, room);
    }
  }
  return conclude(room, files, options);
}

/** One stored or sent item: the JSON text of a flag, feature, plan … as in the lists of the document. */
export interface ItemText {
  readonly kind: ItemKind;
  /** Shown in faults instead of a file name. */
  readonly name: string;
  readonly text: string;
}

/**
 * Reads items one by one, each a JSON text of its own: the catalog that rows make, checked as a whole. Short forms do not
 * occur here.
 */
export function parseItems(items: readonly ItemText[], options: ParseOptions = {}): ParsedCatalog {
  const room = readingRoom();
  for (const { kind, name, text } of items) {
    if (!withinSize([{ name, text }], room.issues)) continue;
    const root = readJson(sourceFile(name, text), room.issues);
    if (root !== null) readItem(kind, root, room);
  }
  return conclude(room, items, options);
}

/** One item of a REST body, with the same validation; `item` is `null` when there is an error. */
export function parseCatalogItem(
  kind: ItemKind,
  text: string,
  options: ParseOptions = {},
): { readonly item: AnyItem | null; readonly key: string | null; readonly issues: readonly CatalogIssue[] } {
  const room = readingRoom();
  const name = kind;
  if (withinSize([{ name, text }], room.issues)) {
    const root = readJson(sourceFile(name, text), room.issues);
    if (root !== null) readItem(kind, root, room);
  }
  const { catalog, issues } = conclude(room, [{ name }], options);
  const item = catalog === null ? null : (room.draft.items[0]?.item ?? null);
  return { item, key: item === null ? null : itemKey(item), issues };
}

function readingRoom(): ReadingRoom {
  const issues = new IssueSink();
  const sources = new SourceMap();
  return { issues, sources, reader: new SchemaReader(issues, sources), draft: new Draft() };
}

function withinSize(files: readonly CatalogFile[], issues: IssueSink): boolean {
  const total = files.reduce((sum, file) => sum + utf8Length(file.text), 0);
  const { value, unit } = LIMITS.documentBytes;
  if (total <= value) return true;
  const last = files[files.length - 1];
  const file = sourceFile(last?.name ?? '', '');
  issues.atOffset(
    file,
    0,
    'DOCUMENT_TOO_LARGE',
    `The catalog has ${total} ${unit}, and at most ${value} are accepted.`,
  );
  return false;
}

/** Octets of the text in UTF-8; a lone surrogate counts as its replacement, 3. */
function utf8Length(text: string): number {
  let length = text.length;
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    if (unit >= 0x800) length += unit >= 0xd800 && unit <= 0xdfff ? 1 : 2;
    else if (unit >= 0x80) length += 1;
  }
  return length;
}

function readFile(file: CatalogFile, issues: IssueSink): (SourceNode | null)[] {
  const source = sourceFile(file.name, file.text);
  return /\.json$/i.test(file.name) ? [readJson(source, issues)] : readYaml(source, issues);
}

function conclude(
  room: ReadingRoom,
  files: readonly { readonly name: string }[],
  options: ParseOptions,
): ParsedCatalog {
  const { draft, issues, sources } = room;
  const known = options.known ?? EMPTY_CATALOG;
  declareByUse(room, new Map<string, Feature>(known.features.map((feature) => [feature.key, feature])));
  const catalog = catalogOf(draft.items.map(({ item }) => item));
  const scope = new CheckScope({
    catalog: mergeCatalogs(known, catalog),
    environments: options.environments,
    acceptUnknown: options.partial === true && options.known === undefined,
    issues,
    sources,
    written: draft.keys,
  });
  checkCatalog(draft, known, scope, room.reader.expressions);
  const positions = new Map(
    draft.items.map(({ item, node }) => [
      positionKey(item.kind, itemKey(item)),
      placeAt(node.file, node.start),
    ]),
  );
  return { catalog: issues.hasErrors ? null : catalog, issues: issues.sorted(files), positions };
}
