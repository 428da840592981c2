import { PreconditionHeadersSchema } from '@pennon/protocol/management/common';
import { CustomerParamsSchema, ReasonBodySchema } from '@pennon/protocol/management/customers';
import {
  TopUpCreateSchema,
  TopUpListQuerySchema,
  TopUpPageSchema,
  TopUpParamsSchema,
  TopUpSchema,
} from '@pennon/protocol/management/top-ups';
import type { ContractServices } from '../../service/contracts/data-change.js';
import { createTopUp, getTopUp, listTopUps, voidTopUp } from '../../service/contracts/top-ups.js';
import type { App } from '../app.js';
import { changeContextOf, credentialOf } from '../authenticate.js';
import { preconditionOf, sendWithEtag } from '../etags.js';
import { PROBLEMS } from '../problem-responses.js';
import { sendChanged } from '../send-changed.js';

const config = { access: ['admin'] } as const;
const tags = ['Top-ups'];
const LIST = '/api/v1/environments/:environment/customers/:customer/top-ups';
const ONE = `${LIST}/:topUp`;

export function registerTopUpRoutes(app: App, services: ContractServices): void {
  app.get(
    LIST,
    {
      config,
      schema: {
        operationId: 'listTopUps',
        tags,
        summary: 'List the balances of a customer, the oldest first',
        params: CustomerParamsSchema,
        querystring: TopUpListQuerySchema,
        response: { 200: TopUpPageSchema, ...PROBLEMS },
      },
    },
    (request) => listTopUps(services, credentialOf(request), request.params, request.query),
  );

  app.post(
    LIST,
    {
      config,
      schema: {
        operationId: 'createTopUp',
        tags,
        summary: 'Give an amount of a metered feature besides what its periods allow',
        params: CustomerParamsSchema,
        body: TopUpCreateSchema,
        response: { 201: TopUpSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const context = changeContextOf(request, request.body.reason);
      const { params, body } = request;
      return sendChanged(reply, await createTopUp(services, credentialOf(request), context, params, body));
    },
  );

  app.get(
    ONE,
    {
      config,
      schema: {
        operationId: 'readTopUp',
        tags,
        summary: 'Read one balance',
        params: TopUpParamsSchema,
        response: { 200: TopUpSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const topUp = await getTopUp(services, credentialOf(request), request.params);
      return sendWithEtag(request, reply, topUp.version, topUp);
    },
  );

  app.post(
    `${ONE}/void`,
    {
      config,
      schema: {
        operationId: 'voidTopUp',
        tags,
        summary: 'Take back what is left of a balance',
        params: TopUpParamsSchema,
        headers: PreconditionHeadersSchema,
        body: ReasonBodySchema,
        response: { 200: TopUpSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const context = changeContextOf(request, request.body.reason);
      const precondition = preconditionOf(request);
      const credential = credentialOf(request);
      return sendChanged(reply, await voidTopUp(services, credential, context, request.params, precondition));
    },
  );
}
