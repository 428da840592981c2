import {
  PageQuerySchema,
  PreconditionHeadersSchema,
  ReasonQuerySchema,
} from '@pennon/protocol/management/common';
import {
  CreatedTokenKeySchema,
  CreateTokenKeySchema,
  RotateTokenKeySchema,
  TokenKeyPageSchema,
  TokenKeySchema,
} from '@pennon/protocol/management/keys';
import { Type } from 'typebox';
import type { ManagementDependencies } from '../../service/change.js';
import {
  createTokenKey,
  listTokenKeys,
  readTokenKey,
  revokeTokenKey,
  rotateTokenKey,
} from '../../service/keys/manage-token-keys.js';
import type { App } from '../app.js';
import { changeContextOf, credentialOf } from '../authenticate.js';
import { preconditionOf, sendWithEtag } from '../etags.js';
import { PROBLEMS } from '../problem-responses.js';
import { sendChanged } from '../send-changed.js';

const Params = Type.Object({ id: Type.String({ minLength: 1, maxLength: 64 }) });
const config = { access: ['admin'], reachCheckedByService: true } as const;
const tags = ['Customer tokens'];
const SECRETS = ['privateJwk', 'privatePem'];

export function registerTokenKeyRoutes(app: App, services: ManagementDependencies): void {
  app.get(
    '/api/v1/token-keys',
    {
      config,
      schema: {
        operationId: 'listTokenKeys',
        tags,
        summary: 'List the key pairs that sign customer tokens (public halves)',
        querystring: PageQuerySchema,
        response: { 200: TokenKeyPageSchema, ...PROBLEMS },
      },
    },
    (request) => listTokenKeys(services, credentialOf(request), request.query),
  );

  app.post(
    '/api/v1/token-keys',
    {
      config: { ...config, shownOnce: SECRETS },
      schema: {
        operationId: 'createTokenKey',
        tags,
        summary: 'Make a key pair; the private half is shown in this answer only',
        body: CreateTokenKeySchema,
        response: { 201: CreatedTokenKeySchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const context = changeContextOf(request, request.body.reason);
      const made = await createTokenKey(services, credentialOf(request), context, request.body);
      return sendChanged(reply, made);
    },
  );

  app.get(
    '/api/v1/token-keys/:id',
    {
      config,
      schema: {
        operationId: 'readTokenKey',
        tags,
        summary: 'Read one key pair (public half)',
        params: Params,
        response: { 200: TokenKeySchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const body = await readTokenKey(services, credentialOf(request), request.params.id);
      return sendWithEtag(request, reply, body.version, body);
    },
  );

  app.post(
    '/api/v1/token-keys/:id/rotate',
    {
      config: { ...config, shownOnce: SECRETS },
      schema: {
        operationId: 'rotateTokenKey',
        tags,
        summary: 'Make the successor of a key pair; both are accepted while they overlap',
        params: Params,
        headers: PreconditionHeadersSchema,
        body: RotateTokenKeySchema,
        response: { 201: CreatedTokenKeySchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const made = await rotateTokenKey(
        services,
        credentialOf(request),
        changeContextOf(request, request.body.reason),
        request.params.id,
        preconditionOf(request),
        request.body,
      );
      return sendChanged(reply, made);
    },
  );

  app.delete(
    '/api/v1/token-keys/:id',
    {
      config,
      schema: {
        operationId: 'revokeTokenKey',
        tags,
        summary: 'Revoke a key pair: every token signed with it is refused at once',
        params: Params,
        headers: PreconditionHeadersSchema,
        querystring: ReasonQuerySchema,
        response: { 200: TokenKeySchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const context = changeContextOf(request, request.query.reason);
      const { id } = request.params;
      const made = await revokeTokenKey(
        services,
        credentialOf(request),
        context,
        id,
        preconditionOf(request),
      );
      return sendChanged(reply, made);
    },
  );
}
