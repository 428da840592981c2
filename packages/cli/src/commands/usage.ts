import { createWriteStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ReadableStream } from 'node:stream/web';
import type { ExitCodeName } from '../exit-codes.js';
import { callManagementJson, streamManagement } from '../management-client.js';
import { type Output, printJson } from '../output.js';
import { productOf } from '../remote-catalog.js';
import { type ConnectionOptions, connectionOf } from '../settings.js';

export interface UsageOptions extends ConnectionOptions {
  readonly product?: string;
  readonly environment: string;
  readonly feature?: string;
  readonly json?: boolean;
}

/** What of an item is shown. */
interface Standing {
  readonly customer: string;
  readonly feature: string;
  readonly scope: string;
  readonly limit: { readonly kind: 'finite' | 'unlimited'; readonly value?: number };
  readonly usage: number;
  readonly reserved: number;
  readonly percent: number | null;
  readonly period: { readonly end: string } | null;
}

interface UsagePage {
  readonly items: readonly Standing[];
  readonly nextCursor: string | null;
}

/** `pennon usage show CUSTOMER`: how its metered features stand now. */
export async function showUsage(
  customer: string,
  options: UsageOptions,
  output: Output,
): Promise<ExitCodeName> {
  const path = `${environmentPath(options)}/customers/${encodeURIComponent(customer)}/usage`;
  const items: Standing[] = [];
  for (let cursor: string | null | undefined; cursor !== null; ) {
    const page: UsagePage = await callManagementJson<UsagePage>(connectionOf(options), {
      method: 'GET',
      path,
      query: { product: options.product, feature: options.feature, limit: '100', cursor },
    });
    items.push(...page.items);
    cursor = page.nextCursor;
  }
  tell(items, options, output, ({ feature, scope }) => (scope === '' ? feature : `${feature} ${scope}`));
  return 'success';
}

/** `pennon usage near`: who is near or over a limit, most first. */
export async function nearUsage(
  options: UsageOptions & { readonly percent: string; readonly limit: string },
  output: Output,
): Promise<ExitCodeName> {
  const { items, nextCursor } = await callManagementJson<UsagePage>(connectionOf(options), {
    method: 'GET',
    path: `${productPath(options)}/near`,
    query: { feature: options.feature, percent: options.percent, limit: options.limit },
  });
  tell(items, options, output, ({ customer, feature, scope }) =>
    [customer, feature, ...(scope === '' ? [] : [scope])].join(' '),
  );
  if (nextCursor !== null) output.note(`There are more than ${options.limit}: ask with a larger --limit.`);
  return 'success';
}

export interface UsageExportOptions extends UsageOptions {
  readonly from: string;
  readonly to?: string;
  readonly window?: string;
  readonly by?: string;
  readonly format: string;
  readonly output?: string;
}

/** `pennon usage export`: what every customer used, as it comes. */
export async function exportUsageFile(options: UsageExportOptions, output: Output): Promise<ExitCodeName> {
  const { from, to, window, by, feature, format } = options;
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries({ from, to, window, by, feature, format })) {
    if (value !== undefined) query.set(name, value);
  }
  const accept = format === 'csv' ? 'text/csv' : 'application/x-ndjson';
  const path = `${productPath(options)}/export?${query}`;
  const body = await streamManagement(connectionOf(options), path, accept);
  const source = Readable.fromWeb(body as ReadableStream);
  if (options.output !== undefined) {
    await pipeline(source, createWriteStream(options.output));
    return 'success';
  }
  for await (const line of createInterface({ input: source })) output.print(line);
  return 'success';
}

function environmentPath({ environment }: UsageOptions): string {
  return `/api/v1/environments/${encodeURIComponent(environment)}`;
}

function productPath(options: UsageOptions): string {
  return `${environmentPath(options)}/products/${encodeURIComponent(productOf(options.product, null))}/usage`;
}

function tell(
  items: readonly Standing[],
  options: UsageOptions,
  output: Output,
  nameOf: (item: Standing) => string,
): void {
  if (options.json === true) {
    printJson(output, items);
    return;
  }
  const wide = Math.max(0, ...items.map((item) => nameOf(item).length));
  for (const item of items) {
    const { limit, usage, reserved, percent, period } = item;
    const most = limit.kind === 'unlimited' ? 'unlimited' : String(limit.value);
    const held = reserved === 0 ? '' : `, ${reserved} held`;
    const share = percent === null ? '' : ` (${percent} %)`;
    const until = period === null ? '' : `, until ${period.end}`;
    output.print(`${nameOf(item).padEnd(wide)}  ${usage} of ${most}${share}${held}${until}`);
  }
}
