import { Readable } from 'node:stream';
import { CustomerParamsSchema } from '@pennon/protocol/management/customers';
import {
  NearListQuerySchema,
  UsageExportQuerySchema,
  UsageHistoryPageSchema,
  UsageHistoryQuerySchema,
  UsageListQuerySchema,
  UsagePageSchema,
  UsageProductParamsSchema,
  UsageRecordPageSchema,
  UsageRecordQuerySchema,
} from '@pennon/protocol/management/usage';
import { Type } from 'typebox';
import { listNear, listUsage, type UsageReading } from '../../service/usage/list-usage.js';
import { listUsageRecords } from '../../service/usage/list-usage-records.js';
import { type ExportedWindow, listUsageHistory, usageExport } from '../../service/usage/usage-windows.js';
import type { App } from '../app.js';
import { credentialOf } from '../authenticate.js';
import { formulaSafe, toCsvLine } from '../csv.js';
import { PROBLEMS } from '../problem-responses.js';

const config = { access: ['admin'] } as const;
const tags = ['Usage'];
const OF_CUSTOMER = '/api/v1/environments/:environment/customers/:customer/usage';
const OF_PRODUCT = '/api/v1/environments/:environment/products/:product/usage';

/** How much is used, was used, and by which decisions and events. */
export function registerUsageRoutes(app: App, services: UsageReading): void {
  app.get(
    OF_CUSTOMER,
    {
      config,
      schema: {
        operationId: 'listUsage',
        tags,
        summary: 'How the metered features of a customer stand now',
        params: CustomerParamsSchema,
        querystring: UsageListQuerySchema,
        response: { 200: UsagePageSchema, ...PROBLEMS },
      },
    },
    (request) => listUsage(services, credentialOf(request), request.params, request.query),
  );

  app.get(
    `${OF_CUSTOMER}/history`,
    {
      config,
      schema: {
        operationId: 'listUsageHistory',
        tags,
        summary: 'What a customer used by hour, day or month, feature and attribute',
        params: CustomerParamsSchema,
        querystring: UsageHistoryQuerySchema,
        response: { 200: UsageHistoryPageSchema, ...PROBLEMS },
      },
    },
    (request) => listUsageHistory(services, credentialOf(request), request.params, request.query),
  );

  app.get(
    `${OF_CUSTOMER}/records`,
    {
      config,
      schema: {
        operationId: 'listUsageRecords',
        tags,
        summary: 'Every decision and recorded event of a customer, the newest first',
        params: CustomerParamsSchema,
        querystring: UsageRecordQuerySchema,
        response: { 200: UsageRecordPageSchema, ...PROBLEMS },
      },
    },
    (request) => listUsageRecords(services, credentialOf(request), request.params, request.query),
  );

  app.get(
    `${OF_PRODUCT}/near`,
    {
      config,
      schema: {
        operationId: 'listNear',
        tags,
        summary: 'Who is near or over a limit, who used most of it first',
        params: UsageProductParamsSchema,
        querystring: NearListQuerySchema,
        response: { 200: UsagePageSchema, ...PROBLEMS },
      },
    },
    (request) => listNear(services, credentialOf(request), request.params, request.query),
  );

  registerExport(app, services);
}

const CSV = 'text/csv; charset=utf-8';
const NDJSON = 'application/x-ndjson';

function registerExport(app: App, services: UsageReading): void {
  app.get(
    `${OF_PRODUCT}/export`,
    {
      config,
      schema: {
        operationId: 'exportUsage',
        tags,
        summary: 'What every customer used by hour, day or month, as CSV or NDJSON',
        description:
          'By customer, feature, scope and window; windows in which nothing happened are left out. Where a transfer broke off, go on with `after`: the key of the last customer before the one whose lines came last.',
        produces: [NDJSON, 'text/csv'],
        params: UsageProductParamsSchema,
        querystring: UsageExportQuerySchema,
        response: { 200: Type.String(), ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const { by, slices } = usageExport(services, credentialOf(request), request.params, request.query);
      const isCsv = request.query.format === 'csv';
      const texts = isCsv ? toCsv(slices, by) : toLines(slices);
      // The framework sends a stream as it is; the schema says what is in it.
      return reply
        .type(isCsv ? CSV : NDJSON)
        .send(Readable.from(texts, { objectMode: false }) as unknown as string);
    },
  );
}

type Slices = AsyncIterable<readonly ExportedWindow[]>;

async function* toLines(slices: Slices): AsyncGenerator<string> {
  for await (const slice of slices) yield slice.map((line) => `${JSON.stringify(line)}\n`).join('');
}

async function* toCsv(slices: Slices, by: readonly string[]): AsyncGenerator<string> {
  const columns = ['customer', 'feature', 'scope', 'start', 'end', 'amount', 'events', 'aggregation'];
  yield toCsvLine([...columns, ...by.map(formulaSafe)]);
  for await (const slice of slices) {
    yield slice.map((line) => toCsvLine(cellsOf(line, by))).join('');
  }
}

function cellsOf(line: ExportedWindow, by: readonly string[]): readonly string[] {
  const { customer, feature, scope, start, end, amount, events, aggregation, attributes } = line;
  return [
    formulaSafe(customer),
    feature,
    formulaSafe(scope),
    start,
    end,
    String(amount),
    String(events),
    aggregation,
    ...by.map((name) => formulaSafe(attributes[name] ?? '')),
  ];
}
