import type { FastifyReply } from 'fastify';
import type { Answer, Outcome } from '../service/answer.js';
import { CONSISTENCY_HEADER } from '../service/consistency.js';
import { toEtag } from '../service/precondition.js';

/**
 * What a change answers: 201 with what was made, 200 with what was changed, 204 where it was removed. The `ETag` is the item's
 * version; the token makes a later read at least that new.
 */
export function answerOfOutcome(
  { item, created, consistency }: Outcome,
  shownOnce: readonly string[] = [],
): Answer {
  const version = versionOf(item);
  return {
    status: item === null ? 204 : created ? 201 : 200,
    headers: {
      ...(version === null ? {} : { etag: toEtag(version) }),
      ...(consistency === null ? {} : { [CONSISTENCY_HEADER]: consistency }),
      ...(shownOnce.length === 0 ? {} : { 'cache-control': 'no-store' }),
    },
    body: item,
  };
}

function versionOf(item: unknown): number | null {
  if (typeof item !== 'object' || item === null || !('version' in item)) return null;
  return typeof item.version === 'number' ? item.version : null;
}

export function sendAnswer(reply: FastifyReply, { status, headers, body }: Answer): FastifyReply {
  return reply.code(status).headers(headers).send(body);
}
