import {
  KeySchema,
  PageQuerySchema,
  PreconditionHeadersSchema,
  ReasonQuerySchema,
} from '@pennon/protocol/management/common';
import {
  ChangeEnvironmentSchema,
  CreateEnvironmentSchema,
  EnvironmentPageSchema,
  EnvironmentSchema,
} from '@pennon/protocol/management/environments';
import { Type } from 'typebox';
import type { ManagementDependencies } from '../../service/change.js';
import { changeEnvironment } from '../../service/environments/change-environment.js';
import { createEnvironment } from '../../service/environments/create-environment.js';
import { listEnvironments, readEnvironment } from '../../service/environments/read-environments.js';
import { removeEnvironment } from '../../service/environments/remove-environment.js';
import type { App } from '../app.js';
import { changeContextOf, credentialOf } from '../authenticate.js';
import { preconditionOf, sendWithEtag } from '../etags.js';
import { PROBLEMS } from '../problem-responses.js';
import { sendChanged, sendRemoved } from '../send-changed.js';

const Params = Type.Object({ environment: KeySchema });
const config = { access: ['admin'] } as const;
const tags = ['Environments'];

export function registerEnvironmentRoutes(app: App, services: ManagementDependencies): void {
  app.get(
    '/api/v1/environments',
    {
      config,
      schema: {
        operationId: 'listEnvironments',
        tags,
        summary: 'List the environments that the key reaches',
        querystring: PageQuerySchema,
        response: { 200: EnvironmentPageSchema, ...PROBLEMS },
      },
    },
    (request) => listEnvironments(services, credentialOf(request), request.query),
  );

  app.post(
    '/api/v1/environments',
    {
      config,
      schema: {
        operationId: 'createEnvironment',
        tags,
        summary: 'Make an environment',
        body: CreateEnvironmentSchema,
        response: { 201: EnvironmentSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const made = await createEnvironment(
        services,
        changeContextOf(request, request.body.reason),
        request.body,
      );
      return sendChanged(reply, made);
    },
  );

  app.get(
    '/api/v1/environments/:environment',
    {
      config,
      schema: {
        operationId: 'readEnvironment',
        tags,
        summary: 'Read one environment',
        params: Params,
        response: { 200: EnvironmentSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const body = await readEnvironment(services, credentialOf(request), request.params.environment);
      return sendWithEtag(request, reply, body.version, body);
    },
  );

  app.patch(
    '/api/v1/environments/:environment',
    {
      config,
      schema: {
        operationId: 'changeEnvironment',
        tags,
        summary: 'Rename or protect an environment',
        params: Params,
        headers: PreconditionHeadersSchema,
        body: ChangeEnvironmentSchema,
        response: { 200: EnvironmentSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const made = await changeEnvironment(
        services,
        credentialOf(request),
        changeContextOf(request, request.body.reason),
        request.params.environment,
        preconditionOf(request),
        request.body,
      );
      return sendChanged(reply, made);
    },
  );

  app.delete(
    '/api/v1/environments/:environment',
    {
      config,
      schema: {
        operationId: 'removeEnvironment',
        tags,
        summary: 'Remove an environment that holds nothing',
        params: Params,
        headers: PreconditionHeadersSchema,
        querystring: ReasonQuerySchema,
        response: { 204: Type.Null(), ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const context = changeContextOf(request, request.query.reason);
      const { environment } = request.params;
      return sendRemoved(
        reply,
        await removeEnvironment(
          services,
          credentialOf(request),
          context,
          environment,
          preconditionOf(request),
        ),
      );
    },
  );
}
