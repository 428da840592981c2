import { isJsonObject } from '@pennon/engine/model/json';
import type { StoredItem } from '../store/catalog-rows.js';

/** Reads the canonical text of a stored item. Whatever stands there is a value, never an exception. */
export function readStoredDocument(
  item: Pick<StoredItem, 'kind' | 'key' | 'text'>,
): { readonly ok: true; readonly document: object } | { readonly ok: false; readonly problem: string } {
  let document: unknown;
  try {
    document = JSON.parse(item.text);
  } catch (error) {
    return { ok: false, problem: `its text is not JSON: ${error instanceof Error ? error.message : error}` };
  }
  if (!isJsonObject(document)) return { ok: false, problem: 'its text is not an object' };
  return { ok: true, document };
}
