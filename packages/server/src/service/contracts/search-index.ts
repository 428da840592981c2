import { sql } from 'kysely';
import type { DataChange } from './data-change.js';
import type { SearchKind } from './find-subjects.js';
import { searchWords } from './search-words.js';

/** What stands in the index of words for one customer, user or instance. */
export interface Indexed {
  readonly customerId: string;
  readonly kind: SearchKind;
  /** Empty for a customer. */
  readonly key: string;
  readonly words: readonly string[];
}

export function customerWords(row: {
  readonly id: string;
  readonly key: string;
  readonly external_id: string | null;
  readonly email: string | null;
  readonly name: string | null;
  readonly archived_at: Date | null;
}): Indexed {
  return {
    customerId: row.id,
    kind: row.archived_at === null ? 'customer' : 'archived',
    key: '',
    words: searchWords({ references: [row.key, row.external_id, row.email], name: row.name }),
  };
}

export function userWords(row: {
  readonly customer_id: string;
  readonly key: string;
  readonly email: string | null;
  readonly name: string | null;
}): Indexed {
  const words = searchWords({ references: [row.key, row.email], name: row.name });
  return { customerId: row.customer_id, kind: 'user', key: row.key, words };
}

export function instanceWords(row: {
  readonly customer_id: string;
  readonly key: string;
  readonly name: string | null;
}): Indexed {
  const words = searchWords({ references: [row.key], name: row.name });
  return { customerId: row.customer_id, kind: 'instance', key: row.key, words };
}

/** Rows of one statement: six parameters each, of the 65,535 that a statement may have. */
const ROWS_PER_STATEMENT = 5000;

/** Puts the words in the place of those that stood there. */
export async function indexWords(change: DataChange, subjects: readonly Indexed[]): Promise<void> {
  await removeWords(change, subjects);
  const rows = subjects.flatMap(({ customerId, kind, key, words }) =>
    words.map((word) => ({
      customer_id: customerId,
      kind,
      key,
      word,
      environment_id: change.environmentId,
    })),
  );
  for (let from = 0; from < rows.length; from += ROWS_PER_STATEMENT) {
    const part = rows.slice(from, from + ROWS_PER_STATEMENT);
    await change.transaction.insertInto('search_word').values(part).execute();
  }
}

export async function removeWords(
  change: DataChange,
  subjects: readonly Pick<Indexed, 'customerId' | 'kind' | 'key'>[],
): Promise<void> {
  const members = subjects.filter(({ key }) => key !== '');
  const customers = subjects.filter(({ key }) => key === '').map(({ customerId }) => customerId);
  if (customers.length > 0) {
    await change.transaction
      .deleteFrom('search_word')
      .where('customer_id', 'in', customers)
      .where('kind', 'in', ['customer', 'archived'])
      .execute();
  }
  if (members.length > 0) {
    // A join, not a list of tuples: of a thousand of those the planner thinks longer than it then reads.
    await sql`
      delete from search_word w
      using unnest(${members.map(({ customerId }) => customerId)}::uuid[], ${members.map(({ kind }) => kind)}::text[],
        ${members.map(({ key }) => key)}::text[]) as gone (customer_id, kind, key)
      where w.customer_id = gone.customer_id and w.kind = gone.kind and w.key = gone.key`.execute(
      change.transaction,
    );
  }
}
