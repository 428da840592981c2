/*
 * Array parameters as PostgreSQL reads them. The driver's own conversion inspects every element; these know their type, and
 * a batch of consumptions is mostly arrays.
 */

const NEEDS_ESCAPE = /["\\]/;

export function textArray(values: readonly (string | null)[]): string {
  let text = '{';
  for (let index = 0; index < values.length; index += 1) {
    const value = values[index];
    if (index > 0) {
      text += ',';
    }
    if (value === null || value === undefined) {
      text += 'NULL';
    } else if (NEEDS_ESCAPE.test(value)) {
      text += `"${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
    } else {
      text += `"${value}"`;
    }
  }
  return `${text}}`;
}

export function numberArray(values: readonly (number | null)[]): string {
  return `{${values.map((value) => (value === null ? 'NULL' : String(value))).join(',')}}`;
}
