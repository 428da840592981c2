import type pg from 'pg';
import type { FoundSubject, SearchKind, SubjectSearch } from '../service/contracts/find-subjects.js';

/**
 * Of the pool that searches: every statement here has one way that stays fast at a million customers, which is to walk the
 * index of words and to stop. Statistics that are old (a million were just imported) must not talk the planner into sorting.
 */
export const SEARCH_SESSION = [
  'set enable_sort = off',
  'set enable_incremental_sort = off',
  'set enable_bitmapscan = off',
  'set enable_seqscan = off',
  'set enable_hashjoin = off',
  'set enable_mergejoin = off',
  'set jit = off',
] as const;

/** Beyond every character of a word, in the order of bytes. */
const LAST = '\u{10ffff}';

/** At most so many are counted to tell a rare beginning from a common one. */
const COUNTED = 2000;

const RANGE = 'w.environment_id = $1 and w.kind = $2 and w.word >= $3 and w.word < $4';
/**
 * One lower bound and no second one beside it: of a comparison of rows and of a plain one, the index may begin at the plain or
 * at the other, and then walk everything between the two.
 */
const AFTER =
  'w.environment_id = $1 and w.kind = $2 and w.word < $3 and (w.word, w.customer_id, w.key) > ($4, $5::uuid, $6)';
const IN_ORDER = 'order by w.word, w.customer_id, w.key';

/**
 * The candidates in the order of the index, at most so many; of them those at the first of their words that begins so, who
 * have a word for every other beginning too. `offset 0` keeps each of these questions one look into the primary key; as joins
 * they would be asked of everyone first.
 */
function pageStatement(others: number): string {
  const has = (from: number, more: string) => `exists (select from search_word o
        where o.customer_id = w.customer_id and o.kind = $2 and o.key = w.key
          and o.word >= $${from} ${more} offset 0)`;
  const conditions = Array.from({ length: others }, (_, index) =>
    has(10 + 2 * index, `and o.word < $${11 + 2 * index}`),
  );
  return `select w.word, w.customer_id, w.key from (
      select w.word, w.customer_id, w.key from search_word w where ${AFTER} ${IN_ORDER} limit $7) w
    where not ${has(9, 'and o.word < w.word')}${conditions.map((condition) => ` and ${condition}`).join('')}
    ${IN_ORDER} limit $8`;
}

const LAST_CANDIDATE = `select w.word, w.customer_id, w.key from search_word w
  where ${AFTER} ${IN_ORDER} offset $7 limit 1`;

const COUNT = `select count(*) as count from (
  select from search_word w where ${RANGE} limit ${COUNTED}) w`;

interface WordRow {
  readonly word: string;
  readonly customer_id: string;
  readonly key: string;
}

function toFound({ word, customer_id, key }: WordRow): FoundSubject {
  return { word, customerId: customer_id, key };
}

export function createSubjectSearch(pool: Pick<pg.Pool, 'query'>): SubjectSearch {
  const range = (environmentId: string, kind: SearchKind, term: string) => [
    environmentId,
    kind,
    term,
    `${term}${LAST}`,
  ];
  return {
    async count(environmentId, kind, term) {
      const result = await pool.query<{ count: number }>(COUNT, range(environmentId, kind, term));
      return result.rows[0]?.count ?? 0;
    },

    async page({ environmentId, kind, term, others, after, candidates, limit }) {
      const bounds = [environmentId, kind, `${term}${LAST}`, after.word, after.customerId, after.key];
      const values = [
        ...bounds,
        candidates,
        limit,
        term,
        ...others.flatMap((other) => [other, `${other}${LAST}`]),
      ];
      const { rows } = await pool.query<WordRow>(pageStatement(others.length), values);
      if (rows.length >= limit) return { found: rows.map(toFound), lookedUpTo: null };
      const last = await pool.query<WordRow>(LAST_CANDIDATE, [...bounds, candidates - 1]);
      const row = last.rows[0];
      return { found: rows.map(toFound), lookedUpTo: row === undefined ? null : toFound(row) };
    },
  };
}
