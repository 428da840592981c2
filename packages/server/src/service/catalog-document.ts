import { Draft, itemKey } from '@pennon/engine/catalog/draft';
import { IssueSink } from '@pennon/engine/catalog/issue-sink';
import { readItem } from '@pennon/engine/catalog/read-document';
import { readJson } from '@pennon/engine/catalog/read-json';
import { SchemaReader, SourceMap } from '@pennon/engine/catalog/schema-reader';
import { sourceFile } from '@pennon/engine/catalog/source-node';
import type { StoredItem } from '../store/catalog-rows.js';
import { hashOf } from './item-hash.js';

export type StoredDocument =
  | { readonly ok: true; readonly document: object }
  | { readonly ok: false; readonly problem: string };

/**
 * Reads the text of a stored item as the schema says. Whatever stands there is a value, never an exception: rows may have been
 * changed by hand, or written by a release that knows more.
 */
export function readStoredDocument(item: Pick<StoredItem, 'kind' | 'key' | 'text' | 'hash'>): StoredDocument {
  if (hashOf(item.text) !== item.hash)
    return { ok: false, problem: 'its text is not the one that was published' };
  const issues = new IssueSink();
  const sources = new SourceMap();
  const draft = new Draft();
  const root = readJson(sourceFile(item.key, item.text), issues);
  if (root !== null)
    readItem(item.kind, root, { issues, sources, reader: new SchemaReader(issues, sources), draft });
  const [first] = issues.sorted([{ name: item.key }]).filter((issue) => issue.severity === 'error');
  if (first !== undefined) return { ok: false, problem: first.message };
  const read = draft.items[0]?.item;
  if (read === undefined) return { ok: false, problem: 'its text is no item of the catalog' };
  if (itemKey(read) !== item.key) return { ok: false, problem: `its text is of \`${itemKey(read)}\`` };
  return { ok: true, document: read.value };
}
