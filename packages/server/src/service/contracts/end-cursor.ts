import type { EndPosition } from '../../store/grant-lists.js';
import { fromInstant } from '../../store/instant.js';
import { isId } from '../new-id.js';
import { fromCursor } from '../page.js';
import { fromTime } from '../times.js';

const NEVER = 'infinity';

/** Reads the cursor of a list that goes by the end. */
export function endPositionOf(cursor: string | undefined): EndPosition | undefined {
  const [end, id] = fromCursor(cursor, 2) ?? [];
  if (end === undefined || id === undefined || !isId(id)) return undefined;
  return { endsAt: end === NEVER ? null : fromInstant(fromTime(end, 'cursor')), id };
}

export function endCursorOf(row: { readonly ends_at: Date | null; readonly id: string }): readonly string[] {
  return [row.ends_at === null ? NEVER : row.ends_at.toISOString(), row.id];
}
