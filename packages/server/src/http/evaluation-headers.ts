import type { FastifyReply, FastifyRequest } from 'fastify';
import { CONSISTENCY_HEADER } from '../service/consistency.js';
import type { EvaluationInput, EvaluationStamp } from '../service/evaluation-request.js';

/** What an evaluation reads of a request besides its body. */
export function evaluationInputOf(
  request: FastifyRequest,
  context: Readonly<Record<string, unknown>>,
): EvaluationInput {
  const { headers } = request;
  return {
    context,
    product: single(headers['pennon-product']),
    environment: single(headers['pennon-environment']),
    consistency: single(headers[CONSISTENCY_HEADER]),
  };
}

function single(header: string | string[] | undefined): string | undefined {
  return typeof header === 'string' ? header : undefined;
}

let shownInstant = 0;
let shownText = new Date(0).toISOString();

/** Many answers fall into one millisecond. */
function instantText(instant: number): string {
  if (instant !== shownInstant) {
    shownInstant = instant;
    shownText = new Date(instant).toISOString();
  }
  return shownText;
}

/** Every request header that an answer may depend on: who asks, about which product and environment, and how fresh it must be. */
const VARY =
  'Authorization, X-API-Key, Pennon-Customer-Token, Pennon-Product, Pennon-Environment, Pennon-Consistency';

/** Headers as `writeHead` takes them: name, value, name, value. */
export type FlatHeaders = string[];

/**
 * How old and of which state the answer is (law 1), as headers: an OFREP body must not move when nothing else does. Answers
 * depend on who asks, so no shared cache may mix them up.
 */
export function stampHeaders(stamp: EvaluationStamp, cacheControl: string): FlatHeaders {
  return [
    'cache-control',
    cacheControl,
    'vary',
    VARY,
    'pennon-revision',
    String(stamp.revision),
    'pennon-customer-version',
    String(stamp.customerVersion),
    'pennon-as-of',
    instantText(stamp.asOf),
  ];
}

export const JSON_TYPE = 'application/json; charset=utf-8';

export function writeStamp(reply: FastifyReply, stamp: EvaluationStamp, cacheControl: string): void {
  void reply.header('content-type', JSON_TYPE);
  writeHeaders(reply, stampHeaders(stamp, cacheControl));
}

export function writeHeaders(reply: FastifyReply, headers: FlatHeaders): void {
  for (let index = 0; index < headers.length; index += 2) {
    void reply.header(headers[index] ?? '', headers[index + 1]);
  }
}
