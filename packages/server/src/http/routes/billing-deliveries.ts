import {
  BillingDeliveryBodySchema,
  BillingDeliveryPageSchema,
  BillingDeliveryQuerySchema,
  BillingDriftPageSchema,
  BillingReplayedSchema,
  BillingReplaySchema,
} from '@pennon/protocol/management/billing-deliveries';
import { IdSchema, KeySchema, PageQuerySchema } from '@pennon/protocol/management/common';
import { Type } from 'typebox';
import { listDeliveries, readDelivery, replayDeliveries } from '../../service/billing/list-deliveries.js';
import { listDrift } from '../../service/billing/list-drift.js';
import type { ContractServices } from '../../service/contracts/data-change.js';
import type { App } from '../app.js';
import { changeContextOf, credentialOf } from '../authenticate.js';
import { PROBLEMS } from '../problem-responses.js';
import { sendChanged } from '../send-changed.js';

const config = { access: ['admin'] } as const;
const tags = ['Billing'];
const closed = { additionalProperties: false } as const;
const ONE = '/api/v1/environments/:environment/billing-connections/:connection';
const Params = Type.Object({ environment: KeySchema, connection: KeySchema }, closed);
const DeliveryParams = Type.Object(
  { environment: KeySchema, connection: KeySchema, delivery: IdSchema },
  closed,
);

/** What came over a connection, what could not be taken in, and where billing and licenses differ (K-12). */
export function registerBillingDeliveryRoutes(app: App, services: ContractServices): void {
  app.get(
    `${ONE}/deliveries`,
    {
      config,
      schema: {
        operationId: 'listBillingDeliveries',
        tags,
        summary: 'List what came over a connection: dead letters, unless another state is named',
        params: Params,
        querystring: BillingDeliveryQuerySchema,
        response: { 200: BillingDeliveryPageSchema, ...PROBLEMS },
      },
    },
    (request) => listDeliveries(services, credentialOf(request), request.params, request.query),
  );
  app.get(
    `${ONE}/deliveries/:delivery`,
    {
      config,
      schema: {
        operationId: 'readBillingDelivery',
        tags,
        summary: 'Read one delivery with its body as it came',
        params: DeliveryParams,
        response: { 200: BillingDeliveryBodySchema, ...PROBLEMS },
      },
    },
    (request) => readDelivery(services, credentialOf(request), request.params),
  );
  app.post(
    `${ONE}/deliveries/replay`,
    {
      config,
      schema: {
        operationId: 'replayBillingDeliveries',
        tags,
        summary: 'Try dead letters again: those named, or all of the connection',
        params: Params,
        body: BillingReplaySchema,
        response: { 200: BillingReplayedSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const { params, body } = request;
      const context = changeContextOf(request, body.reason);
      return sendChanged(
        reply,
        await replayDeliveries(services, credentialOf(request), context, params, body),
      );
    },
  );
  app.get(
    `${ONE}/drift`,
    {
      config,
      schema: {
        operationId: 'listBillingDrift',
        tags,
        summary: 'List where what billing says and what is licensed differ',
        params: Params,
        querystring: PageQuerySchema,
        response: { 200: BillingDriftPageSchema, ...PROBLEMS },
      },
    },
    (request) => listDrift(services, credentialOf(request), request.params, request.query),
  );
}
