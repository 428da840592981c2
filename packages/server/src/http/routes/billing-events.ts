import {
  BillingEventResultSchema,
  BillingEventSchema,
  BillingEventToSchema,
  BillingLinkPageSchema,
  BillingLinkPutSchema,
  BillingLinkSchema,
  BillingReferenceSchema,
} from '@pennon/protocol/management/billing-events';
import { KeySchema, PageQuerySchema } from '@pennon/protocol/management/common';
import { Type } from 'typebox';
import { listLinks, putLink } from '../../service/billing/manage-links.js';
import { tellBillingEvent } from '../../service/billing/tell-billing-event.js';
import type { ContractServices } from '../../service/contracts/data-change.js';
import type { App } from '../app.js';
import { changeContextOf, credentialOf } from '../authenticate.js';
import { PROBLEMS } from '../problem-responses.js';
import { sendChanged } from '../send-changed.js';

const config = { access: ['admin'] } as const;
const tags = ['Billing'];
const closed = { additionalProperties: false } as const;
const ENVIRONMENT = '/api/v1/environments/:environment';
const LINKS = `${ENVIRONMENT}/billing-connections/:connection/customers`;
const EnvironmentParams = Type.Object({ environment: KeySchema }, closed);
const Params = Type.Object({ environment: KeySchema, connection: KeySchema }, closed);
const LinkParams = Type.Object(
  { environment: KeySchema, connection: KeySchema, billingCustomer: BillingReferenceSchema },
  closed,
);

/** What is told over REST: states of subscriptions, and whose a provider's customer is (K-12). */
export function registerBillingEventRoutes(app: App, services: ContractServices): void {
  app.post(
    `${ENVIRONMENT}/billing/events`,
    {
      config,
      schema: {
        operationId: 'tellBillingEvent',
        tags,
        summary: 'Tell the state of a subscription: of a contract signed by hand, or of any provider',
        params: EnvironmentParams,
        body: BillingEventSchema,
        response: { 200: BillingEventResultSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const { params, body } = request;
      const context = changeContextOf(request, body.reason);
      return sendChanged(
        reply,
        await tellBillingEvent(services, credentialOf(request), context, params, body),
      );
    },
  );
  app.post(
    '/api/v1/billing/events',
    {
      config: { ...config, reachCheckedByService: true },
      schema: {
        operationId: 'tellBillingEventTo',
        tags,
        summary: 'The same for senders with one fixed address: the environment is named in the body',
        body: BillingEventToSchema,
        response: { 200: BillingEventResultSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const { environment, ...event } = request.body;
      const context = changeContextOf(request, event.reason);
      return sendChanged(
        reply,
        await tellBillingEvent(services, credentialOf(request), context, { environment }, event),
      );
    },
  );
  app.get(
    LINKS,
    {
      config,
      schema: {
        operationId: 'listBillingCustomers',
        tags,
        summary: 'List which customer each customer of the provider is',
        params: Params,
        querystring: PageQuerySchema,
        response: { 200: BillingLinkPageSchema, ...PROBLEMS },
      },
    },
    (request) => listLinks(services, credentialOf(request), request.params, request.query),
  );
  app.put(
    `${LINKS}/:billingCustomer`,
    {
      config,
      schema: {
        operationId: 'linkBillingCustomer',
        tags,
        summary: 'Say which customer a customer of the provider is',
        params: LinkParams,
        body: BillingLinkPutSchema,
        response: { 200: BillingLinkSchema, 201: BillingLinkSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const { params, body } = request;
      const context = changeContextOf(request, body.reason);
      return sendChanged(reply, await putLink(services, credentialOf(request), context, params, body));
    },
  );
}
