import type { FastifyReply, FastifyRequest } from 'fastify';
import { type Precondition, toEtag } from '../service/precondition.js';
import { ServiceError } from '../service/service-error.js';

/** Reads `If-Match` and `If-None-Match` of a change; a malformed one is 400, never ignored. */
export function preconditionOf(request: FastifyRequest): Precondition {
  const ifMatch = request.headers['if-match'];
  const ifNoneMatch = request.headers['if-none-match'];
  if (ifMatch !== undefined && ifNoneMatch !== undefined) {
    throw malformed('`If-Match` and `If-None-Match` cannot be sent together.');
  }
  if (ifNoneMatch !== undefined) {
    if (ifNoneMatch.trim() !== '*') {
      throw malformed('On a change `If-None-Match` can only be `*` (create, never replace).');
    }
    return { kind: 'absent' };
  }
  if (ifMatch === undefined) {
    return { kind: 'none' };
  }
  if (ifMatch.trim() === '*') {
    return { kind: 'exists' };
  }
  return { kind: 'match', tags: strongTags(ifMatch) };
}

function strongTags(header: string): string[] {
  const tags = header.split(',').map((part) => part.trim());
  return tags.map((tag) => {
    const inner = /^"([\x21\x23-\x7e]*)"$/.exec(tag)?.[1];
    if (inner === undefined) {
      throw malformed(
        `\`If-Match: ${header.slice(0, 100)}\` is not a list of strong entity tags. Send back the \`ETag\` as you got it, with its quotes.`,
      );
    }
    return inner;
  });
}

function malformed(message: string): ServiceError {
  return new ServiceError('invalid', 'PRECONDITION_MALFORMED', message);
}

/** Answers a GET of one item: 304 when the caller has it already. */
export function sendWithEtag(
  request: FastifyRequest,
  reply: FastifyReply,
  tag: string | number,
  body: unknown,
): FastifyReply {
  const etag = toEtag(tag);
  void reply.header('etag', etag);
  const known = request.headers['if-none-match'];
  if (known !== undefined && knowsTag(known, etag)) {
    return reply.code(304).send();
  }
  return reply.send(body);
}

/** Weak comparison (RFC 9110 13.1.2); lists, `*`, `W/` and unquoted tags are accepted, because clients send them. */
export function knowsTag(ifNoneMatch: string, etag: string): boolean {
  if (ifNoneMatch === etag || ifNoneMatch.trim() === '*') {
    return true;
  }
  const bare = etag.slice(1, -1);
  return ifNoneMatch.split(',').some((part) => {
    const tag = part.trim().replace(/^W\//, '');
    return tag === etag || tag === bare;
  });
}
