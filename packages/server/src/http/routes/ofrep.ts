import { fromOfrepRequest } from '@pennon/protocol/ofrep/context';
import {
  OfrepBarrierQuery,
  OfrepBulkEvaluation,
  OfrepEvaluationFailure,
  OfrepEvaluationRequest,
  OfrepEvaluationSuccess,
  OfrepFault,
  OfrepFlagParams,
} from '@pennon/protocol/ofrep/schemas';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import type { Credential } from '../../service/credential.js';
import { evaluateFlag } from '../../service/evaluate-flag.js';
import type { EvaluateFlags } from '../../service/evaluate-flags.js';
import { awaitBarrier, type BarrierQuery } from '../../service/evaluation-barrier.js';
import type { EvaluationDependencies } from '../../service/evaluation-request.js';
import { ServiceError } from '../../service/service-error.js';
import type { App } from '../app.js';
import { credentialOf } from '../authenticate.js';
import { evaluationInputOf, writeHeaders } from '../evaluation-headers.js';
import { type OfrepAnswer, toFlagAnswer, toFlagsAnswer } from '../ofrep-answer.js';

export interface OfrepServices extends EvaluationDependencies {
  readonly evaluateFlags: EvaluateFlags;
}

export const BULK_PATH = '/ofrep/v1/evaluate/flags';
export const SINGLE_ROUTE = `${BULK_PATH}/:key` as const;
export const OFREP_ACCESS: readonly Credential['kind'][] = ['server', 'client', 'customer-token', 'admin'];
/** The bodies of OFREP are read leniently and by its own codes, so that no general validator stands before the handler. */
const acceptAll = () => () => true;

const FAULTS = {
  400: OfrepFault,
  401: OfrepFault,
  403: OfrepFault,
  404: OfrepFault,
  413: OfrepFault,
  415: OfrepFault,
  429: OfrepFault,
  500: OfrepFault,
  503: OfrepFault,
} as const;

/** OFREP 0.3, single and bulk (K-1). */
export function registerOfrepRoutes(app: App, services: OfrepServices): void {
  const { evaluateFlags } = services;
  app.post<{ Params: { key: string } }>(
    SINGLE_ROUTE,
    {
      schema: {
        operationId: 'evaluateFlag',
        tags: ['OFREP'],
        summary: 'Evaluate one flag',
        params: OfrepFlagParams,
        body: OfrepEvaluationRequest,
        response: { ...FAULTS, 200: OfrepEvaluationSuccess, 404: OfrepEvaluationFailure },
      },
      validatorCompiler: acceptAll,
      config: { access: OFREP_ACCESS, changes: false },
    },
    (request, reply) => {
      request.evaluationKind = 'flag';
      const input = evaluationInputOf(request, contextOf(request));
      const evaluation = evaluateFlag(services, credentialOf(request), request.params.key, input);
      return evaluation instanceof Promise
        ? evaluation.then((done) => send(reply, toFlagAnswer(done)))
        : send(reply, toFlagAnswer(evaluation));
    },
  );

  app.post<{ Querystring: BarrierQuery }>(
    BULK_PATH,
    {
      schema: {
        operationId: 'evaluateFlagsBulk',
        tags: ['OFREP'],
        summary: 'Evaluate every flag that the credential may see',
        querystring: OfrepBarrierQuery,
        body: OfrepEvaluationRequest,
        response: { ...FAULTS, 200: OfrepBulkEvaluation, 304: Type.Null() },
      },
      validatorCompiler: acceptAll,
      config: { access: OFREP_ACCESS, changes: false },
    },
    (request, reply) => {
      request.evaluationKind = 'flags';
      const input = evaluationInputOf(request, contextOf(request));
      const credential = credentialOf(request);
      const barrier = awaitBarrier(services, credential, input, request.query);
      const known = request.headers['if-none-match'];
      const evaluation =
        barrier === null
          ? evaluateFlags(credential, input, null)
          : barrier.then(() => evaluateFlags(credential, input, null));
      return evaluation instanceof Promise
        ? evaluation.then((done) => send(reply, toFlagsAnswer(done, known)))
        : send(reply, toFlagsAnswer(evaluation, known));
    },
  );
}

function contextOf(request: FastifyRequest): Readonly<Record<string, unknown>> {
  const read = fromOfrepRequest(request.body);
  if (!read.ok) {
    throw new ServiceError('invalid', 'INVALID_CONTEXT', read.message);
  }
  return read.context;
}

function send(reply: FastifyReply, { status, headers, body }: OfrepAnswer): FastifyReply {
  writeHeaders(reply, headers);
  void reply.code(status);
  return body === null ? reply.send() : reply.send(body);
}
