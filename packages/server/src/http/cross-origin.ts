import type { IncomingMessage, ServerResponse } from 'node:http';
import type { App } from './app.js';

/** Headers that browser clients of the two protocols send. Any other well-formed name that a user adds is allowed as well. */
const ALLOWED_HEADERS = [
  'Content-Type',
  'Authorization',
  'X-API-Key',
  'If-None-Match',
  'Last-Event-ID',
  'Idempotency-Key',
  'X-Request-ID',
  'traceparent',
  'tracestate',
  'Pennon-Customer-Token',
  'Pennon-Product',
  'Pennon-Environment',
  'Pennon-Consistency',
] as const;
const EXPOSED_HEADERS =
  'ETag, Retry-After, X-Request-ID, Idempotency-Replayed, Pennon-Consistency, Pennon-Revision, Pennon-Customer-Version, Pennon-As-Of';
/** Name, value, name, value: what an answer to a browser says. */
export const ORIGIN_HEADERS: readonly string[] = [
  'access-control-allow-origin',
  '*',
  'access-control-expose-headers',
  EXPOSED_HEADERS,
];
const TOKEN = /^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$/;
/** One day; browsers cap it lower. */
const PREFLIGHT_SECONDS = '86400';
/** A preflight that asks for more names than this is not one of a client. */
const REQUESTED_HEADERS = 40;

/** Browsers of any origin may ask: what they get is decided by their key, and no cookie is ever read here. */
export function allowOrigin(raw: IncomingMessage, response: ServerResponse): void {
  if (raw.headers.origin !== undefined) {
    for (let index = 0; index < ORIGIN_HEADERS.length; index += 2) {
      response.setHeader(ORIGIN_HEADERS[index] ?? '', ORIGIN_HEADERS[index + 1] ?? '');
    }
  }
}

/** Answers the preflights of everything below `/ofrep` and `/oep`. */
export function registerPreflightRoutes(app: App): void {
  for (const prefix of ['/ofrep', '/oep']) {
    app.options(
      `${prefix}/*`,
      { schema: { hide: true }, config: { access: 'public', changes: false } },
      (request, reply) => {
        const requested = request.headers['access-control-request-headers'] ?? '';
        return reply
          .code(204)
          .headers({
            'access-control-allow-origin': '*',
            'access-control-allow-methods': 'POST, GET, OPTIONS',
            'access-control-allow-headers': allowedHeaders(requested),
            'access-control-max-age': PREFLIGHT_SECONDS,
            vary: 'Access-Control-Request-Headers',
          })
          .send();
      },
    );
  }
}

function allowedHeaders(requested: string): string {
  const known = new Set(ALLOWED_HEADERS.map((name) => name.toLowerCase()));
  const others = requested
    .split(',', REQUESTED_HEADERS)
    .map((name) => name.trim())
    .filter((name) => TOKEN.test(name) && !known.has(name.toLowerCase()));
  return [...ALLOWED_HEADERS, ...others].join(', ');
}
