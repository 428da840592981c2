import { LIMITS } from '@pennon/engine/model/limits';
import type { OepRefusal } from '@pennon/protocol/oep/request';
import { OepFault } from '@pennon/protocol/oep/schemas';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import type { ConsumeInput } from '../service/consume-input.js';
import type { ConsumeAnswer } from '../service/consume-request.js';
import { ServiceError } from '../service/service-error.js';
import { evaluationInputOf } from './evaluation-headers.js';

/* What the calls of OEP have in common. */

export const EVALUATE = ['server', 'client', 'customer-token', 'admin'] as const;
/** Whoever can consume can exhaust: browsers never may. */
export const CONSUME = ['server'] as const;
/** Bodies are read leniently and refused by the protocol's own codes, so that no general validator stands before the handler. */
export const acceptAll = () => () => true;

export const FAULTS = {
  400: OepFault,
  401: OepFault,
  403: OepFault,
  404: OepFault,
  409: OepFault,
  410: OepFault,
  413: OepFault,
  415: OepFault,
  422: OepFault,
  429: OepFault,
  500: OepFault,
  503: OepFault,
} as const;
export const TAGS = ['OEP'];
export const Replayable = Type.Object({
  'idempotency-key': Type.String({ minLength: 1, maxLength: LIMITS.idempotencyKeyLength.value }),
});

export function accepted<Call extends { readonly ok: true }>(read: Call | OepRefusal): Call {
  if (!read.ok) {
    throw new ServiceError('invalid', read.errorCode, read.message);
  }
  return read;
}

/** What every call that takes or gives back brings, besides what its body says. */
export function callerOf(
  request: FastifyRequest,
  context: ConsumeInput['context'],
): Pick<
  ConsumeInput,
  'context' | 'product' | 'environment' | 'consistency' | 'requestId' | 'idempotencyKey' | 'body'
> {
  const key = request.headers['idempotency-key'];
  return {
    ...evaluationInputOf(request, context),
    requestId: request.id,
    idempotencyKey: typeof key === 'string' ? key : undefined,
    body: request.body,
  };
}

export function sendConsumed(
  reply: FastifyReply,
  answer: ConsumeAnswer,
  body: unknown,
  status = 200,
): FastifyReply {
  if (answer.replayed) {
    void reply.header('idempotency-replayed', 'true');
  }
  return reply
    .code(status)
    .headers({ 'content-type': 'application/json; charset=utf-8', 'cache-control': 'no-store' })
    .send(JSON.stringify(body));
}
