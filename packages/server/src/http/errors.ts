import type { FastifyBaseLogger, FastifyReply, FastifyRequest } from 'fastify';
import { ServiceError } from '../service/service-error.js';
import type { ErrorShape } from './app.js';
import { type HttpFault, toHttpFault, toOepError, toOfrepError, toProblem } from './problem.js';
import { announcesBody, UnsupportedMediaType } from './request-guard.js';
import { errorShapeOf } from './route-rule.js';

/** Tells a store that is away from a defect of ours; given by `compose.ts`, so that HTTP knows no driver. */
export type IsUnavailable = (error: unknown) => boolean;

const TOO_LARGE = 'FST_ERR_CTP_BODY_TOO_LARGE';

const CODE_OF_FRAMEWORK_ERROR: Readonly<Record<string, { readonly code: string; readonly message: string }>> =
  {
    [TOO_LARGE]: {
      code: 'BODY_TOO_LARGE',
      message: 'The body is larger than this call accepts.',
    },
    FST_ERR_CTP_INVALID_CONTENT_LENGTH: {
      code: 'BODY_LENGTH_MISMATCH',
      message: 'The body is not as long as `Content-Length` says.',
    },
    FST_ERR_CTP_INVALID_MEDIA_TYPE: {
      code: 'MEDIA_TYPE_REFUSED',
      message: 'The body must be `application/json` in UTF-8, named by the header `Content-Type`.',
    },
    FST_ERR_BAD_URL: { code: 'PATH_REFUSED', message: 'The path is not valid percent-encoding.' },
    FST_ERR_MAX_PARAM_LENGTH_EXCEEDED: { code: 'PATH_REFUSED', message: 'A part of the path is too long.' },
  };

/** Turns whatever was thrown into a fault with a status. Only what nobody foresaw is a 500, and it is logged. */
export function toFault(
  error: unknown,
  isUnavailable: IsUnavailable,
  log: FastifyBaseLogger,
  request: FastifyRequest,
): HttpFault {
  const requestId = request.id;
  if (error instanceof ServiceError) {
    return toHttpFault(error);
  }
  if (error instanceof UnsupportedMediaType) {
    return plainFault(415, 'MEDIA_TYPE_REFUSED', error.message);
  }
  if (isUnavailable(error)) {
    log.warn({ err: error, requestId }, 'the store could not answer');
    return {
      ...plainFault(
        503,
        'UNAVAILABLE',
        'The database cannot be reached or is too slow at the moment. Ask again.',
      ),
      retryAfterSeconds: 1,
    };
  }
  const framework = toFrameworkFault(error, request.routeOptions?.bodyLimit);
  if (framework !== null) {
    return framework;
  }
  log.error({ err: error, requestId }, 'a request failed in a way that nobody foresaw');
  return plainFault(
    500,
    'INTERNAL',
    'The server failed to answer. The log of the server says more under this request id.',
  );
}

function toFrameworkFault(error: unknown, bodyLimit: number | undefined): HttpFault | null {
  if (!(error instanceof Error) || !('statusCode' in error) || typeof error.statusCode !== 'number') {
    return null;
  }
  const { statusCode: status } = error;
  if (status < 400 || status >= 500) {
    return null;
  }
  const known =
    'code' in error && typeof error.code === 'string' ? CODE_OF_FRAMEWORK_ERROR[error.code] : undefined;
  if ('code' in error && error.code === TOO_LARGE && bodyLimit !== undefined) {
    const message = `The body is larger than the ${bodyLimit} bytes that this call accepts. Send less in one call.`;
    return plainFault(status, 'BODY_TOO_LARGE', message);
  }
  return known === undefined
    ? plainFault(status, 'REQUEST_REFUSED', 'The request is not one that this server can read.')
    : plainFault(status, known.code, known.message);
}

function plainFault(status: number, code: string, message: string): HttpFault {
  return { status, code, message, items: [], details: {}, retryAfterSeconds: null };
}

/** Writes a fault in the shape of the route. */
export function sendFault(
  request: FastifyRequest,
  reply: FastifyReply,
  fault: HttpFault,
  shape: ErrorShape = errorShapeOf(request.url),
): FastifyReply {
  void reply.code(fault.status);
  if (fault.retryAfterSeconds !== null) {
    void reply.header('retry-after', String(Math.max(1, Math.ceil(fault.retryAfterSeconds))));
  }
  if (fault.status === 401) {
    void reply.header('www-authenticate', 'Bearer realm="pennon"');
  }
  if (announcesBody(request.raw) && !request.raw.complete) {
    // The rest of a refused body is not waited for.
    void reply.header('connection', 'close');
  }
  void reply.header('cache-control', 'no-store');
  void reply.header(
    'content-type',
    shape === 'problem' ? 'application/problem+json' : 'application/json; charset=utf-8',
  );
  return reply.send(JSON.stringify(bodyOf(fault, request, shape)));
}

function bodyOf(fault: HttpFault, request: FastifyRequest, shape: ErrorShape): unknown {
  const key = (request.params as { readonly key?: string } | undefined)?.key ?? null;
  switch (shape) {
    case 'problem':
      return toProblem(fault, request.id);
    case 'ofrep':
      return toOfrepError(fault, key);
    case 'oep':
      return toOepError(fault, key);
  }
}

/** Paths and methods that no route answers. 405 where the path exists with another method. */
export function createNotFoundHandler(methodsOf: (path: string) => readonly string[]) {
  return (request: FastifyRequest, reply: FastifyReply): FastifyReply => {
    const path = request.url.split('?', 1)[0] ?? '/';
    const methods = methodsOf(path);
    if (methods.length > 0 && !methods.includes(request.method)) {
      void reply.header('allow', methods.join(', '));
      return sendFault(
        request,
        reply,
        plainFault(
          405,
          'METHOD_NOT_ALLOWED',
          `This path answers ${methods.join(', ')}; \`${request.method}\` is not one of them.`,
        ),
      );
    }
    return sendFault(
      request,
      reply,
      plainFault(
        404,
        'ROUTE_NOT_FOUND',
        'There is nothing at this path. GET /openapi.json lists every path.',
      ),
    );
  };
}
