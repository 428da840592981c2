import {
  BundleApplicationListQuerySchema,
  BundleApplicationPageSchema,
  BundleApplicationParamsSchema,
  BundleApplicationSchema,
  BundleApplySchema,
  BundleExtendSchema,
  BundleListQuerySchema,
  BundlePageSchema,
  BundleParamsSchema,
  BundleQuerySchema,
  BundleRemoveQuerySchema,
  BundleSchema,
  BundleWriteSchema,
} from '@pennon/protocol/management/bundles';
import { PreconditionHeadersSchema } from '@pennon/protocol/management/common';
import { EnvironmentParamsSchema, ReasonBodySchema } from '@pennon/protocol/management/customers';
import { Type } from 'typebox';
import { applyBundle } from '../../service/contracts/apply-bundle.js';
import {
  extendApplication,
  getApplication,
  listApplications,
  revokeApplication,
} from '../../service/contracts/bundle-applications.js';
import { getBundle, listBundles, putBundle, removeBundle } from '../../service/contracts/bundles.js';
import type { GrantServices } from '../../service/contracts/make-grants.js';
import type { App } from '../app.js';
import { changeContextOf, credentialOf } from '../authenticate.js';
import { preconditionOf, sendWithEtag } from '../etags.js';
import { PROBLEMS } from '../problem-responses.js';
import { sendChanged, sendRemoved } from '../send-changed.js';

const config = { access: ['admin'] } as const;
const tags = ['Bundles'];
const LIST = '/api/v1/environments/:environment/bundles';
const ONE = `${LIST}/:bundle`;
const APPLICATIONS = '/api/v1/environments/:environment/bundle-applications';
const APPLICATION = `${APPLICATIONS}/:application`;

export function registerBundleRoutes(app: App, services: GrantServices): void {
  registerBundles(app, services);
  registerApply(app, services);
  registerApplications(app, services);
  registerApplicationChanges(app, services);
}

function registerBundles(app: App, services: GrantServices): void {
  app.get(
    LIST,
    {
      config,
      schema: {
        operationId: 'listBundles',
        tags,
        summary: 'List bundles by key',
        params: EnvironmentParamsSchema,
        querystring: BundleListQuerySchema,
        response: { 200: BundlePageSchema, ...PROBLEMS },
      },
    },
    (request) => listBundles(services, credentialOf(request), request.params, request.query),
  );

  app.get(
    ONE,
    {
      config,
      schema: {
        operationId: 'readBundle',
        tags,
        summary: 'Read one bundle',
        params: BundleParamsSchema,
        querystring: BundleQuerySchema,
        response: { 200: BundleSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const named = { ...request.params, product: request.query.product };
      const bundle = await getBundle(services, credentialOf(request), named);
      return sendWithEtag(request, reply, bundle.version, bundle);
    },
  );

  app.put(
    ONE,
    {
      config,
      schema: {
        operationId: 'putBundle',
        tags,
        summary: 'Make a bundle, or say anew what it gives from now on',
        params: BundleParamsSchema,
        querystring: BundleQuerySchema,
        headers: PreconditionHeadersSchema,
        body: BundleWriteSchema,
        response: { 200: BundleSchema, 201: BundleSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const context = changeContextOf(request, request.body.reason);
      const named = { ...request.params, product: request.query.product };
      const precondition = preconditionOf(request);
      const credential = credentialOf(request);
      return sendChanged(
        reply,
        await putBundle(services, credential, context, named, request.body, precondition),
      );
    },
  );

  app.delete(
    ONE,
    {
      config,
      schema: {
        operationId: 'removeBundle',
        tags,
        summary: 'Remove a bundle; what was applied keeps what it gave',
        params: BundleParamsSchema,
        querystring: BundleRemoveQuerySchema,
        headers: PreconditionHeadersSchema,
        response: { 204: Type.Null(), ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const context = changeContextOf(request, request.query.reason);
      const named = { ...request.params, product: request.query.product };
      const precondition = preconditionOf(request);
      return sendRemoved(
        reply,
        await removeBundle(services, credentialOf(request), context, named, precondition),
      );
    },
  );
}

function registerApply(app: App, services: GrantServices): void {
  app.post(
    `${ONE}/apply`,
    {
      config,
      schema: {
        operationId: 'applyBundle',
        tags,
        summary: 'Grant everything that a bundle holds to one target, for some days, all or nothing',
        params: BundleParamsSchema,
        querystring: BundleQuerySchema,
        body: BundleApplySchema,
        response: { 201: BundleApplicationSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const context = changeContextOf(request, request.body.reason);
      const named = { ...request.params, product: request.query.product };
      return sendChanged(
        reply,
        await applyBundle(services, credentialOf(request), context, named, request.body),
      );
    },
  );
}

function registerApplications(app: App, services: GrantServices): void {
  app.get(
    APPLICATIONS,
    {
      config,
      schema: {
        operationId: 'listBundleApplications',
        tags,
        summary: 'List applications of bundles that are in force or to come, those that end first first',
        params: EnvironmentParamsSchema,
        querystring: BundleApplicationListQuerySchema,
        response: { 200: BundleApplicationPageSchema, ...PROBLEMS },
      },
    },
    (request) => listApplications(services, credentialOf(request), request.params, request.query),
  );

  app.get(
    APPLICATION,
    {
      config,
      schema: {
        operationId: 'readBundleApplication',
        tags,
        summary: 'Read one application of a bundle, with the grants that it made',
        params: BundleApplicationParamsSchema,
        response: { 200: BundleApplicationSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const application = await getApplication(services, credentialOf(request), request.params);
      return sendWithEtag(request, reply, application.version, application);
    },
  );
}

function registerApplicationChanges(app: App, services: GrantServices): void {
  app.post(
    `${APPLICATION}/extend`,
    {
      config,
      schema: {
        operationId: 'extendBundleApplication',
        tags,
        summary: 'Let everything that an application gave end at another time',
        params: BundleApplicationParamsSchema,
        headers: PreconditionHeadersSchema,
        body: BundleExtendSchema,
        response: { 200: BundleApplicationSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const context = changeContextOf(request, request.body.reason);
      const { params, body } = request;
      const precondition = preconditionOf(request);
      return sendChanged(
        reply,
        await extendApplication(services, credentialOf(request), context, params, body, precondition),
      );
    },
  );

  app.post(
    `${APPLICATION}/revoke`,
    {
      config,
      schema: {
        operationId: 'revokeBundleApplication',
        tags,
        summary: 'Take back at once everything that an application gave',
        params: BundleApplicationParamsSchema,
        headers: PreconditionHeadersSchema,
        body: ReasonBodySchema,
        response: { 200: BundleApplicationSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const context = changeContextOf(request, request.body.reason);
      const precondition = preconditionOf(request);
      return sendChanged(
        reply,
        await revokeApplication(services, credentialOf(request), context, request.params, precondition),
      );
    },
  );
}
