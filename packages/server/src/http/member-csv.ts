import { finished } from 'node:stream/promises';
import { suggestName } from '@pennon/engine/cel/suggest';
import { CsvError, parse } from 'csv-parse';
import { type MemberLine, UnreadableLine } from '../service/contracts/import-members.js';
import { ServiceError } from '../service/service-error.js';
import type { StreamedBody } from './app.js';
import { toCsvLine } from './csv.js';

const COLUMNS = ['kind', 'key', 'startsAt', 'endsAt', 'reason'] as const;
type Column = (typeof COLUMNS)[number];
/** Longer than any line whose columns keep their limits. */
const LINE_CHARACTERS = 16_384;

interface Row {
  readonly record: readonly string[];
  readonly line: number;
}

/**
 * Reads members from CSV (RFC 4180): the first line names the columns, of which only `key` must be there; groups need no `kind`.
 * A heading that is wrong refuses the whole file, a line that is wrong only itself; where lines cannot be told apart any more, an
 * `UnreadableLine`.
 */
export async function* readMemberCsv(body: StreamedBody): AsyncGenerator<MemberLine> {
  let columns: readonly Column[] | null = null;
  let last = 0;
  for await (const row of readRows(body)) {
    if (row instanceof CsvError) {
      throw new UnreadableLine(
        last + 1,
        'CSV_MALFORMED',
        `The file cannot be read on from here: ${row.message} Neither this line nor what follows was taken.`,
      );
    }
    last = row.line;
    if (columns === null) columns = readHeading(row.record);
    else yield toLine(columns, row.record, row.line);
  }
  if (columns === null)
    throw heading('CSV_EMPTY', 'The file holds nothing. Its first line names the columns.');
}

/** The rows as they can be told apart; the fault that ended them comes last, after every row before it. */
async function* readRows(body: StreamedBody): AsyncGenerator<Row | CsvError> {
  const rows: (Row | CsvError)[] = [];
  const parser = parse({
    bom: true,
    relax_column_count: true,
    skip_empty_lines: true,
    max_record_size: LINE_CHARACTERS,
    on_record(record: readonly string[], { lines }) {
      rows.push({ record, line: lines });
      return null;
    },
  });
  parser.on('error', (error) => rows.push(error as CsvError));
  parser.resume();
  for await (const text of body) {
    await new Promise<void>((resolve) => parser.write(text, () => resolve()));
    yield* rows.splice(0);
    if (parser.destroyed) return;
  }
  parser.end();
  await finished(parser).catch(() => undefined);
  yield* rows.splice(0);
}

function readHeading(record: readonly string[]): readonly Column[] {
  const columns = record.map((text) => {
    const name = text.trim();
    const found = COLUMNS.find((column) => column === name);
    if (found !== undefined) return found;
    const suggestion = suggestName(name, [...COLUMNS]);
    throw heading(
      'CSV_COLUMN_UNKNOWN',
      `The column \`${name.slice(0, 64)}\` is not known.${suggestion === undefined ? '' : ` Did you mean \`${suggestion}\`?`} The first line names some of ${COLUMNS.map((column) => `\`${column}\``).join(', ')}.`,
    );
  });
  if (new Set(columns).size < columns.length) {
    throw heading('CSV_COLUMN_TWICE', 'The first line names a column twice.');
  }
  if (!columns.includes('key')) {
    throw heading('CSV_COLUMN_MISSING', 'The first line does not name the column `key`.');
  }
  return columns;
}

function heading(code: string, message: string): ServiceError {
  return new ServiceError('invalid', code, message, { items: [{ code, message, line: 1 }] });
}

function toLine(columns: readonly Column[], record: readonly string[], line: number): MemberLine {
  const of = (column: Column): string => {
    const index = columns.indexOf(column);
    return index === -1 ? '' : (record[index] ?? '').trim();
  };
  return {
    line,
    kind: of('kind'),
    key: of('key'),
    startsAt: of('startsAt'),
    endsAt: of('endsAt'),
    reason: of('reason'),
  };
}

export const MEMBER_CSV_HEADING = toCsvLine([...COLUMNS]);
