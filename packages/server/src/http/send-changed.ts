import type { FastifyReply } from 'fastify';
import type { Outcome } from '../service/answer.js';
import { answerOfOutcome, sendAnswer } from './change-answer.js';

/** Answers a change as its call remembers it: 201 with what was made, 200 with what was changed. */
export function sendChanged(
  reply: FastifyReply,
  { item, created, consistency }: { readonly item: unknown } & Pick<Outcome, 'created'> & Partial<Outcome>,
): FastifyReply {
  const { shownOnce } = reply.routeOptions.config;
  return sendAnswer(reply, answerOfOutcome({ item, created, consistency: consistency ?? null }, shownOnce));
}

export function sendRemoved(
  reply: FastifyReply,
  removed: { readonly item: null } & Pick<Outcome, 'created'> & Partial<Outcome>,
): FastifyReply {
  return sendChanged(reply, removed);
}
