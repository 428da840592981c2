import type { IncomingMessage, ServerResponse } from 'node:http';
import { LIMITS } from '@pennon/engine/model/limits';
import { fromOfrepRequest } from '@pennon/protocol/ofrep/context';
import type { Credential } from '../service/credential.js';
import { evaluateFlag } from '../service/evaluate-flag.js';
import type { EvaluationInput } from '../service/evaluation-request.js';
import type { Metrics } from '../service/metrics.js';
import type { Authenticator } from '../service/ports.js';
import type { App } from './app.js';
import { ORIGIN_HEADERS } from './cross-origin.js';
import { type OfrepAnswer, toFlagAnswer, toFlagsAnswer } from './ofrep-answer.js';
import { type PlainHeaders, readPlainHeaders } from './plain-headers.js';
import { readBody } from './read-body.js';
import { requestIdFor, traceParentOf } from './request-id.js';
import { BULK_PATH, OFREP_ACCESS, type OfrepServices, SINGLE_ROUTE } from './routes/ofrep.js';

/*
 * The short way of an evaluation. The framework costs three times what it takes to decide a flag, so that the plain case is
 * answered before it: a known path, headers without anything special, one JSON body, a good credential, everything in memory,
 * an answer. Whatever else it is goes the framework's way with its body untouched, and is decided and refused there.
 * INVARIANT: both ways answer with the same bytes; a test sends every kind of request through both.
 */

export interface ShortWayDependencies extends OfrepServices {
  readonly authenticator: Authenticator;
  readonly metrics: Metrics;
}

/** The flag's key for a single evaluation, `null` for all flags. */
interface Question {
  readonly flagKey: string | null;
  readonly headers: PlainHeaders;
  readonly credential: Credential;
}

const SINGLE_PREFIX = `${BULK_PATH}/`;
/** Keys that need no decoding and hold none of what the guard refuses in a path. */
const PLAIN_KEY = /^[A-Za-z0-9_-](?:[A-Za-z0-9_-]|\.(?!\.)){0,126}$/;
const LONGEST_BODY = LIMITS.contextBytes.value;

/** Puts the short way in front of the framework. Every route must have been registered. */
export function openOfrepShortWay(app: App, dependencies: ShortWayDependencies): void {
  const { metrics, authenticator } = dependencies;
  const measureSingle = metrics.requestObserver(SINGLE_ROUTE);
  const measureBulk = metrics.requestObserver(BULK_PATH);
  let closing = false;
  app.addHook('preClose', (done) => {
    closing = true;
    done();
  });
  for (const framework of app.server.listeners('request')) {
    app.server.removeListener('request', framework as () => void);
    app.server.on('request', (request, response) => {
      const question = closing ? null : questionOf(request, authenticator);
      if (question === null) {
        framework.call(app.server, request, response);
        return;
      }
      const startedAt = performance.now();
      withBody(request, question.headers.contentLength, (bytes) => {
        const answer = closing ? null : answerOrNull(dependencies, question, bytes);
        if (answer === null) {
          request.pause();
          request.unshift(bytes);
          framework.call(app.server, request, response);
          return;
        }
        write(response, question.headers, answer);
        const single = question.flagKey !== null;
        const measure = single ? measureSingle : measureBulk;
        measure('POST', answer.status, (performance.now() - startedAt) / 1000);
        metrics.countEvaluation(single ? 'flag' : 'flags');
      });
    });
  }
}

function questionOf(request: IncomingMessage, authenticator: Authenticator): Question | null {
  const { url } = request;
  if (request.method !== 'POST' || url === undefined || !url.startsWith(BULK_PATH)) {
    return null;
  }
  const flagKey = url.length === BULK_PATH.length ? null : url.slice(SINGLE_PREFIX.length);
  if (flagKey !== null && !(url.startsWith(SINGLE_PREFIX) && PLAIN_KEY.test(flagKey))) {
    return null;
  }
  const headers = readPlainHeaders(request.rawHeaders);
  if (headers === null || headers.contentLength > LONGEST_BODY) {
    return null;
  }
  const credential = authenticator.authenticate(headers.credentials);
  if (credential.kind === 'refused' || !OFREP_ACCESS.includes(credential.kind)) {
    return null;
  }
  return { flagKey, headers, credential };
}

/** Calls back once with all that was announced; never when the caller goes away before. */
function withBody(request: IncomingMessage, length: number, done: (bytes: Buffer) => void): void {
  let before: Buffer[] | null = null;
  let missing = length;
  const take = (chunk: Buffer): void => {
    missing -= chunk.length;
    if (missing > 0) {
      before ??= [];
      before.push(chunk);
      return;
    }
    request.removeListener('data', take);
    done(before === null ? chunk : Buffer.concat([...before, chunk]));
  };
  request.on('data', take);
}

/** `null`: refused, or not all in memory; the framework's way asks again and says so. */
function answerOrNull(
  dependencies: ShortWayDependencies,
  { flagKey, headers, credential }: Question,
  bytes: Buffer,
): OfrepAnswer | null {
  try {
    const read = fromOfrepRequest(readBody(bytes, 'fast', 'application/json'));
    if (!read.ok) {
      return null;
    }
    const input: EvaluationInput = {
      context: read.context,
      product: headers.product,
      environment: headers.environment,
      consistency: undefined,
    };
    if (flagKey !== null) {
      const evaluation = evaluateFlag(dependencies, credential, flagKey, input);
      return evaluation instanceof Promise ? later(evaluation) : toFlagAnswer(evaluation);
    }
    const evaluation = dependencies.evaluateFlags(credential, input, bytes.toString('latin1'));
    return evaluation instanceof Promise ? later(evaluation) : toFlagsAnswer(evaluation, headers.ifNoneMatch);
  } catch {
    // Said by the framework's way, in the shape of the route.
    return null;
  }
}

/** The framework's way joins the look-up that has begun; what becomes of this one is heard there. */
function later(evaluation: Promise<unknown>): null {
  evaluation.catch(() => undefined);
  return null;
}

function write(
  response: ServerResponse,
  headers: PlainHeaders,
  { status, headers: own, body }: OfrepAnswer,
): void {
  // In front of the others, where the framework puts them.
  const requestId = requestIdFor(headers.requestId);
  if (headers.traceParent === undefined && headers.origin === undefined)
    own.unshift('x-request-id', requestId);
  else own.unshift('x-request-id', requestId, ...echoed(headers));
  if (body === null) {
    response.writeHead(status, own);
    response.end();
    return;
  }
  const length = Buffer.byteLength(body);
  own.push('content-length', String(length));
  // What is ASCII, as nearly everything is, goes out without being encoded.
  const encoding = length === body.length ? 'latin1' : 'utf8';
  response.writeHead(status, own);
  const { socket } = response;
  if (socket === null || socket.writableCorked > 0) {
    response.end(body, encoding);
    return;
  }
  // Head and body in one plain write; `end` with a body would gather them with an empty piece behind.
  socket.cork();
  response.write(body, encoding);
  socket.uncork();
  response.end();
}

const NOTHING: readonly string[] = [];

/** What few requests bring: a trace, an origin. */
function echoed(headers: PlainHeaders): readonly string[] {
  const traceParent = traceParentOf(headers.traceParent);
  const trace = traceParent === null ? NOTHING : ['traceparent', traceParent];
  return headers.origin === undefined ? trace : [...trace, ...ORIGIN_HEADERS];
}
