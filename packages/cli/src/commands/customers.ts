import { createReadStream, createWriteStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ReadableStream } from 'node:stream/web';
import { CommandFailure, type ExitCodeName } from '../exit-codes.js';
import { callManagement, streamManagement } from '../management-client.js';
import { count, type Output } from '../output.js';
import { type Connection, type ConnectionOptions, connectionOf } from '../settings.js';

export interface CustomerFileOptions extends ConnectionOptions {
  readonly environment: string;
}
export interface ImportOptions extends CustomerFileOptions {
  readonly mode?: string;
  readonly dryRun?: boolean;
  readonly reason?: string;
}

const NDJSON = 'application/x-ndjson';
/** Of one call; the next begins where it ended, so that files have no limit. */
const LINES_PER_CALL = 20_000;

interface Summary {
  lines: number;
  created: number;
  updated: number;
  unchanged: number;
  refused: number;
}

/** `pennon customers import`: a file of lines, taken over in calls that may each be sent again. */
export async function importCustomerFile(
  file: string,
  options: ImportOptions,
  output: Output,
): Promise<ExitCodeName> {
  const connection = connectionOf(options);
  const sum: Summary = { lines: 0, created: 0, updated: 0, unchanged: 0, refused: 0 };
  let lines: string[] = [];
  let from = 0;
  const send = async (): Promise<void> => {
    if (lines.length === 0) return;
    const told = await importLines(connection, options, lines, from, output);
    for (const name of Object.keys(sum) as (keyof Summary)[]) sum[name] += told[name];
    from += lines.length;
    lines = [];
  };
  const input = file === '-' ? process.stdin : createReadStream(file);
  for await (const line of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
    lines.push(line);
    if (lines.length >= LINES_PER_CALL) await send();
  }
  await send();
  output.print(
    `${count(sum.lines, 'line')}: ${sum.created} created, ${sum.updated} updated, ${sum.unchanged} unchanged, ${sum.refused} refused${options.dryRun === true ? ' (a dry run)' : ''}`,
  );
  return sum.refused === 0 ? 'success' : 'invalid';
}

async function importLines(
  connection: Connection,
  options: ImportOptions,
  lines: readonly string[],
  from: number,
  output: Output,
): Promise<Summary> {
  const { text } = await callManagement(connection, {
    method: 'POST',
    path: `/api/v1/environments/${encodeURIComponent(options.environment)}/import/customers`,
    query: {
      reason: options.reason ?? 'pennon customers import',
      mode: options.mode,
      dryRun: options.dryRun === true ? 'true' : undefined,
    },
    accept: NDJSON,
    body: { mediaType: NDJSON, text: lines.join('\n') },
  });
  let summary: Summary | null = null;
  for (const answer of text.split('\n')) {
    if (answer === '') continue;
    const told = JSON.parse(answer) as Record<string, unknown> & { readonly summary?: Summary };
    if (told.summary !== undefined) summary = told.summary;
    if (told.outcome === 'refused') {
      output.note(`line ${from + Number(told.line)}: ${String(told.code)} ${String(told.detail)}`);
    }
    if (told.error !== undefined) output.note(JSON.stringify(told.error));
  }
  if (summary === null) {
    throw new CommandFailure(
      'unavailable',
      `the server did not take everything after line ${from}; run the same command again, what was taken stays`,
    );
  }
  return summary;
}

/** `pennon customers export`: every customer as a line, as it comes. */
export async function exportCustomerFile(
  options: CustomerFileOptions & { readonly output?: string },
  output: Output,
): Promise<ExitCodeName> {
  const body = await streamManagement(
    connectionOf(options),
    `/api/v1/environments/${encodeURIComponent(options.environment)}/export/customers`,
    NDJSON,
  );
  const source = Readable.fromWeb(body as ReadableStream);
  if (options.output !== undefined) {
    await pipeline(source, createWriteStream(options.output));
    return 'success';
  }
  for await (const line of createInterface({ input: source })) output.print(line);
  return 'success';
}
