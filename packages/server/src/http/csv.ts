const NEEDS_QUOTES = /[",\r\n]|^\s|\s$/;
/** What a spreadsheet would take for a formula, were it not for the quote before it. */
const FORMULA = /^[=+\-@\t\r]/;

/** One line of RFC 4180. Texts that somebody else chose go through `formulaSafe` first. */
export function toCsvLine(values: readonly string[]): string {
  const cells = values.map((value) =>
    NEEDS_QUOTES.test(value) ? `"${value.replaceAll('"', '""')}"` : value,
  );
  return `${cells.join(',')}\r\n`;
}

/** A text that no spreadsheet calculates: one that begins like a formula gets a `'` before it, as spreadsheets write it themselves. */
export function formulaSafe(text: string): string {
  return FORMULA.test(text) ? `'${text}` : text;
}
