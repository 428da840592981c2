import { fromOfrepRequest } from '@pennon/protocol/ofrep/context';
import { ofrepStatusOf } from '@pennon/protocol/ofrep/evaluation';
import {
  OfrepBarrierQuery,
  OfrepBulkEvaluation,
  OfrepEvaluationFailure,
  OfrepEvaluationRequest,
  OfrepEvaluationSuccess,
  OfrepFault,
  OfrepFlagParams,
} from '@pennon/protocol/ofrep/schemas';
import { serializeOfrepBulk, serializeOfrepEvaluation } from '@pennon/protocol/ofrep/serialize';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import { evaluateFlag, type FlagEvaluation } from '../../service/evaluate-flag.js';
import { evaluateFlags, type FlagsEvaluation } from '../../service/evaluate-flags.js';
import { awaitBarrier, type BarrierQuery } from '../../service/evaluation-barrier.js';
import { evaluationEtag, hasSameBody } from '../../service/evaluation-etag.js';
import type { EvaluationDependencies } from '../../service/evaluation-request.js';
import { ServiceError } from '../../service/service-error.js';
import type { App } from '../app.js';
import { credentialOf } from '../authenticate.js';
import { evaluationInputOf, writeStamp } from '../evaluation-headers.js';

export type OfrepServices = EvaluationDependencies;

const ACCESS = ['server', 'client', 'customer-token', 'admin'] as const;
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
  app.post<{ Params: { key: string } }>(
    '/ofrep/v1/evaluate/flags/:key',
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
      config: { access: ACCESS, changes: false },
    },
    (request, reply) => {
      request.evaluationKind = 'flag';
      const input = evaluationInputOf(request, contextOf(request));
      const evaluation = evaluateFlag(services, credentialOf(request), request.params.key, input);
      if (evaluation instanceof Promise) {
        return evaluation.then((done) => sendFlag(reply, done));
      }
      return sendFlag(reply, evaluation);
    },
  );

  app.post<{ Querystring: BarrierQuery }>(
    '/ofrep/v1/evaluate/flags',
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
      config: { access: ACCESS, changes: false },
    },
    (request, reply) => {
      request.evaluationKind = 'flags';
      const input = evaluationInputOf(request, contextOf(request));
      const credential = credentialOf(request);
      const barrier = awaitBarrier(services, credential, input, request.query);
      const evaluation =
        barrier === null
          ? evaluateFlags(services, credential, input)
          : barrier.then(() => evaluateFlags(services, credential, input));
      if (evaluation instanceof Promise) {
        return evaluation.then((done) => sendFlags(request, reply, done));
      }
      return sendFlags(request, reply, evaluation);
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

function sendFlag(reply: FastifyReply, { decision, stamp }: FlagEvaluation): FastifyReply {
  const status = ofrepStatusOf(decision);
  writeStamp(reply, stamp, 'no-store');
  if (status === 503) {
    void reply.header('retry-after', '1');
  }
  return reply.code(status).send(serializeOfrepEvaluation(decision));
}

function sendFlags(
  request: FastifyRequest,
  reply: FastifyReply,
  { decisions, stamp }: FlagsEvaluation,
): FastifyReply {
  const body = serializeOfrepBulk(decisions);
  const etag = evaluationEtag(stamp, credentialOf(request), body);
  // `private`, not `no-store`: the caller keeps the answer and asks whether it still holds.
  writeStamp(reply, stamp, 'private, no-cache');
  void reply.header('etag', etag);
  const known = request.headers['if-none-match'];
  if (known !== undefined && hasSameBody(known, etag)) {
    void reply.removeHeader('content-type');
    return reply.code(304).send();
  }
  return reply.code(200).send(body);
}
