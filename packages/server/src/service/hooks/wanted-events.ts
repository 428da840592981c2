import { isHookEventType } from '@pennon/protocol/webhooks/events';

/* Which webhook is told of what. */

export interface HookFilter {
  readonly id: string;
  readonly environment_id: string;
  /** `null`: any. */
  readonly product_id: string | null;
  /** The JSON of a list of types; `null`: all. */
  readonly types: string | null;
}

export interface HookSubject {
  readonly environment_id: string;
  readonly product_id: string | null;
  readonly type: string;
}

/** INVARIANT (law 11): nothing of another environment, nor of a product that the webhook is not for. */
export function isWanted(filter: HookFilter, event: HookSubject): boolean {
  if (filter.environment_id !== event.environment_id) return false;
  if (filter.product_id !== null && filter.product_id !== event.product_id) return false;
  // A row of a later release, which this one could not put into words.
  if (!isHookEventType(event.type)) return false;
  return filter.types === null || typesOf(filter.types).has(event.type);
}

const read = new Map<string, ReadonlySet<string>>();
const READ_AT_MOST = 1000;

function typesOf(text: string): ReadonlySet<string> {
  const known = read.get(text);
  if (known !== undefined) return known;
  const types = new Set(JSON.parse(text) as readonly string[]);
  if (read.size >= READ_AT_MOST) read.clear();
  read.set(text, types);
  return types;
}
