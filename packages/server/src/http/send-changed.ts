import type { FastifyReply } from 'fastify';
import { CONSISTENCY_HEADER } from '../service/consistency.js';
import type { Changed } from '../service/contracts/data-change.js';
import { toEtag } from '../service/precondition.js';

/** Answers a change: 201 with what was made, 200 with what was changed; the token makes a later read at least that new. */
export function sendChanged(
  reply: FastifyReply,
  { item, created, consistency }: Changed<{ readonly version: number }>,
): FastifyReply {
  void reply.header('etag', toEtag(item.version)).header(CONSISTENCY_HEADER, consistency);
  return reply.code(created ? 201 : 200).send(item);
}

export function sendRemoved(reply: FastifyReply, { consistency }: Changed<null>): FastifyReply {
  return reply.code(204).header(CONSISTENCY_HEADER, consistency).send(null);
}
