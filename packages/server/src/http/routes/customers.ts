import { PreconditionHeadersSchema } from '@pennon/protocol/management/common';
import {
  CustomerCreateSchema,
  CustomerListQuerySchema,
  CustomerPageSchema,
  CustomerParamsSchema,
  CustomerSchema,
  CustomerWriteSchema,
  EnvironmentParamsSchema,
  ReasonBodySchema,
} from '@pennon/protocol/management/customers';
import {
  archiveCustomer,
  createCustomer,
  getCustomer,
  patchCustomer,
  putCustomer,
} from '../../service/contracts/customers.js';
import type { ContractServices } from '../../service/contracts/data-change.js';
import { listCustomers, type SearchServices } from '../../service/contracts/list-customers.js';
import type { App } from '../app.js';
import { changeContextOf, credentialOf } from '../authenticate.js';
import { preconditionOf, sendWithEtag } from '../etags.js';
import { PROBLEMS } from '../problem-responses.js';
import { sendChanged } from '../send-changed.js';

const config = { access: ['admin'] } as const;
const tags = ['Customers'];
const LIST = '/api/v1/environments/:environment/customers';
const ONE = `${LIST}/:customer`;

export function registerCustomerRoutes(app: App, services: SearchServices): void {
  app.get(
    LIST,
    {
      config,
      schema: {
        operationId: 'listCustomers',
        tags,
        summary: 'List or search the customers of an environment',
        params: EnvironmentParamsSchema,
        querystring: CustomerListQuerySchema,
        response: { 200: CustomerPageSchema, ...PROBLEMS },
      },
    },
    (request) => listCustomers(services, credentialOf(request), request.params, request.query),
  );

  app.post(
    LIST,
    {
      config,
      schema: {
        operationId: 'createCustomer',
        tags,
        summary: 'Create a customer',
        params: EnvironmentParamsSchema,
        body: CustomerCreateSchema,
        response: { 201: CustomerSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const context = changeContextOf(request, request.body.reason);
      const { params, body } = request;
      return sendChanged(reply, await createCustomer(services, credentialOf(request), context, params, body));
    },
  );

  app.get(
    ONE,
    {
      config,
      schema: {
        operationId: 'readCustomer',
        tags,
        summary: 'Read one customer',
        params: CustomerParamsSchema,
        response: { 200: CustomerSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const customer = await getCustomer(services, credentialOf(request), request.params);
      return sendWithEtag(request, reply, customer.version, customer);
    },
  );

  registerCustomerChanges(app, services);
}

function registerCustomerChanges(app: App, services: ContractServices): void {
  app.put(
    ONE,
    {
      config,
      schema: {
        operationId: 'putCustomer',
        tags,
        summary: 'Create a customer, or replace what is said of it',
        params: CustomerParamsSchema,
        headers: PreconditionHeadersSchema,
        body: CustomerWriteSchema,
        response: { 200: CustomerSchema, 201: CustomerSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const context = changeContextOf(request, request.body.reason);
      const { params, body } = request;
      const precondition = preconditionOf(request);
      return sendChanged(
        reply,
        await putCustomer(services, credentialOf(request), context, params, body, precondition),
      );
    },
  );

  app.patch(
    ONE,
    {
      config,
      schema: {
        operationId: 'changeCustomer',
        tags,
        summary: 'Change the members that are named',
        params: CustomerParamsSchema,
        headers: PreconditionHeadersSchema,
        body: CustomerWriteSchema,
        response: { 200: CustomerSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const context = changeContextOf(request, request.body.reason);
      const { params, body } = request;
      const precondition = preconditionOf(request);
      return sendChanged(
        reply,
        await patchCustomer(services, credentialOf(request), context, params, body, precondition),
      );
    },
  );

  for (const [word, archived] of [
    ['archive', true],
    ['restore', false],
  ] as const) {
    app.post(
      `${ONE}/${word}`,
      {
        config,
        schema: {
          operationId: `${word}Customer`,
          tags,
          summary: archived
            ? 'Take a customer out of use; nothing is removed'
            : 'Take an archived customer back into use',
          params: CustomerParamsSchema,
          headers: PreconditionHeadersSchema,
          body: ReasonBodySchema,
          response: { 200: CustomerSchema, ...PROBLEMS },
        },
      },
      async (request, reply) => {
        const context = changeContextOf(request, request.body.reason);
        const precondition = preconditionOf(request);
        const { params } = request;
        return sendChanged(
          reply,
          await archiveCustomer(services, credentialOf(request), context, params, archived, precondition),
        );
      },
    );
  }
}
