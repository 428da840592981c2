import {
  PageQuerySchema,
  PreconditionHeadersSchema,
  ReasonQuerySchema,
} from '@pennon/protocol/management/common';
import {
  CustomerParamsSchema,
  UserPageSchema,
  UserParamsSchema,
  UserSchema,
  UserWriteSchema,
} from '@pennon/protocol/management/customers';
import { Type } from 'typebox';
import type { ContractServices } from '../../service/contracts/data-change.js';
import { getUser, listUsers, putUser, removeUser } from '../../service/contracts/users.js';
import type { App } from '../app.js';
import { changeContextOf, credentialOf } from '../authenticate.js';
import { preconditionOf, sendWithEtag } from '../etags.js';
import { PROBLEMS } from '../problem-responses.js';
import { sendChanged, sendRemoved } from '../send-changed.js';

const config = { access: ['admin'] } as const;
const tags = ['Customers'];
const LIST = '/api/v1/environments/:environment/customers/:customer/users';
const ONE = `${LIST}/:user`;

export function registerUserRoutes(app: App, services: ContractServices): void {
  app.get(
    LIST,
    {
      config,
      schema: {
        operationId: 'listUsers',
        tags,
        summary: 'List the users of a customer',
        params: CustomerParamsSchema,
        querystring: PageQuerySchema,
        response: { 200: UserPageSchema, ...PROBLEMS },
      },
    },
    (request) => listUsers(services, credentialOf(request), request.params, request.query),
  );

  app.get(
    ONE,
    {
      config,
      schema: {
        operationId: 'readUser',
        tags,
        summary: 'Read one user',
        params: UserParamsSchema,
        response: { 200: UserSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const user = await getUser(services, credentialOf(request), request.params);
      return sendWithEtag(request, reply, user.version, user);
    },
  );

  app.put(
    ONE,
    {
      config,
      schema: {
        operationId: 'putUser',
        tags,
        summary: 'Make a user one of the customer’s, or replace what is said of it',
        params: UserParamsSchema,
        headers: PreconditionHeadersSchema,
        body: UserWriteSchema,
        response: { 200: UserSchema, 201: UserSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const context = changeContextOf(request, request.body.reason);
      const { params, body } = request;
      const precondition = preconditionOf(request);
      return sendChanged(
        reply,
        await putUser(services, credentialOf(request), context, params, body, precondition),
      );
    },
  );

  app.delete(
    ONE,
    {
      config,
      schema: {
        operationId: 'removeUser',
        tags,
        summary: 'Take the user from the customer',
        params: UserParamsSchema,
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
        await removeUser(services, credentialOf(request), context, request.params, precondition),
      );
    },
  );
}
