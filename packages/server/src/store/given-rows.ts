import { numberArray, textArray } from './array-literal.js';

/*
 * Rows that a statement is given. Most transactions are of one customer and one account, and an array costs PostgreSQL as much to take
 * apart as the account to write: a row alone is given as plain values.
 */

export type RowForm = 'one' | 'many';

interface TextColumn<Row> {
  readonly name: string;
  readonly type: 'uuid' | 'text';
  readonly of: (row: Row) => string | null;
}

interface NumberColumn<Row> {
  readonly name: string;
  readonly type: 'bigint' | 'integer';
  readonly of: (row: Row) => number | null;
}

/** What a column is called in the statement, and where its values come from. */
export type GivenColumn<Row> = TextColumn<Row> | NumberColumn<Row>;

/** The text of a statement by the form in which it gets its rows. */
export type TextByForm = Readonly<Record<RowForm, string>>;

export interface GivenRows<Row> {
  /** @param textOf gets the rows as an item of a `from`, called `n`. */
  text(textOf: (rows: string) => string): TextByForm;
  /** In the order of the columns. */
  values(rows: readonly Row[], form: RowForm): readonly (string | null)[];
  /** The number of the parameter after them. */
  readonly next: number;
}

export function formOf(rows: readonly unknown[]): RowForm {
  return rows.length === 1 ? 'one' : 'many';
}

/** @param first the number of the first parameter */
export function givenRows<Row>(first: number, columns: readonly GivenColumn<Row>[]): GivenRows<Row> {
  const names = columns.map(({ name }) => name).join(', ');
  const plain = columns.map(({ type }, index) => `$${first + index}::${type}`).join(', ');
  const arrays = columns.map(({ type }, index) => `$${first + index}::${type}[]`).join(', ');
  return {
    next: first + columns.length,
    text: (textOf) => ({
      one: textOf(`(select ${plain}) as n (${names})`),
      many: textOf(`unnest(${arrays}) as n (${names})`),
    }),
    values(rows, form) {
      const [only] = rows;
      if (form === 'one' && only !== undefined) {
        return columns.map(({ of }) => plainText(of(only)));
      }
      return columns.map((column) =>
        isText(column) ? textArray(rows.map(column.of)) : numberArray(rows.map(column.of)),
      );
    },
  };
}

function isText<Row>(column: GivenColumn<Row>): column is TextColumn<Row> {
  return column.type === 'uuid' || column.type === 'text';
}

function plainText(value: string | number | null): string | null {
  return value === null ? null : String(value);
}
