import {
  PageQuerySchema,
  PreconditionHeadersSchema,
  ReasonQuerySchema,
} from '@pennon/protocol/management/common';
import {
  CustomerParamsSchema,
  InstancePageSchema,
  InstanceParamsSchema,
  InstanceSchema,
  InstanceWriteSchema,
} from '@pennon/protocol/management/customers';
import { Type } from 'typebox';
import type { ContractServices } from '../../service/contracts/data-change.js';
import {
  getInstance,
  listInstances,
  putInstance,
  removeInstance,
} from '../../service/contracts/instances.js';
import type { App } from '../app.js';
import { changeContextOf, credentialOf } from '../authenticate.js';
import { preconditionOf, sendWithEtag } from '../etags.js';
import { PROBLEMS } from '../problem-responses.js';
import { sendChanged, sendRemoved } from '../send-changed.js';

const config = { access: ['admin'] } as const;
const tags = ['Customers'];
const LIST = '/api/v1/environments/:environment/customers/:customer/instances';
const ONE = `${LIST}/:instance`;

export function registerInstanceRoutes(app: App, services: ContractServices): void {
  app.get(
    LIST,
    {
      config,
      schema: {
        operationId: 'listInstances',
        tags,
        summary: 'List the instances of a customer',
        params: CustomerParamsSchema,
        querystring: PageQuerySchema,
        response: { 200: InstancePageSchema, ...PROBLEMS },
      },
    },
    (request) => listInstances(services, credentialOf(request), request.params, request.query),
  );

  app.get(
    ONE,
    {
      config,
      schema: {
        operationId: 'readInstance',
        tags,
        summary: 'Read one instance',
        params: InstanceParamsSchema,
        response: { 200: InstanceSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const instance = await getInstance(services, credentialOf(request), request.params);
      return sendWithEtag(request, reply, instance.version, instance);
    },
  );

  app.put(
    ONE,
    {
      config,
      schema: {
        operationId: 'putInstance',
        tags,
        summary: 'Register a deployment of the customer, or replace what is said of it',
        params: InstanceParamsSchema,
        headers: PreconditionHeadersSchema,
        body: InstanceWriteSchema,
        response: { 200: InstanceSchema, 201: InstanceSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const context = changeContextOf(request, request.body.reason);
      const { params, body } = request;
      const precondition = preconditionOf(request);
      return sendChanged(
        reply,
        await putInstance(services, credentialOf(request), context, params, body, precondition),
      );
    },
  );

  app.delete(
    ONE,
    {
      config,
      schema: {
        operationId: 'removeInstance',
        tags,
        summary: 'Take the instance from the customer',
        params: InstanceParamsSchema,
        headers: PreconditionHeadersSchema,
        querystring: ReasonQuerySchema,
        response: { 204: Type.Null(), ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const context = changeContextOf(request, request.query.reason);
      const precondition = preconditionOf(request);
      return sendRemoved(
        reply,
        await removeInstance(services, credentialOf(request), context, request.params, precondition),
      );
    },
  );
}
