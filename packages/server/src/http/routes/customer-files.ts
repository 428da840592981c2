import { Readable } from 'node:stream';
import { type ImportOutcome, ImportQuerySchema } from '@pennon/protocol/management/customer-files';
import { EnvironmentParamsSchema } from '@pennon/protocol/management/customers';
import { Type } from 'typebox';
import type { ContractServices } from '../../service/contracts/data-change.js';
import { exportCustomers } from '../../service/contracts/export-customers.js';
import { importCustomers } from '../../service/contracts/import-customers.js';
import { ServiceError } from '../../service/service-error.js';
import type { App, StreamedBody } from '../app.js';
import { changeContextOf, credentialOf } from '../authenticate.js';
import { readCustomerLines } from '../customer-lines.js';
import { PROBLEMS } from '../problem-responses.js';

const NDJSON = 'application/x-ndjson';
const tags = ['Customers'];

export function registerCustomerFileRoutes(app: App, services: ContractServices): void {
  app.get(
    '/api/v1/environments/:environment/export/customers',
    {
      config: { access: ['admin'] },
      schema: {
        operationId: 'exportCustomers',
        tags,
        summary: 'Every customer as a line that an import takes, with users and instances',
        produces: [NDJSON],
        params: EnvironmentParamsSchema,
        response: {
          200: Type.String(),
          ...PROBLEMS,
        },
      },
    },
    async (request, reply) => {
      const slices = exportCustomers(services, credentialOf(request), request.params);
      // The framework sends a stream as it is; the schema says what is in it.
      return reply
        .type(NDJSON)
        .send(Readable.from(texts(slices), { objectMode: false }) as unknown as string);
    },
  );

  app.post(
    '/api/v1/environments/:environment/import/customers',
    {
      config: { access: ['admin'], body: 'ndjson' },
      schema: {
        operationId: 'importCustomers',
        tags,
        summary: 'Take customers over, a line each; every line is answered by one',
        description:
          'A line is a customer (`key`, and what else creating one takes; `archived`, `createdAt`, `users`, `instances`), and is answered by `{"line", "key", "outcome", "code"?, "detail"?}`. The last line holds the `summary`; where it is missing, not all was done.',
        consumes: [NDJSON],
        produces: [NDJSON],
        params: EnvironmentParamsSchema,
        querystring: ImportQuerySchema,
        response: {
          200: Type.String(),
          ...PROBLEMS,
        },
      },
    },
    async (request, reply) => {
      const { query, params } = request;
      const context = changeContextOf(request, query.reason);
      const lines = readCustomerLines(request.body as StreamedBody);
      const outcomes = importCustomers(services, credentialOf(request), context, params, query, lines);
      // A caller may send all of it before it reads a word: what it is told waits here, never the caller on itself.
      const answer = new Readable({ read() {} });
      reply.raw.once('close', () => void outcomes.return(undefined));
      const onDefect = (error: unknown) =>
        request.log.error(
          { err: error, requestId: request.id },
          'an import failed in a way that nobody foresaw',
        );
      void tell(answer, outcomes, query.dryRun === true, onDefect);
      void reply.type(NDJSON).send(answer as unknown as string);
    },
  );
}

async function* texts(slices: AsyncIterable<readonly unknown[]>): AsyncGenerator<string> {
  for await (const slice of slices) yield slice.map((line) => `${JSON.stringify(line)}\n`).join('');
}

async function tell(
  answer: Readable,
  outcomes: AsyncIterable<readonly ImportOutcome[]>,
  dryRun: boolean,
  onDefect: (error: unknown) => void,
): Promise<void> {
  const summary = { lines: 0, created: 0, updated: 0, unchanged: 0, refused: 0, dryRun };
  try {
    for await (const batch of outcomes) {
      for (const { outcome } of batch) {
        summary.lines += 1;
        summary[outcome] += 1;
      }
      answer.push(batch.map((line) => `${JSON.stringify(line)}\n`).join(''));
    }
    answer.push(`${JSON.stringify({ summary })}\n`);
  } catch (error) {
    const fault = error instanceof ServiceError ? error : null;
    if (fault === null) onDefect(error);
    const code = fault?.code ?? 'INTERNAL';
    const detail = fault?.message ?? 'The server failed to go on. Its log says more under this request id.';
    answer.push(`${JSON.stringify({ error: { code, detail }, done: summary })}\n`);
  }
  answer.push(null);
}
