/*
 * Rows that are on their way before it is known whether what they rest on stands (ADR 31). The transaction asks that itself, under its locks,
 * and says it to the statements that follow: they write everything or nothing, and nothing fails.
 */

/** `standing`: only where the transaction found everything as it was expected. */
export type Writing = 'always' | 'standing';

/** A setting that ends with the transaction. */
const SETTING = 'pennon.stands';

export const IT_STANDS = `current_setting('${SETTING}', true) = 'yes'`;

/** An expression that says it, and gives back `yes` or `no`. */
export function sayThatItStands(condition: string): string {
  return `set_config('${SETTING}', case when ${condition} then 'yes' else 'no' end, true)`;
}
