import {
  PageQuerySchema,
  PreconditionHeadersSchema,
  ReasonQuerySchema,
} from '@pennon/protocol/management/common';
import { EnvironmentParamsSchema } from '@pennon/protocol/management/customers';
import {
  CreatedWebhookSchema,
  DeliveryListQuerySchema,
  DeliveryLogSchema,
  DeliveryPageSchema,
  DeliveryParamsSchema,
  WebhookCreateSchema,
  WebhookPageSchema,
  WebhookParamsSchema,
  WebhookPatchSchema,
  WebhookReplayedSchema,
  WebhookReplaySchema,
  WebhookRotateSchema,
  WebhookSchema,
  WebhookTestedSchema,
  WebhookTestSchema,
} from '@pennon/protocol/management/webhooks';
import { Type } from 'typebox';
import {
  listDeliveries,
  readDelivery,
  replayWebhook,
  testWebhook,
} from '../../service/hooks/hook-deliveries.js';
import {
  createWebhook,
  type HookServices,
  listWebhooks,
  patchWebhook,
  readWebhook,
  removeWebhook,
  rotateWebhook,
} from '../../service/hooks/manage-hooks.js';
import type { App } from '../app.js';
import { changeContextOf, credentialOf } from '../authenticate.js';
import { preconditionOf, sendWithEtag } from '../etags.js';
import { PROBLEMS } from '../problem-responses.js';
import { sendChanged, sendRemoved } from '../send-changed.js';

const config = { access: ['admin'] } as const;
const withSecret = { ...config, shownOnce: ['secret'] } as const;
const tags = ['Webhooks'];
const LIST = '/api/v1/environments/:environment/webhooks';
const ONE = `${LIST}/:webhook`;

export function registerWebhookRoutes(app: App, services: HookServices): void {
  registerLists(app, services);
  registerItems(app, services);
  registerSecrets(app, services);
  registerDeliveries(app, services);
}

function registerLists(app: App, services: HookServices): void {
  app.get(
    LIST,
    {
      config,
      schema: {
        operationId: 'listWebhooks',
        tags,
        summary: 'List who is told of what changes',
        params: EnvironmentParamsSchema,
        querystring: PageQuerySchema,
        response: { 200: WebhookPageSchema, ...PROBLEMS },
      },
    },
    (request) => listWebhooks(services, credentialOf(request), request.params, request.query),
  );

  app.post(
    LIST,
    {
      config: withSecret,
      schema: {
        operationId: 'createWebhook',
        tags,
        summary: 'Tell a listener of what changes; the secret is shown in this answer only',
        params: EnvironmentParamsSchema,
        body: WebhookCreateSchema,
        response: { 201: CreatedWebhookSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const context = changeContextOf(request, request.body.reason);
      const { params, body } = request;
      return sendChanged(reply, await createWebhook(services, credentialOf(request), context, params, body));
    },
  );
}

function registerItems(app: App, services: HookServices): void {
  app.get(
    ONE,
    {
      config,
      schema: {
        operationId: 'readWebhook',
        tags,
        summary: 'Read one webhook',
        params: WebhookParamsSchema,
        response: { 200: WebhookSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const item = await readWebhook(services, credentialOf(request), request.params);
      return sendWithEtag(request, reply, item.version, item);
    },
  );

  app.patch(
    ONE,
    {
      config,
      schema: {
        operationId: 'changeWebhook',
        tags,
        summary: 'Change where a webhook goes and what it is told, or switch it off and on',
        params: WebhookParamsSchema,
        headers: PreconditionHeadersSchema,
        body: WebhookPatchSchema,
        response: { 200: WebhookSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const context = changeContextOf(request, request.body.reason);
      const { params, body } = request;
      return sendChanged(
        reply,
        await patchWebhook(services, credentialOf(request), context, params, body, preconditionOf(request)),
      );
    },
  );

  app.delete(
    ONE,
    {
      config,
      schema: {
        operationId: 'removeWebhook',
        tags,
        summary: 'Remove a webhook with what was put by for it',
        params: WebhookParamsSchema,
        headers: PreconditionHeadersSchema,
        querystring: ReasonQuerySchema,
        response: { 204: Type.Null(), ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const context = changeContextOf(request, request.query.reason);
      const { params } = request;
      return sendRemoved(
        reply,
        await removeWebhook(services, credentialOf(request), context, params, preconditionOf(request)),
      );
    },
  );
}

function registerSecrets(app: App, services: HookServices): void {
  app.post(
    `${ONE}/rotate`,
    {
      config: withSecret,
      schema: {
        operationId: 'rotateWebhook',
        tags,
        summary: 'Make another secret; both sign while they overlap',
        params: WebhookParamsSchema,
        headers: PreconditionHeadersSchema,
        body: WebhookRotateSchema,
        response: { 200: CreatedWebhookSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const context = changeContextOf(request, request.body.reason);
      const { params, body } = request;
      return sendChanged(
        reply,
        await rotateWebhook(services, credentialOf(request), context, params, body, preconditionOf(request)),
      );
    },
  );

  app.post(
    `${ONE}/test`,
    {
      config,
      schema: {
        operationId: 'testWebhook',
        tags,
        summary: 'Send a test at once, and say what came of it',
        params: WebhookParamsSchema,
        body: WebhookTestSchema,
        response: { 200: WebhookTestedSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const context = changeContextOf(request, request.body.reason);
      return sendChanged(reply, await testWebhook(services, credentialOf(request), context, request.params));
    },
  );
}

function registerDeliveries(app: App, services: HookServices): void {
  app.get(
    `${ONE}/deliveries`,
    {
      config,
      schema: {
        operationId: 'listDeliveries',
        tags,
        summary: 'List what a webhook was sent, is to be sent, and what was given up',
        params: WebhookParamsSchema,
        querystring: DeliveryListQuerySchema,
        response: { 200: DeliveryPageSchema, ...PROBLEMS },
      },
    },
    (request) => listDeliveries(services, credentialOf(request), request.params, request.query),
  );

  app.get(
    `${ONE}/deliveries/:event`,
    {
      config,
      schema: {
        operationId: 'readDelivery',
        tags,
        summary: 'Read one delivery with every attempt',
        params: DeliveryParamsSchema,
        response: { 200: DeliveryLogSchema, ...PROBLEMS },
      },
    },
    (request) => readDelivery(services, credentialOf(request), request.params),
  );

  app.post(
    `${ONE}/replay`,
    {
      config,
      schema: {
        operationId: 'replayWebhook',
        tags,
        summary: 'Send events again: those named, or those of a span',
        params: WebhookParamsSchema,
        body: WebhookReplaySchema,
        response: { 200: WebhookReplayedSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const context = changeContextOf(request, request.body.reason);
      const { params, body } = request;
      return sendChanged(reply, await replayWebhook(services, credentialOf(request), context, params, body));
    },
  );
}
