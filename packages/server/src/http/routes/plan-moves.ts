import { PageQuerySchema, PreconditionHeadersSchema } from '@pennon/protocol/management/common';
import { ReasonBodySchema } from '@pennon/protocol/management/customers';
import {
  PlanMoveCreateSchema,
  PlanMoveItemPageSchema,
  PlanMoveItemQuerySchema,
  PlanMoveListParamsSchema,
  PlanMovePageSchema,
  PlanMoveParamsSchema,
  PlanMoveSchema,
} from '@pennon/protocol/management/plan-moves';
import {
  changePlanMove,
  createPlanMove,
  getPlanMove,
  listPlanMoveItems,
  listPlanMoves,
  PLAN_MOVE_VERBS,
  type PlanMoveUseCases,
  type PlanMoveVerb,
} from '../../service/contracts/plan-moves.js';
import { toEtag } from '../../service/precondition.js';
import type { App } from '../app.js';
import { changeContextOf, credentialOf } from '../authenticate.js';
import { preconditionOf } from '../etags.js';
import { PROBLEMS } from '../problem-responses.js';
import { sendChanged } from '../send-changed.js';

const config = { access: ['admin'] } as const;
const tags = ['Plan moves'];
const LIST = '/api/v1/environments/:environment/plan-moves';
const ONE = `${LIST}/:move`;

const SUMMARIES: Record<PlanMoveVerb, string> = {
  start: 'Start a draft: move its customers in the background',
  retry: 'Try again what failed of a move',
  undo: 'Take back what is not due yet of a move, or discard a draft',
};

export function registerPlanMoveRoutes(app: App, services: PlanMoveUseCases): void {
  app.get(
    LIST,
    {
      config,
      schema: {
        operationId: 'listPlanMoves',
        tags,
        summary: 'List moves of customers between plan versions, the youngest first',
        params: PlanMoveListParamsSchema,
        querystring: PageQuerySchema,
        response: { 200: PlanMovePageSchema, ...PROBLEMS },
      },
    },
    (request) => listPlanMoves(services, credentialOf(request), request.params, request.query),
  );

  app.post(
    LIST,
    {
      config,
      schema: {
        operationId: 'createPlanMove',
        tags,
        summary: 'Draft a move of customers to another plan version: see who gains and loses, change nothing',
        params: PlanMoveListParamsSchema,
        body: PlanMoveCreateSchema,
        response: { 201: PlanMoveSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const context = changeContextOf(request, request.body.reason);
      const { params, body } = request;
      return sendChanged(reply, await createPlanMove(services, credentialOf(request), context, params, body));
    },
  );

  app.get(
    ONE,
    {
      config,
      schema: {
        operationId: 'readPlanMove',
        tags,
        summary: 'Read a move: what it would do, and how far it is',
        params: PlanMoveParamsSchema,
        response: { 200: PlanMoveSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const move = await getPlanMove(services, credentialOf(request), request.params);
      // Never 304: the tag is that of what a person changes, and counts move without it.
      return reply.header('etag', toEtag(move.version)).send(move);
    },
  );

  app.get(
    `${ONE}/customers`,
    {
      config,
      schema: {
        operationId: 'listPlanMoveCustomers',
        tags,
        summary: 'List customer by customer who gains, loses or would be over, and what became of each',
        params: PlanMoveParamsSchema,
        querystring: PlanMoveItemQuerySchema,
        response: { 200: PlanMoveItemPageSchema, ...PROBLEMS },
      },
    },
    (request) => listPlanMoveItems(services, credentialOf(request), request.params, request.query),
  );

  for (const verb of Object.keys(PLAN_MOVE_VERBS) as PlanMoveVerb[]) registerVerb(app, services, verb);
}

function registerVerb(app: App, services: PlanMoveUseCases, verb: PlanMoveVerb): void {
  app.post(
    `${ONE}/${verb}`,
    {
      config,
      schema: {
        operationId: `${verb}PlanMove`,
        tags,
        summary: SUMMARIES[verb],
        params: PlanMoveParamsSchema,
        headers: PreconditionHeadersSchema,
        body: ReasonBodySchema,
        response: { 200: PlanMoveSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const context = changeContextOf(request, request.body.reason);
      const precondition = preconditionOf(request);
      const credential = credentialOf(request);
      return sendChanged(
        reply,
        await changePlanMove(services, credential, context, request.params, verb, precondition),
      );
    },
  );
}
