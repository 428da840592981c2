import type { Socket } from 'node:net';
import { LIMITS } from '@pennon/engine/model/limits';
import Fastify, {
  type FastifyBaseLogger,
  type FastifyReply,
  type FastifyRequest,
  type FastifyServerOptions,
  LogController,
  type RouteOptions,
} from 'fastify';
import type { Metrics } from '../service/metrics.js';
import type { App } from './app.js';
import { allowOrigin, registerPreflightRoutes } from './cross-origin.js';
import { type AccessDependencies, createGate } from './enforce-access.js';
import { createNotFoundHandler, type IsUnavailable, sendFault, toFault } from './errors.js';
import { readBody } from './read-body.js';
import { type AnswerMemory, createTurns, rememberAnswers, type Turns } from './remember-answers.js';
import { guardRequest, mediaTypeOf, UnsupportedMediaType } from './request-guard.js';
import { echoIds, requestIdOf } from './request-id.js';
import { RouteIndex } from './route-index.js';
import { type RouteRule, toRouteRule } from './route-rule.js';
import { isStreamed, streamedBody, takesItsTime } from './streamed-body.js';
import { compileValidator, createSerializer } from './validate.js';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Set by the router itself. */
    rule?: RouteRule;
  }
}

export interface AppOptions extends AccessDependencies {
  readonly log: FastifyBaseLogger;
  readonly metrics: Metrics;
  readonly isUnavailable: IsUnavailable;
  readonly memory: AnswerMemory;
  /** Tests: an answer that its schema does not describe becomes a 500. */
  readonly checkResponses?: boolean;
  /** Whose `X-Forwarded-For` is believed. Empty: `request.ip` is whoever holds the connection. */
  readonly trustedProxies?: readonly string[];
}

const REQUEST_TIMEOUT_MILLISECONDS = 30_000;
const HEADERS_TIMEOUT_MILLISECONDS = 10_000;
/** Longer than the idle timeout of the usual balancers, so that they close first. */
const KEEP_ALIVE_MILLISECONDS = 72_000;
/** A key, percent-encoded, and what stands beside it (`pro@1`). */
const PARAMETER_CHARACTERS = 512;

/** The HTTP server without routes: limits, the gate before every handler, bodies, errors. Routes are registered on it, then it listens. */
export function createApp(options: AppOptions): App {
  const index = new RouteIndex();
  const alone = createTurns();
  const { trustedProxies = [] } = options;
  const serializer = createSerializer(options.checkResponses === true);
  const app: App = Fastify({
    loggerInstance: options.log,
    // Else the framework loads two compilers of its own, which nobody would ever call.
    schemaController: {
      compilersFactory: {
        buildValidator: () => compileValidator,
        buildSerializer: () => serializer,
      },
    } as unknown as NonNullable<FastifyServerOptions['schemaController']>,
    // A logger per request costs more than an evaluation; whoever logs names the request.
    childLoggerFactory: (logger) => logger,
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: requestIdOf,
    ...(trustedProxies.length === 0 ? {} : { trustProxy: [...trustedProxies] }),
    requestTimeout: REQUEST_TIMEOUT_MILLISECONDS,
    keepAliveTimeout: KEEP_ALIVE_MILLISECONDS,
    http: { maxHeaderSize: LIMITS.headerBytes.value, headersTimeout: HEADERS_TIMEOUT_MILLISECONDS },
    forceCloseConnections: 'idle',
    bodyLimit: LIMITS.managementBodyBytes.value,
    routerOptions: { maxParamLength: PARAMETER_CHARACTERS, caseSensitive: true },
    frameworkErrors: (error, request, reply) =>
      answerFault(error, request as FastifyRequest, reply as FastifyReply),
    clientErrorHandler: answerClientError,
  }) as unknown as App;

  const answerFault = (error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply =>
    sendFault(
      request,
      reply,
      toFault(error, options.isUnavailable, options.log, request),
      request.routeOptions?.config?.rule?.errorShape,
    );

  app.decorateRequest('credential', null);
  app.decorateRequest('evaluationKind', null);
  app.decorateRequest('call', null);
  app.decorateRequest('refusedReach', null);
  app.setValidatorCompiler(compileValidator);
  app.setSerializerCompiler(serializer);
  app.setErrorHandler(answerFault);
  const answerNotFound = createNotFoundHandler((path) => index.methodsOf(path));
  app.setNotFoundHandler((request, reply) => {
    echoIds(request.raw, reply.raw, request.id);
    if (request.url.startsWith('/o')) {
      allowOrigin(request.raw, reply.raw);
    }
    guardRequest(request.raw);
    return answerNotFound(request, reply);
  });
  readBodies(app);
  app.addHook('onRoute', (route) => {
    const rule = toRouteRule(route);
    index.add(route);
    attach(route, rule, options, alone);
  });
  registerPreflightRoutes(app);
  closeSilentConnections(app);
  return app;
}

/**
 * Clients and balancers open connections before they have anything to ask. Node takes one that never asked for busy, and would
 * wait for it when the server closes, without an end.
 */
function closeSilentConnections(app: App): void {
  const open = new Set<Socket>();
  let closing = false;
  app.server.on('connection', (socket) => {
    if (closing) {
      socket.destroy();
      return;
    }
    open.add(socket);
    socket.once('close', () => open.delete(socket));
  });
  app.addHook('preClose', (done) => {
    closing = true;
    for (const socket of open) if (socket.bytesRead === 0) socket.destroy();
    done();
  });
}

/** Puts the gate, the limits and the measurement of one route in front of its handler. */
function attach(route: RouteOptions, rule: RouteRule, options: AppOptions, alone: Turns): void {
  const isProtocol = rule.errorShape !== 'problem';
  route.config = { ...route.config, rule };
  if (isProtocol) {
    route.bodyLimit ??= LIMITS.contextBytes.value;
  }
  if (isStreamed(rule.body)) {
    route.bodyLimit ??= LIMITS.streamedBodyBytes.value;
  }
  if (rule.changes) {
    rememberAnswers(route, options.memory, alone, options.checkResponses === true);
  }
  const gate = createGate(options, rule);
  const enter: typeof gate = (request, reply, done) => {
    echoIds(request.raw, reply.raw, request.id);
    if (isProtocol) {
      allowOrigin(request.raw, reply.raw);
    }
    gate(request, reply, done);
  };
  route.onRequest = [enter, ...asList(route.onRequest)];
  const measure = options.metrics.requestObserver(rule.url);
  const observe = (request: FastifyRequest, reply: FastifyReply, done: () => void): void => {
    measure(request.method, reply.statusCode, reply.elapsedTime / 1000);
    if (request.evaluationKind !== null) {
      options.metrics.countEvaluation(request.evaluationKind);
    }
    if (!isProtocol && rule.access !== 'public') {
      logCall(options.log, request, reply, rule);
    }
    done();
  };
  route.onResponse = [observe, ...asList(route.onResponse)];
  if (isProtocol && route.method !== 'OPTIONS') {
    route.preValidation = [emptyBodyIsEmptyObject, ...asList(route.preValidation)];
  }
}

function asList<Hook>(hooks: Hook | Hook[] | undefined): Hook[] {
  return hooks === undefined ? [] : Array.isArray(hooks) ? hooks : [hooks];
}

/** Clients of OFREP send nothing at all where they have no context. */
function emptyBodyIsEmptyObject(request: FastifyRequest, _reply: FastifyReply, done: () => void): void {
  if (request.body === undefined) {
    request.body = {};
  }
  done();
}

/** One line per management call, changes louder than reads; never a body, never a header. */
function logCall(
  log: FastifyBaseLogger,
  request: FastifyRequest,
  reply: FastifyReply,
  rule: RouteRule,
): void {
  const { credential } = request;
  const line = {
    requestId: request.id,
    method: request.method,
    route: rule.url,
    status: reply.statusCode,
    milliseconds: Math.round(reply.elapsedTime * 10) / 10,
    credential: credential === null ? null : credential.kind,
    keyId: credential === null || credential.kind === 'customer-token' ? null : credential.keyId,
  };
  if (request.method === 'GET' || request.method === 'HEAD') {
    log.debug(line, 'read');
  } else {
    log.info(line, 'call');
  }
}

function readBodies(app: App): void {
  app.removeAllContentTypeParsers();
  // The gate has decided on the media type from the headers; these read what it let through.
  app.addContentTypeParser(['text/csv', 'application/x-ndjson'], (request, _payload, done) =>
    done(null, streamedBody(request.raw)),
  );
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (request, bytes, done) => {
    const reading = request.routeOptions.config.rule?.body ?? 'strict';
    try {
      if (isStreamed(reading)) throw new UnsupportedMediaType('This call takes a streamed body.');
      const body = bytes as Buffer;
      done(null, body.length === 0 ? undefined : readBody(body, reading, mediaTypeOf(request.raw, reading)));
    } catch (error) {
      done(error as Error, undefined);
    }
  });
}

const STATUS_LINE_OF_CLIENT_ERROR: Readonly<Record<string, string>> = {
  HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
  ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
};

/** What is not HTTP never reaches a route: a short JSON refusal, then the connection ends. */
function answerClientError(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT' && takesItsTime(socket)) return;
  const line = STATUS_LINE_OF_CLIENT_ERROR[error.code ?? ''] ?? '400 Bad Request';
  const body = JSON.stringify({
    type: 'https://pennon.dev/problems/http-malformed',
    title: line.slice(4),
    status: Number(line.slice(0, 3)),
    code: 'HTTP_MALFORMED',
    detail: 'The request is not well-formed HTTP, or it took too long to arrive.',
  });
  socket.end(
    `HTTP/1.1 ${line}\r\nContent-Type: application/problem+json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}
