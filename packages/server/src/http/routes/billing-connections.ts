import {
  BillingConnectionCreateSchema,
  BillingConnectionPageSchema,
  BillingConnectionPatchSchema,
  BillingConnectionSchema,
  BillingProblemPageSchema,
  BillingSecretCreateSchema,
} from '@pennon/protocol/management/billing';
import {
  KeySchema,
  PageQuerySchema,
  PreconditionHeadersSchema,
  ReasonQuerySchema,
} from '@pennon/protocol/management/common';
import { ReasonBodySchema } from '@pennon/protocol/management/customers';
import { Type } from 'typebox';
import { listProblems } from '../../service/billing/list-problems.js';
import {
  askForEverything,
  changeConnection,
  createConnection,
  listConnections,
  readConnection,
  removeConnection,
  rotateSecret,
} from '../../service/billing/manage-connections.js';
import type { ContractServices } from '../../service/contracts/data-change.js';
import type { App } from '../app.js';
import { changeContextOf, credentialOf } from '../authenticate.js';
import { preconditionOf, sendWithEtag } from '../etags.js';
import { PROBLEMS } from '../problem-responses.js';
import { sendChanged, sendRemoved } from '../send-changed.js';

const config = { access: ['admin'] } as const;
const tags = ['Billing'];
const LIST = '/api/v1/environments/:environment/billing-connections';
const ONE = `${LIST}/:connection`;
const ListParams = Type.Object({ environment: KeySchema }, { additionalProperties: false });
const Params = Type.Object(
  { environment: KeySchema, connection: KeySchema },
  { additionalProperties: false },
);

/** Connections to billing providers (K-12). */
export function registerBillingConnectionRoutes(app: App, services: ContractServices): void {
  registerReads(app, services);
  registerChanges(app, services);
}

function registerReads(app: App, services: ContractServices): void {
  app.get(
    LIST,
    {
      config,
      schema: {
        operationId: 'listBillingConnections',
        tags,
        summary: 'List the connections to billing providers, by key',
        params: ListParams,
        querystring: PageQuerySchema,
        response: { 200: BillingConnectionPageSchema, ...PROBLEMS },
      },
    },
    (request) => listConnections(services, credentialOf(request), request.params, request.query),
  );
  app.get(
    '/api/v1/environments/:environment/billing-problems',
    {
      config,
      schema: {
        operationId: 'listBillingProblems',
        tags,
        summary: 'List what somebody has to resolve of what is billed',
        params: ListParams,
        querystring: PageQuerySchema,
        response: { 200: BillingProblemPageSchema, ...PROBLEMS },
      },
    },
    (request) => listProblems(services, credentialOf(request), request.params, request.query),
  );
  app.get(
    ONE,
    {
      config,
      schema: {
        operationId: 'readBillingConnection',
        tags,
        summary: 'Read one connection, by key or id',
        params: Params,
        response: { 200: BillingConnectionSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const body = await readConnection(services, credentialOf(request), request.params);
      return sendWithEtag(request, reply, body.version, body);
    },
  );
}

function registerChanges(app: App, services: ContractServices): void {
  app.post(
    LIST,
    {
      config,
      schema: {
        operationId: 'createBillingConnection',
        tags,
        summary: 'Connect an account at a billing provider, in one mode',
        params: ListParams,
        body: BillingConnectionCreateSchema,
        response: { 201: BillingConnectionSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const { params, body } = request;
      const context = changeContextOf(request, body.reason);
      return sendChanged(
        reply,
        await createConnection(services, credentialOf(request), context, params, body),
      );
    },
  );
  app.patch(
    ONE,
    {
      config,
      schema: {
        operationId: 'changeBillingConnection',
        tags,
        summary: 'Change the mapping, the account or the API key of a connection',
        params: Params,
        headers: PreconditionHeadersSchema,
        body: BillingConnectionPatchSchema,
        response: { 200: BillingConnectionSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const { params, body } = request;
      const context = changeContextOf(request, body.reason);
      const condition = preconditionOf(request);
      const credential = credentialOf(request);
      return sendChanged(
        reply,
        await changeConnection(services, credential, context, params, body, condition),
      );
    },
  );
  app.post(
    `${ONE}/secrets`,
    {
      config,
      schema: {
        operationId: 'rotateBillingSecret',
        tags,
        summary: 'Add a secret that signs deliveries; those before are good while they overlap',
        params: Params,
        headers: PreconditionHeadersSchema,
        body: BillingSecretCreateSchema,
        response: { 200: BillingConnectionSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const { params, body } = request;
      const context = changeContextOf(request, body.reason);
      const condition = preconditionOf(request);
      const credential = credentialOf(request);
      return sendChanged(reply, await rotateSecret(services, credential, context, params, body, condition));
    },
  );
  app.delete(
    ONE,
    {
      config,
      schema: {
        operationId: 'removeBillingConnection',
        tags,
        summary: 'Remove a connection that holds no license any more',
        params: Params,
        headers: PreconditionHeadersSchema,
        querystring: ReasonQuerySchema,
        response: { 204: Type.Null(), ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const { params } = request;
      const context = changeContextOf(request, request.query.reason);
      const condition = preconditionOf(request);
      return sendRemoved(
        reply,
        await removeConnection(services, credentialOf(request), context, params, condition),
      );
    },
  );
  app.post(
    `${ONE}/reconcile`,
    {
      config,
      schema: {
        operationId: 'reconcileBilling',
        tags,
        summary: 'Ask the provider for everything soon, and not only by schedule',
        params: Params,
        body: ReasonBodySchema,
        response: { 200: BillingConnectionSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const { params, body } = request;
      const context = changeContextOf(request, body.reason);
      return sendChanged(reply, await askForEverything(services, credentialOf(request), context, params));
    },
  );
}
