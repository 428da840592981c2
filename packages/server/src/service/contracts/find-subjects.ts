import { LIMITS } from '@pennon/engine/model/limits';
import { isId } from '../new-id.js';
import { fromCursor, type Page, toCursor } from '../page.js';
import { ServiceError } from '../service-error.js';
import { refuse } from './refusals.js';
import { searchTerms } from './search-words.js';

export type SearchKind = 'customer' | 'archived' | 'user' | 'instance';

/** A customer (`key` is empty), or a user or instance of it, with the word that it was found by. */
export interface FoundSubject {
  readonly word: string;
  readonly customerId: string;
  readonly key: string;
}

export interface SearchPage {
  readonly environmentId: string;
  readonly kind: SearchKind;
  /** The beginning whose words are walked. */
  readonly term: string;
  /** What is found has a word for each of these beginnings too. */
  readonly others: readonly string[];
  /** Not before `term` itself. */
  readonly after: FoundSubject;
  /** At most so many words are looked at. */
  readonly candidates: number;
  readonly limit: number;
}

/** The store's side of searching; every method costs about as much whatever is asked. */
export interface SubjectSearch {
  /** How many words begin so, counted no further than it takes to tell rare from common. */
  count(environmentId: string, kind: SearchKind, term: string): Promise<number>;
  /** `lookedUpTo`: the page is not full, and there are candidates beyond this one. */
  page(
    page: SearchPage,
  ): Promise<{ readonly found: readonly FoundSubject[]; readonly lookedUpTo: FoundSubject | null }>;
}

/** Before everything that begins so: no id of ours is all zeros. */
const NO_ID = '00000000-0000-0000-0000-000000000000';

/**
 * One page of what has a word for every beginning of `search`, in the order of the words that the rarest beginning found. A
 * page may hold fewer than `limit` and still have a cursor: only so many candidates are looked at for each, so that two
 * common beginnings that hardly ever meet cost a page no more than others do.
 */
export async function findSubjects(
  store: SubjectSearch,
  environmentId: string,
  kind: SearchKind,
  query: {
    readonly search: string;
    readonly limit: number;
    readonly cursor?: string | undefined;
  },
): Promise<Page<FoundSubject>> {
  const { limit } = query;
  const terms = searchTerms(query.search);
  if (terms.length > LIMITS.searchTerms.value) throw tooManyTerms(terms.length);
  const from = startOf(query.cursor, terms);
  const term = from?.term ?? (await rarest(store, environmentId, kind, terms));
  if (term === null) return { items: [], nextCursor: null };
  const { found, lookedUpTo } = await store.page({
    environmentId,
    kind,
    term,
    others: terms.filter((other) => other !== term),
    after: from?.after ?? { word: term, customerId: NO_ID, key: '' },
    candidates: LIMITS.searchCandidates.value,
    limit: limit + 1,
  });
  const items = found.slice(0, limit);
  const last = found.length > limit ? items.at(-1) : lookedUpTo;
  const nextCursor =
    last === undefined || last === null ? null : toCursor([term, last.word, last.customerId, last.key]);
  return { items, nextCursor };
}

/** The walk goes on with the beginning that it began with, however common it has become. */
function startOf(
  cursor: string | undefined,
  terms: readonly string[],
): { readonly term: string; readonly after: FoundSubject } | null {
  const position = fromCursor(cursor, 4);
  if (position === null) return null;
  const [term = '', word = '', customerId = '', key = ''] = position;
  if (!terms.includes(term) || !word.startsWith(term) || !isId(customerId)) {
    throw new ServiceError(
      'invalid',
      'CURSOR_INVALID',
      'The `cursor` belongs to another search. Send it with the `search` that it was given for, or send none.',
    );
  }
  return { term, after: { word, customerId, key } };
}

async function rarest(
  store: SubjectSearch,
  environmentId: string,
  kind: SearchKind,
  terms: readonly string[],
): Promise<string | null> {
  const [only] = terms;
  if (only === undefined || terms.length === 1) return only ?? null;
  const counts = await Promise.all(terms.map((term) => store.count(environmentId, kind, term)));
  let best = 0;
  for (const [index, count] of counts.entries()) {
    const known = counts[best] ?? 0;
    const longer = (terms[index]?.length ?? 0) > (terms[best]?.length ?? 0);
    if (count < known || (count === known && longer)) best = index;
  }
  return terms[best] ?? null;
}

function tooManyTerms(count: number): ServiceError {
  return refuse(
    'invalid',
    'SEARCH_TOO_LONG',
    `\`search\` has ${count} different words; at most ${LIMITS.searchTerms.value} are looked for. Leave out the common ones.`,
    'search',
  );
}
