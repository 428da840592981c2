import { ServiceError } from './service-error.js';

/**
 * Opaque cursors: the sort key of the last item of a page, as a JSON list of texts in base64url. They carry no authority: the
 * query that uses one is bounded by the credential's reach all the same.
 */
export function toCursor(position: readonly string[]): string {
  return Buffer.from(JSON.stringify(position), 'utf8').toString('base64url');
}

/** Reads a cursor of `length` texts; `null` for the first page; anything that the server did not make is 400. */
export function fromCursor(cursor: string | undefined, length: number): readonly string[] | null {
  if (cursor === undefined) {
    return null;
  }
  const position = parsed(cursor);
  if (
    !Array.isArray(position) ||
    position.length !== length ||
    !position.every((part): part is string => typeof part === 'string' && !part.includes('\u0000'))
  ) {
    throw cursorRefused();
  }
  return position;
}

export function cursorRefused(): ServiceError {
  return new ServiceError(
    'invalid',
    'CURSOR_INVALID',
    'The `cursor` is not one that this list gave. Send the `nextCursor` of the page before, unchanged, or none.',
    { items: [{ code: 'CURSOR_INVALID', message: 'Not a cursor of this list.', pointer: 'cursor' }] },
  );
}

function parsed(cursor: string): unknown {
  try {
    return JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
  } catch {
    return null;
  }
}

export interface Page<Item> {
  readonly items: Item[];
  readonly nextCursor: string | null;
}

/** Makes a page of `limit` items out of up to `limit + 1` rows that were read. */
export function toPage<Row, Item>(
  rows: readonly Row[],
  limit: number,
  toItem: (row: Row) => Item,
  positionOf: (row: Row) => readonly string[],
): Page<Item> {
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  return {
    items: shown.map(toItem),
    nextCursor: rows.length > limit && last !== undefined ? toCursor(positionOf(last)) : null,
  };
}
