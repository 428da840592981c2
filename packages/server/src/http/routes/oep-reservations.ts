import { LIMITS } from '@pennon/engine/model/limits';
import { fromOepReserve, fromOepSettle } from '@pennon/protocol/oep/request';
import { toOepReservation, toOepReservationDecision } from '@pennon/protocol/oep/reservation';
import {
  OepReservation,
  OepReservationDecision,
  OepReservationDenial,
  OepReserveRequest,
  OepSettleRequest,
} from '@pennon/protocol/oep/schemas';
import type { FastifyReply } from 'fastify';
import { Type } from 'typebox';
import type { ConsumeDependencies } from '../../service/consume-input.js';
import type { ConsumeAnswer } from '../../service/consume-request.js';
import { endReservation, readReservation, reserveUsage } from '../../service/reserve-usage.js';
import type { App } from '../app.js';
import { credentialOf } from '../authenticate.js';
import { evaluationInputOf } from '../evaluation-headers.js';
import {
  acceptAll,
  accepted,
  CONSUME,
  callerOf,
  FAULTS,
  Replayable,
  sendConsumed,
  TAGS,
} from '../oep-calls.js';

const Named = Type.Object({ id: Type.String({ description: 'Of the reservation.' }) });
const config = { access: CONSUME, changes: false, body: 'strict' } as const;

interface Call {
  readonly Params: { readonly id: string };
  readonly Body: unknown;
}

/** OEP: reserve, then settle or release; what is neither ends by the clock. */
export function registerReservations(app: App, services: ConsumeDependencies): void {
  app.post<{ Body: unknown }>(
    '/oep/v1/reservations',
    {
      schema: {
        operationId: 'reserve',
        tags: TAGS,
        summary: 'Hold an amount for a time',
        headers: Replayable,
        body: OepReserveRequest,
        response: { ...FAULTS, 200: OepReservationDenial, 201: OepReservationDecision },
      },
      validatorCompiler: acceptAll,
      config,
    },
    async (request, reply) => {
      request.evaluationKind = 'reserve';
      const call = accepted(fromOepReserve(request.body, LIMITS.reservationSeconds.value));
      const answer = await reserveUsage(services, credentialOf(request), {
        ...callerOf(request, call.context),
        items: call.items,
        mode: call.mode,
        ttlSeconds: call.ttlSeconds,
      });
      return send(reply, answer, 201);
    },
  );

  for (const [word, operation, summary] of [
    ['settle', 'settle', 'Turn what is held into usage, and give the rest back'],
    ['release', 'release-hold', 'Give back all that is held'],
  ] as const) {
    app.post<Call>(
      `/oep/v1/reservations/:id/${word}`,
      {
        schema: {
          operationId: word === 'settle' ? 'settleReservation' : 'releaseReservation',
          tags: TAGS,
          summary,
          params: Named,
          headers: Replayable,
          body: OepSettleRequest,
          response: { ...FAULTS, 200: OepReservationDecision },
        },
        validatorCompiler: acceptAll,
        config,
      },
      async (request, reply) => {
        request.evaluationKind = word;
        const { amount, attributes } = accepted(fromOepSettle(request.body));
        const { context: _, ...caller } = callerOf(request, {});
        const { id } = request.params;
        const input = {
          ...caller,
          operation,
          id,
          attributes,
          amount: operation === 'settle' ? amount : null,
        };
        return send(reply, await endReservation(services, credentialOf(request), input), 200);
      },
    );
  }

  app.get<{ Params: { readonly id: string } }>(
    '/oep/v1/reservations/:id',
    {
      schema: {
        operationId: 'readReservation',
        tags: TAGS,
        summary: 'How a reservation stands',
        params: Named,
        response: { ...FAULTS, 200: OepReservation },
      },
      validatorCompiler: acceptAll,
      config: { access: CONSUME },
    },
    async (request, reply) => {
      const { product, environment } = evaluationInputOf(request, {});
      const named = { product, environment };
      const { key, reservation } = await readReservation(
        services,
        credentialOf(request),
        named,
        request.params.id,
      );
      return reply
        .code(200)
        .headers({ 'content-type': 'application/json; charset=utf-8', 'cache-control': 'no-store' })
        .send(JSON.stringify(toOepReservation(key, reservation)));
    },
  );
}

function send(reply: FastifyReply, answer: ConsumeAnswer, allowedStatus: 200 | 201): FastifyReply {
  const [decision] = answer.decisions;
  if (decision === undefined) {
    throw new Error('A reservation was decided without a decision.');
  }
  const body = toOepReservationDecision(decision, answer.decidedAt);
  return sendConsumed(reply, answer, body, decision.allowed ? allowedStatus : 200);
}
