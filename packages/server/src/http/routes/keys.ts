import {
  PageQuerySchema,
  PreconditionHeadersSchema,
  ReasonQuerySchema,
} from '@pennon/protocol/management/common';
import {
  ApiKeyPageSchema,
  ApiKeySchema,
  CreateApiKeySchema,
  CreatedApiKeySchema,
} from '@pennon/protocol/management/keys';
import { Type } from 'typebox';
import type { ManagementDependencies } from '../../service/change.js';
import { createKey, listKeys, readKey, revokeKey } from '../../service/keys/manage-keys.js';
import type { App } from '../app.js';
import { changeContextOf, credentialOf } from '../authenticate.js';
import { preconditionOf, sendWithEtag } from '../etags.js';
import { PROBLEMS } from '../problem-responses.js';
import { sendChanged } from '../send-changed.js';

const Params = Type.Object({ id: Type.String({ minLength: 1, maxLength: 64 }) });
/** The service itself checks that a key never makes or ends one that reaches further. */
const config = { access: ['admin'], reachCheckedByService: true } as const;
const tags = ['Keys'];

export function registerKeyRoutes(app: App, services: ManagementDependencies): void {
  app.get(
    '/api/v1/keys',
    {
      config,
      schema: {
        operationId: 'listKeys',
        tags,
        summary: 'List keys, revoked ones too; never the keys themselves',
        querystring: PageQuerySchema,
        response: { 200: ApiKeyPageSchema, ...PROBLEMS },
      },
    },
    (request) => listKeys(services, credentialOf(request), request.query),
  );

  app.post(
    '/api/v1/keys',
    {
      config: { ...config, shownOnce: ['key'] },
      schema: {
        operationId: 'createKey',
        tags,
        summary: 'Make a key; it is shown in this answer only',
        body: CreateApiKeySchema,
        response: { 201: CreatedApiKeySchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const context = changeContextOf(request, request.body.reason);
      const made = await createKey(services, credentialOf(request), context, request.body);
      return sendChanged(reply, made);
    },
  );

  app.get(
    '/api/v1/keys/:id',
    {
      config,
      schema: {
        operationId: 'readKey',
        tags,
        summary: 'Read what is known of one key',
        params: Params,
        response: { 200: ApiKeySchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const body = await readKey(services, credentialOf(request), request.params.id);
      return sendWithEtag(request, reply, body.version, body);
    },
  );

  app.delete(
    '/api/v1/keys/:id',
    {
      config,
      schema: {
        operationId: 'revokeKey',
        tags,
        summary: 'Revoke a key for ever',
        params: Params,
        headers: PreconditionHeadersSchema,
        querystring: ReasonQuerySchema,
        response: { 200: ApiKeySchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const context = changeContextOf(request, request.query.reason);
      const { id } = request.params;
      const made = await revokeKey(services, credentialOf(request), context, id, preconditionOf(request));
      return sendChanged(reply, made);
    },
  );
}
