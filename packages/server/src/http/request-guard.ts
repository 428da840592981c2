import type { IncomingMessage } from 'node:http';
import { ServiceError } from '../service/service-error.js';
import type { BodyReading, DocumentBody } from './app.js';

/** Sent twice, each of these would be read differently by two programs in a row. */
const ONCE_ONLY: ReadonlySet<string> = new Set([
  'host',
  'authorization',
  'x-api-key',
  'idempotency-key',
  'content-type',
  'content-length',
  'if-match',
  'if-none-match',
  'pennon-customer-token',
  'pennon-product',
  'pennon-environment',
  'pennon-consistency',
]);

/**
 * What no router, proxy or logger agrees on: dot segments, encoded slashes, dots, backslashes and NUL, path parameters,
 * control characters and empty segments. A key of ours never needs any of them.
 */
const PATH_TRICK = /\/\/|\/\.{1,2}(?:\/|$)|[\\;]|[^!-~]|%(?:2e|2f|5c|00|25|3b|0a|0d)/i;
const QUERY_TRICK = /%00|[^!-~]/;

/** Refuses what is ambiguous about a request before anything reads it. Throws a ServiceError. */
export function guardRequest(raw: IncomingMessage): void {
  guardPath(raw.url ?? '/');
  guardHeaders(raw.rawHeaders);
}

function guardPath(url: string): void {
  const query = url.indexOf('?');
  const path = query === -1 ? url : url.slice(0, query);
  if (!path.startsWith('/') || PATH_TRICK.test(path)) {
    throw new ServiceError(
      'invalid',
      'PATH_REFUSED',
      'The path holds dot segments, empty segments, `;`, `\\` or encoded separators. Send the plain path.',
    );
  }
  if (query !== -1 && QUERY_TRICK.test(url.slice(query))) {
    throw new ServiceError(
      'invalid',
      'QUERY_REFUSED',
      'The query holds NUL or characters that must be encoded.',
    );
  }
}

function guardHeaders(rawHeaders: readonly string[]): void {
  let seen: string[] | null = null;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = (rawHeaders[index] ?? '').toLowerCase();
    if (!ONCE_ONLY.has(name)) {
      continue;
    }
    seen ??= [];
    if (seen.includes(name)) {
      throw new ServiceError(
        'invalid',
        'HEADER_DUPLICATE',
        `The header \`${name}\` was sent twice. Send it once.`,
      );
    }
    seen.push(name);
  }
}

/** A media type that is not accepted; mapped to 415, which no use-case knows. */
export class UnsupportedMediaType extends Error {}

const MEDIA_TYPE = /^([a-z]+\/[a-z0-9.+-]+)[ \t]*(?:;[ \t]*charset=(?:"utf-8"|utf-8)[ \t]*)?$/i;

/** Whether a body follows, from the headers alone. */
export function announcesBody(raw: IncomingMessage): boolean {
  const length = raw.headers['content-length'];
  return raw.headers['transfer-encoding'] !== undefined || (length !== undefined && length !== '0');
}

export type MediaType =
  | DocumentBody['mediaType']
  | 'text/csv'
  | 'application/x-ndjson'
  | 'application/cloudevents+json'
  | 'application/cloudevents-batch+json';

const ACCEPTED: Readonly<Record<BodyReading, readonly MediaType[]>> = {
  strict: ['application/json'],
  fast: ['application/json'],
  document: ['application/json', 'application/yaml'],
  events: ['application/cloudevents+json', 'application/cloudevents-batch+json', 'application/json'],
  raw: ['application/json'],
  csv: ['text/csv'],
  ndjson: ['application/x-ndjson'],
};

/**
 * The media type of the body that follows, exact: one type, at most the parameter `charset=utf-8`. Throws before a byte is read:
 * any `Content-Encoding` (the decoders of unmaintained Node releases are exploitable), and any other type.
 */
export function mediaTypeOf(raw: IncomingMessage, reading: BodyReading): MediaType {
  if (raw.headers['content-encoding'] !== undefined) {
    throw new UnsupportedMediaType('Bodies with a `Content-Encoding` are refused. Send it plain.');
  }
  const header = raw.headers['content-type'] ?? '';
  const type = MEDIA_TYPE.exec(header)?.[1]?.toLowerCase();
  const accepted = ACCEPTED[reading];
  const found = accepted.find((one) => one === type);
  if (found === undefined) {
    throw new UnsupportedMediaType(
      `The body must be ${accepted.map((one) => `\`${one}\``).join(' or ')} in UTF-8, named by the header \`Content-Type\`.`,
    );
  }
  return found;
}
