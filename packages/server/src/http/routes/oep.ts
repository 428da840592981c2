import { LIMITS } from '@pennon/engine/model/limits';
import { toOepConsumption, toOepRelease } from '@pennon/protocol/oep/consumption';
import { serializeOepEntitlements, toOepEntitlement } from '@pennon/protocol/oep/entitlement';
import { fromOepConsume, fromOepEvaluate, fromOepRelease } from '@pennon/protocol/oep/request';
import {
  OepBulkEntitlements,
  OepConfiguration,
  OepConsumeRequest,
  OepConsumption,
  OepEntitlement,
  OepEvaluationRequest,
  OepRelease,
  OepReleaseRequest,
} from '@pennon/protocol/oep/schemas';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import type { ConsumeDependencies, ConsumeInput } from '../../service/consume-input.js';
import { consumeUsage } from '../../service/consume-usage.js';
import {
  type EntitlementEvaluation,
  type EntitlementInput,
  evaluateEntitlement,
} from '../../service/evaluate-entitlement.js';
import { type EntitlementsEvaluation, evaluateEntitlements } from '../../service/evaluate-entitlements.js';
import { evaluationEtag, hasSameBody } from '../../service/evaluation-etag.js';
import type { App } from '../app.js';
import { credentialOf } from '../authenticate.js';
import { evaluationInputOf, writeStamp } from '../evaluation-headers.js';
import {
  acceptAll,
  accepted,
  CONSUME,
  callerOf,
  EVALUATE,
  FAULTS,
  Replayable,
  sendConsumed,
  TAGS,
} from '../oep-calls.js';
import { registerReservations } from './oep-reservations.js';

export type OepServices = ConsumeDependencies;

/** OEP, draft 0.1: evaluate, consume, release (K-13, X-5). */
export function registerOepRoutes(app: App, services: OepServices): void {
  registerEvaluations(app, services);
  registerConsumptions(app, services);
  registerReservations(app, services);
  app.get(
    '/oep/v1/configuration',
    {
      schema: {
        operationId: 'getEntitlementConfiguration',
        tags: TAGS,
        summary: 'What this server can do',
        response: { ...FAULTS, 200: OepConfiguration },
      },
      config: { access: EVALUATE, changes: false },
    },
    async (_request, reply) => reply.header('cache-control', 'no-store').send(CONFIGURATION),
  );
}

function registerEvaluations(app: App, services: OepServices): void {
  app.post<{ Params: { key: string } }>(
    '/oep/v1/evaluate/entitlements/:key',
    {
      schema: {
        operationId: 'evaluateEntitlement',
        tags: TAGS,
        summary: 'What a customer may do with one feature',
        params: Type.Object({ key: Type.String() }),
        body: OepEvaluationRequest,
        response: { ...FAULTS, 200: OepEntitlement },
      },
      validatorCompiler: acceptAll,
      config: { access: EVALUATE, changes: false },
    },
    (request, reply) => {
      request.evaluationKind = 'entitlement';
      const input = entitlementInputOf(request);
      const evaluation = evaluateEntitlement(services, credentialOf(request), request.params.key, input);
      return evaluation instanceof Promise
        ? evaluation.then((done) => sendEntitlement(reply, done))
        : sendEntitlement(reply, evaluation);
    },
  );

  app.post<{ Body: unknown }>(
    '/oep/v1/evaluate/entitlements',
    {
      schema: {
        operationId: 'evaluateEntitlementsBulk',
        tags: TAGS,
        summary: 'What a customer may do, all of it',
        body: OepEvaluationRequest,
        response: { ...FAULTS, 200: OepBulkEntitlements, 304: Type.Null() },
      },
      validatorCompiler: acceptAll,
      config: { access: EVALUATE, changes: false },
    },
    (request, reply) => {
      request.evaluationKind = 'entitlements';
      const evaluation = evaluateEntitlements(services, credentialOf(request), entitlementInputOf(request));
      return evaluation instanceof Promise
        ? evaluation.then((done) => sendEntitlements(request, reply, done))
        : sendEntitlements(request, reply, evaluation);
    },
  );
}

function registerConsumptions(app: App, services: OepServices): void {
  app.post<{ Body: unknown }>(
    '/oep/v1/consume',
    {
      schema: {
        operationId: 'consume',
        tags: TAGS,
        summary: 'Check and take, atomically',
        headers: Replayable,
        body: OepConsumeRequest,
        response: { ...FAULTS, 200: OepConsumption },
      },
      validatorCompiler: acceptAll,
      config: { access: CONSUME, changes: false, body: 'strict' },
    },
    async (request, reply) => {
      request.evaluationKind = 'consume';
      const call = accepted(fromOepConsume(request.body, LIMITS.itemsPerConsume.value));
      const answer = await consumeUsage(
        services,
        credentialOf(request),
        consumeInputOf(request, 'consume', call.context, call.items, call.mode),
      );
      return sendConsumed(reply, answer, toOepConsumption(answer.decisions, answer.decidedAt, call.form));
    },
  );

  app.post<{ Body: unknown }>(
    '/oep/v1/release',
    {
      schema: {
        operationId: 'release',
        tags: TAGS,
        summary: 'Give back units of a feature that never resets',
        headers: Replayable,
        body: OepReleaseRequest,
        response: { ...FAULTS, 200: OepRelease },
      },
      validatorCompiler: acceptAll,
      config: { access: CONSUME, changes: false, body: 'strict' },
    },
    async (request, reply) => {
      request.evaluationKind = 'release';
      const call = accepted(fromOepRelease(request.body));
      const answer = await consumeUsage(
        services,
        credentialOf(request),
        consumeInputOf(request, 'release', call.context, [call.item], 'all'),
      );
      const decision = answer.decisions[0];
      if (decision === undefined) {
        throw new Error('A release was decided without a decision.');
      }
      const body = toOepRelease(decision.consumed, decision.entitlement, answer.decidedAt);
      return sendConsumed(reply, answer, body);
    },
  );
}

function entitlementInputOf(request: FastifyRequest): EntitlementInput {
  const call = accepted(fromOepEvaluate(request.body));
  return {
    ...evaluationInputOf(request, call.context),
    amount: call.amount,
    strong: call.consistency === 'strong',
  };
}

function consumeInputOf(
  request: FastifyRequest,
  operation: 'consume' | 'release',
  context: ConsumeInput['context'],
  items: ConsumeInput['items'],
  mode: ConsumeInput['mode'],
): ConsumeInput {
  return { ...callerOf(request, context), operation, items, mode };
}

function sendEntitlement(reply: FastifyReply, { decision, stamp }: EntitlementEvaluation): FastifyReply {
  writeStamp(reply, stamp, 'no-store');
  return reply.code(200).send(JSON.stringify(toOepEntitlement(decision, stamp.asOf)));
}

function sendEntitlements(
  request: FastifyRequest,
  reply: FastifyReply,
  { decisions, stamp }: EntitlementsEvaluation,
): FastifyReply {
  const entitlements = decisions.map((decision) => toOepEntitlement(decision, stamp.asOf));
  const { body, stable } = serializeOepEntitlements(entitlements);
  const etag = evaluationEtag(stamp, credentialOf(request), stable);
  writeStamp(reply, stamp, 'private, no-cache');
  void reply.header('etag', etag);
  const known = request.headers['if-none-match'];
  if (known !== undefined && hasSameBody(known, etag)) {
    void reply.removeHeader('content-type');
    return reply.code(304).send();
  }
  return reply.code(200).send(body);
}

const CONFIGURATION: OepConfiguration = {
  name: 'Pennon',
  protocol: 'oep/0.1',
  capabilities: {
    evaluate: true,
    bulk: true,
    etag: true,
    strongConsistency: true,
    consume: true,
    items: true,
    upTo: true,
    release: true,
    holders: true,
    reservations: true,
    usageEvents: true,
    history: true,
    eventStreams: false,
  },
  limits: {
    itemsPerConsume: LIMITS.itemsPerConsume.value,
    idempotencyKeyLength: LIMITS.idempotencyKeyLength.value,
    idempotencyDays: 35,
    holderLength: LIMITS.holderLength.value,
    reservationSeconds: LIMITS.reservationSeconds.value,
    usageEventsPerBatch: LIMITS.usageEventsPerBatch.value,
    usageBatchBytes: LIMITS.usageBatchBytes.value,
    historyWindows: LIMITS.historyWindows.value,
    quantity: LIMITS.quantity.value,
    contextBytes: LIMITS.contextBytes.value,
  },
};
