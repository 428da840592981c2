import { LIMITS } from '@pennon/engine/model/limits';
import { isTimeZone } from '@pennon/engine/period/anchor';
import { type HistoryWindow, windowEdges } from '@pennon/engine/period/windows';
import type {
  ApiUsageWindow,
  UsageExportQuery,
  UsageHistoryPage,
  UsageHistoryQuery,
} from '@pennon/protocol/management/usage';
import { filtersFrom, namesOf } from '@pennon/protocol/oep/history';
import {
  readCustomersAfter,
  readWindows,
  type WindowCursor,
  type WindowRow,
  type WindowsQuestion,
} from '../../store/usage-listings.js';
import { findCustomer } from '../contracts/customer-record.js';
import type { CustomerName } from '../contracts/customers.js';
import { productNamed } from '../contracts/named-product.js';
import { refuse } from '../contracts/refusals.js';
import type { Credential } from '../credential.js';
import { cursorRefused, fromCursor, toCursor } from '../page.js';
import { environmentInReach, productInReach } from '../scope.js';
import { fromTime, toTime } from '../times.js';
import type { UsageReading } from './list-usage.js';

/* Usage added up into windows: of one customer over its features in pages, of all customers of a product as a stream. */

/** What the history of one customer and the export ask alike. */
type SpanQuery = Pick<UsageExportQuery, 'from' | 'to' | 'window' | 'timeZone' | 'by' | 'where' | 'feature'>;

interface Span extends Pick<WindowsQuestion, 'edges' | 'by' | 'where'> {
  readonly timeZone: string;
}

/** @param zones whose zone counts where the query names none, the nearest first */
function spanOf(
  services: UsageReading,
  query: SpanQuery,
  zones: readonly (string | null | undefined)[],
): Span {
  const from = fromTime(query.from, 'from');
  const to = query.to === undefined ? services.clock.now() : fromTime(query.to, 'to');
  const timeZone = query.timeZone ?? zones.find((zone) => zone != null && isTimeZone(zone)) ?? 'UTC';
  if (!isTimeZone(timeZone)) {
    throw refuse(
      'invalid',
      'TIME_ZONE_INVALID',
      `\`${timeZone}\` is not a time zone. Write it like \`Europe/Berlin\`.`,
      'timeZone',
    );
  }
  if (from >= to) throw refuse('invalid', 'SPAN_INVALID', '`from` must be before `to`.', 'from');
  const window: HistoryWindow = query.window ?? 'day';
  const most = LIMITS.historyWindows.value;
  const edges = windowEdges({ window, timeZone, from, to, most });
  if (edges === null) {
    throw refuse(
      'invalid',
      'SPAN_TOO_LONG',
      `From \`from\` to \`to\` there are more than ${most} windows of \`${window}\`. Ask for a shorter span, or for larger windows.`,
      'from',
    );
  }
  const by = namesOf(query.by ?? null);
  const where = filtersFrom(query.where === undefined ? [] : [query.where]);
  if (where === null) throw refuse('invalid', 'QUERY_INVALID', '`where` must be `attribute=value`.', 'where');
  if (by.length > LIMITS.dimensionsPerFeature.value) {
    const least = `at most ${LIMITS.dimensionsPerFeature.value} attributes`;
    throw refuse('invalid', 'QUERY_INVALID', `\`by\` takes ${least}: a feature keeps no more.`, 'by');
  }
  return { edges, by, where, timeZone };
}

/** What one customer used, by feature, scope, window and attribute; windows in which nothing happened are left out. */
export async function listUsageHistory(
  services: UsageReading,
  credential: Credential,
  named: CustomerName,
  query: UsageHistoryQuery,
): Promise<UsageHistoryPage> {
  const environment = environmentInReach(services.directory, credential, named.environment);
  const product = productNamed(services.directory, credential, query.product);
  const customer = await findCustomer(services.database, environment.id, named.customer);
  const snapshot = services.snapshots.current(product.id, environment.id);
  const span = spanOf(services, query, [customer.time_zone, snapshot?.timeZone]);
  const limit = query.limit ?? 50;
  const rows = await readWindows(services.database, {
    ...span,
    productId: product.id,
    feature: query.feature ?? null,
    scope: query.scope ?? null,
    customers: [customer],
    after: windowCursorOf(query.cursor, customer.key),
    limit: limit + 1,
  });
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  return {
    timeZone: span.timeZone,
    from: toTime(span.edges[0] ?? 0),
    to: toTime(span.edges.at(-1) ?? 0),
    items: shown.map((row) => toWindow(span, row)),
    nextCursor:
      rows.length > limit && last !== undefined
        ? toCursor([last.feature, last.scope, String(last.window), JSON.stringify(last.values)])
        : null,
  };
}

function windowCursorOf(cursor: string | undefined, customerKey: string): WindowCursor | null {
  const position = fromCursor(cursor, 4);
  if (position === null) return null;
  const [feature = '', scope = '', window = '', text = ''] = position;
  const values = valuesOf(text);
  if (!/^\d{1,9}$/.test(window) || values === null) throw cursorRefused();
  return { customerKey, feature, scope, window: Number(window), values };
}

function valuesOf(text: string): readonly (string | null)[] | null {
  try {
    const values: unknown = JSON.parse(text);
    const isOurs =
      Array.isArray(values) && values.every((value) => value === null || typeof value === 'string');
    return isOurs ? values : null;
  } catch {
    return null;
  }
}

function toWindow({ edges, by }: Span, row: WindowRow): ApiUsageWindow {
  return {
    feature: row.feature,
    scope: row.scope,
    start: toTime(edges[row.window - 1] ?? 0),
    end: toTime(edges[row.window] ?? 0),
    attributes: Object.fromEntries(by.map((name, index) => [name, row.values[index] ?? null])),
    amount: row.amount,
    events: row.events,
    aggregation: row.aggregation,
  };
}

export interface ExportedWindow extends ApiUsageWindow {
  readonly customer: string;
}

/** So many share a statement while their lines fit into one slice; whoever has more is read alone, in slices. */
const CUSTOMERS_AT_ONCE = 100;
const ROWS_AT_ONCE = 2000;

/** What is exported, found out before the first line: what is wrong with a question is told with a status. */
export function usageExport(
  services: UsageReading,
  credential: Credential,
  named: { readonly environment: string; readonly product: string },
  query: UsageExportQuery,
): { readonly by: readonly string[]; readonly slices: AsyncGenerator<readonly ExportedWindow[]> } {
  const environment = environmentInReach(services.directory, credential, named.environment);
  const product = productInReach(services.directory, credential, named.product);
  const snapshot = services.snapshots.current(product.id, environment.id);
  const span = spanOf(services, query, [snapshot?.timeZone]);
  const asked = { ...span, productId: product.id, feature: query.feature ?? null, scope: null };
  return {
    by: span.by,
    slices: exportSlices(services, environment.id, asked, query.after ?? null),
  };
}

/** In the order of customers' keys, read as the caller takes them, so that neither side holds more than a few thousand lines. */
async function* exportSlices(
  { database }: UsageReading,
  environmentId: string,
  asked: Omit<WindowsQuestion, 'customers' | 'after' | 'limit'> & Span,
  afterCustomer: string | null,
): AsyncGenerator<readonly ExportedWindow[]> {
  let done = afterCustomer;
  let together = CUSTOMERS_AT_ONCE;
  for (;;) {
    const customers = await readCustomersAfter(database, environmentId, done, together);
    const end = customers.at(-1);
    if (end === undefined) return;
    const limit = ROWS_AT_ONCE;
    let rows = await readWindows(database, { ...asked, customers, after: null, limit });
    if (rows.length > 0) yield toLines(asked, rows);
    if (rows.length < limit) {
      done = end.key;
      together = Math.min(CUSTOMERS_AT_ONCE, together * 2);
      continue;
    }
    const key = rows.at(-1)?.customerKey ?? end.key;
    const customer = customers.filter((one) => one.key === key);
    while (rows.length === limit) {
      rows = await readWindows(database, {
        ...asked,
        customers: customer,
        after: rows.at(-1) ?? null,
        limit,
      });
      if (rows.length > 0) yield toLines(asked, rows);
    }
    done = key;
    together = Math.max(1, Math.floor(together / 2));
  }
}

function toLines(span: Span, rows: readonly WindowRow[]): readonly ExportedWindow[] {
  return rows.map((row) => ({ customer: row.customerKey, ...toWindow(span, row) }));
}
