import { LIMITS } from '@pennon/engine/model/limits';
import type { OepRefusal } from './request.js';

/* From the query of a history to a question; unknown parameters are ignored. */

export interface OepHistoryCall {
  readonly ok: true;
  readonly context: Readonly<Record<string, string>>;
  readonly key: string;
  readonly from: number;
  /** `null`: now. */
  readonly to: number | null;
  readonly window: 'hour' | 'day' | 'month';
  readonly by: readonly string[];
  readonly where: readonly { readonly name: string; readonly value: string }[];
}

const WINDOWS = ['hour', 'day', 'month'] as const;
const RFC_3339 = /^(\d{4})-(\d{2})-(\d{2})T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:Z|[+-]\d{2}:\d{2})$/;

type Query = Readonly<Record<string, string | readonly string[] | undefined>>;

/** Why a query is not read, thrown within this file only. */
class Unreadable extends Error {}

export function fromOepHistory(query: Query): OepHistoryCall | OepRefusal {
  try {
    return readQuery(query);
  } catch (error) {
    if (!(error instanceof Unreadable)) throw error;
    return { ok: false, errorCode: 'PARSE_ERROR', message: error.message };
  }
}

function readQuery(query: Query): OepHistoryCall {
  const key = oneOf(query, 'key');
  const from = oneOf(query, 'from');
  if (key === null) throw new Unreadable('Send the key of a metered feature as `key`.');
  if (from === null) throw new Unreadable('Send `from`, an RFC 3339 time like `2027-01-31T00:00:00Z`.');
  const to = oneOf(query, 'to');
  const sent = oneOf(query, 'window') ?? 'day';
  const window = WINDOWS.find((one) => one === sent);
  if (window === undefined) throw new Unreadable('`window` must be `hour`, `day` or `month`.');
  const context: Record<string, string> = {};
  for (const name of ['targetingKey', 'user', 'instance']) {
    const value = oneOf(query, name);
    if (value !== null) context[name] = value;
  }
  return {
    ok: true,
    context,
    key,
    from: timeOf(from, 'from'),
    to: to === null ? null : timeOf(to, 'to'),
    window,
    by: namesOf(oneOf(query, 'by')),
    where: filtersOf(query.where),
  };
}

function oneOf(query: Query, name: string): string | null {
  const value = query[name];
  if (value === undefined || value === '') return null;
  if (typeof value === 'string') return value;
  throw new Unreadable(`\`${name}\` was sent more than once.`);
}

function timeOf(text: string, name: string): number {
  // A `+` of an offset that was not percent-encoded arrives as a space.
  const parts = RFC_3339.exec(text.replace(' ', '+'));
  const instant = parts === null ? Number.NaN : Date.parse(parts[0]);
  const [year = 0, month = 0, day = 0] = parts === null ? [] : parts.slice(1, 4).map(Number);
  if (Number.isNaN(instant) || instant < 0 || day > new Date(Date.UTC(year, month, 0)).getUTCDate()) {
    throw new Unreadable(
      `\`${name}\` must be an RFC 3339 time with an offset, like \`2027-01-31T00:00:00Z\`.`,
    );
  }
  return instant;
}

/** Attribute names with commas between, each once. */
export function namesOf(text: string | null): readonly string[] {
  const names = (text ?? '').split(',').map((name) => name.trim());
  return [...new Set(names.filter((name) => name !== ''))];
}

function filtersOf(value: string | readonly string[] | undefined): OepHistoryCall['where'] {
  const texts = value === undefined || value === '' ? [] : typeof value === 'string' ? [value] : value;
  const filters = filtersFrom(texts);
  if (filters === null) throw new Unreadable(FILTER_HINT);
  return filters;
}

export const FILTER_HINT = `\`where\` must be \`attribute=value\`, at most ${LIMITS.historyFilters.value} of them.`;

/** `null`: one of them is no `attribute=value`, or there are too many. */
export function filtersFrom(texts: readonly string[]): OepHistoryCall['where'] | null {
  if (texts.length > LIMITS.historyFilters.value) return null;
  const filters = texts.map((text) => {
    const at = text.indexOf('=');
    return { name: text.slice(0, Math.max(0, at)).trim(), value: text.slice(at + 1) };
  });
  return filters.every(({ name, value }) => name !== '' && !/\p{Cc}/u.test(value)) ? filters : null;
}
