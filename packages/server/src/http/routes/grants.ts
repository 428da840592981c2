import { PreconditionHeadersSchema } from '@pennon/protocol/management/common';
import {
  CustomerParamsSchema,
  EnvironmentParamsSchema,
  ReasonBodySchema,
} from '@pennon/protocol/management/customers';
import {
  CustomerGrantsQuerySchema,
  GrantCreateSchema,
  GrantExtendSchema,
  GrantListQuerySchema,
  GrantPageSchema,
  GrantParamsSchema,
  GrantPatchSchema,
  GrantSchema,
  ReachingGrantPageSchema,
} from '@pennon/protocol/management/grants';
import {
  createGrant,
  extendGrant,
  getGrant,
  patchGrant,
  revokeGrant,
} from '../../service/contracts/grants.js';
import { listCustomerGrants, listGrants } from '../../service/contracts/list-grants.js';
import type { GrantServices } from '../../service/contracts/make-grants.js';
import type { App } from '../app.js';
import { changeContextOf, credentialOf } from '../authenticate.js';
import { preconditionOf, sendWithEtag } from '../etags.js';
import { PROBLEMS } from '../problem-responses.js';
import { sendChanged } from '../send-changed.js';

const config = { access: ['admin'] } as const;
const tags = ['Grants'];
const LIST = '/api/v1/environments/:environment/grants';
const ONE = `${LIST}/:grant`;

export function registerGrantRoutes(app: App, services: GrantServices): void {
  registerLists(app, services);
  registerItems(app, services);
}

function registerLists(app: App, services: GrantServices): void {
  app.get(
    LIST,
    {
      config,
      schema: {
        operationId: 'listGrants',
        tags,
        summary: 'List grants that are in force or to come, those that end first first',
        params: EnvironmentParamsSchema,
        querystring: GrantListQuerySchema,
        response: { 200: GrantPageSchema, ...PROBLEMS },
      },
    },
    (request) => listGrants(services, credentialOf(request), request.params, request.query),
  );

  app.get(
    '/api/v1/environments/:environment/customers/:customer/grants',
    {
      config,
      schema: {
        operationId: 'listCustomerGrants',
        tags,
        summary: 'List every grant that reaches one customer, each with through whom or what it does',
        params: CustomerParamsSchema,
        querystring: CustomerGrantsQuerySchema,
        response: { 200: ReachingGrantPageSchema, ...PROBLEMS },
      },
    },
    (request) => listCustomerGrants(services, credentialOf(request), request.params, request.query),
  );
}

function registerItems(app: App, services: GrantServices): void {
  app.post(
    LIST,
    {
      config,
      schema: {
        operationId: 'createGrant',
        tags,
        summary: 'Make a dated exception for a user, instance, customer, group or segment',
        params: EnvironmentParamsSchema,
        body: GrantCreateSchema,
        response: { 201: GrantSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const context = changeContextOf(request, request.body.reason);
      const { params, body } = request;
      return sendChanged(reply, await createGrant(services, credentialOf(request), context, params, body));
    },
  );

  app.get(
    ONE,
    {
      config,
      schema: {
        operationId: 'readGrant',
        tags,
        summary: 'Read one grant',
        params: GrantParamsSchema,
        response: { 200: GrantSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const grant = await getGrant(services, credentialOf(request), request.params);
      return sendWithEtag(request, reply, grant.version, grant);
    },
  );

  app.patch(
    ONE,
    {
      config,
      schema: {
        operationId: 'changeGrant',
        tags,
        summary: 'Change what is said about a grant: its kind, owner, contract reference or source',
        params: GrantParamsSchema,
        headers: PreconditionHeadersSchema,
        body: GrantPatchSchema,
        response: { 200: GrantSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const context = changeContextOf(request, request.body.reason);
      const { params, body } = request;
      const precondition = preconditionOf(request);
      return sendChanged(
        reply,
        await patchGrant(services, credentialOf(request), context, params, body, precondition),
      );
    },
  );

  app.post(
    `${ONE}/extend`,
    {
      config,
      schema: {
        operationId: 'extendGrant',
        tags,
        summary: 'Let a grant end at another time',
        params: GrantParamsSchema,
        headers: PreconditionHeadersSchema,
        body: GrantExtendSchema,
        response: { 200: GrantSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const context = changeContextOf(request, request.body.reason);
      const { params, body } = request;
      const precondition = preconditionOf(request);
      return sendChanged(
        reply,
        await extendGrant(services, credentialOf(request), context, params, body, precondition),
      );
    },
  );

  app.post(
    `${ONE}/revoke`,
    {
      config,
      schema: {
        operationId: 'revokeGrant',
        tags,
        summary: 'Take a grant back at once',
        params: GrantParamsSchema,
        headers: PreconditionHeadersSchema,
        body: ReasonBodySchema,
        response: { 200: GrantSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const context = changeContextOf(request, request.body.reason);
      const precondition = preconditionOf(request);
      const { params } = request;
      return sendChanged(
        reply,
        await revokeGrant(services, credentialOf(request), context, params, precondition),
      );
    },
  );
}
