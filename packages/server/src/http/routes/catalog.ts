import {
  CatalogDocumentSchema,
  DocumentCheckQuerySchema,
  DocumentReadQuerySchema,
  DocumentWriteQuerySchema,
  EnvironmentParamsSchema,
  EnvironmentRevisionSchema,
  MoveEnvironmentSchema,
  ProductParamsSchema,
  PublishResultSchema,
  RevisionPageSchema,
  ValidationResultSchema,
} from '@pennon/protocol/management/catalog';
import { PageQuerySchema, PreconditionHeadersSchema } from '@pennon/protocol/management/common';
import type { FastifyRequest } from 'fastify';
import type { Answer } from '../../service/answer.js';
import { type MovedEnvironment, moveEnvironment } from '../../service/catalog/move-environment.js';
import {
  listCatalogRevisions,
  readCatalog,
  readEnvironmentStanding,
  toJson,
  toYaml,
} from '../../service/catalog/read-catalog.js';
import { CONSISTENCY_HEADER } from '../../service/consistency.js';
import { toEtag } from '../../service/precondition.js';
import type { PublishResult } from '../../service/publish.js';
import { diffCatalog, publishCatalog, validateCatalog } from '../../service/publish-catalog.js';
import type { App } from '../app.js';
import { changeContextOf, credentialOf } from '../authenticate.js';
import { type CatalogServices, documentOf, documentValidator, toPublishBody } from '../catalog-bodies.js';
import { sendAnswer } from '../change-answer.js';
import { preconditionOf, sendWithEtag } from '../etags.js';
import { PROBLEMS } from '../problem-responses.js';

const config = { access: ['admin'] } as const;
const documentConfig = { access: ['admin'], body: 'document' } as const;
const checkConfig = { access: ['admin'], body: 'document', changes: false } as const;
const tags = ['Catalog'];
const path = '/api/v1/products/:product/catalog';
const body = {
  content: {
    'application/yaml': { schema: CatalogDocumentSchema },
    'application/json': { schema: CatalogDocumentSchema },
  },
};

export function registerCatalogRoutes(app: App, services: CatalogServices): void {
  app.get(
    path,
    {
      config,
      schema: {
        operationId: 'readCatalog',
        tags,
        summary: 'Read the whole catalog as JSON or YAML',
        params: ProductParamsSchema,
        querystring: DocumentReadQuerySchema,
        response: { 200: CatalogDocumentSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const { product } = request.params;
      const document = await readCatalog(services, credentialOf(request), product, request.query.revision);
      void reply.header('pennon-revision', String(document.revision)).header('vary', 'accept');
      if (wantsYaml(request, request.query.format)) {
        void reply.type('application/yaml; charset=utf-8');
        return sendWithEtag(request, reply, `${document.revision}-yaml`, toYaml(document));
      }
      return sendWithEtag(request, reply, document.revision, toJson(document));
    },
  );

  app.put(
    path,
    {
      config: documentConfig,
      validatorCompiler: documentValidator,
      schema: {
        operationId: 'publishCatalog',
        tags,
        summary: 'Publish a whole document, merged item by item',
        params: ProductParamsSchema,
        querystring: DocumentWriteQuerySchema,
        body,
        response: { 200: PublishResultSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const result = await publishCatalog(
        services,
        credentialOf(request),
        changeContextOf(request, request.query.reason),
        {
          product: request.params.product,
          document: documentOf(request),
          ...request.query,
          answerOf: answerOfPublish,
        },
      );
      return sendAnswer(reply, answerOfPublish(result));
    },
  );

  app.post(
    `${path}/validate`,
    {
      config: checkConfig,
      validatorCompiler: documentValidator,
      schema: {
        operationId: 'validateCatalog',
        tags,
        summary: 'Say every fault of a document, each with its place',
        params: ProductParamsSchema,
        querystring: DocumentCheckQuerySchema,
        body,
        response: { 200: ValidationResultSchema, ...PROBLEMS },
      },
    },
    (request) =>
      validateCatalog(services, credentialOf(request), {
        product: request.params.product,
        document: documentOf(request),
        ...request.query,
      }),
  );

  app.post(
    `${path}/diff`,
    {
      config: checkConfig,
      validatorCompiler: documentValidator,
      schema: {
        operationId: 'diffCatalog',
        tags,
        summary: 'Say what publishing a document would change',
        params: ProductParamsSchema,
        querystring: DocumentCheckQuerySchema,
        body,
        response: { 200: PublishResultSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const { product } = request.params;
      const input = { product, document: documentOf(request), ...request.query };
      const result = await diffCatalog(
        services,
        credentialOf(request),
        changeContextOf(request, 'diff'),
        input,
      );
      return sendAnswer(reply, answerOfPublish(result));
    },
  );

  registerRevisionRoutes(app, services);
}

function registerRevisionRoutes(app: App, services: CatalogServices): void {
  app.get(
    '/api/v1/products/:product/revisions',
    {
      config,
      schema: {
        operationId: 'listRevisions',
        tags,
        summary: 'List the revisions of the catalog, the newest first',
        params: ProductParamsSchema,
        querystring: PageQuerySchema,
        response: { 200: RevisionPageSchema, ...PROBLEMS },
      },
    },
    (request) => listCatalogRevisions(services, credentialOf(request), request.params.product, request.query),
  );

  app.get(
    '/api/v1/products/:product/environments/:environment',
    {
      config,
      schema: {
        operationId: 'readEnvironmentRevision',
        tags,
        summary: 'Read at which revision an environment stands',
        params: EnvironmentParamsSchema,
        response: { 200: EnvironmentRevisionSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const { product, environment } = request.params;
      const standing = await readEnvironmentStanding(services, credentialOf(request), product, environment);
      return sendWithEtag(request, reply, standing.revision, standing);
    },
  );

  app.put(
    '/api/v1/products/:product/environments/:environment',
    {
      config,
      schema: {
        operationId: 'moveEnvironment',
        tags,
        summary: 'Move an environment forward to a published revision',
        params: EnvironmentParamsSchema,
        headers: PreconditionHeadersSchema,
        body: MoveEnvironmentSchema,
        response: { 200: EnvironmentRevisionSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const moved = await moveEnvironment(
        services,
        credentialOf(request),
        changeContextOf(request, request.body.reason),
        {
          ...request.params,
          revision: request.body.revision,
          precondition: preconditionOf(request),
          answerOf: answerOfMove,
        },
      );
      return sendAnswer(reply, answerOfMove(moved));
    },
  );
}

function wantsYaml(request: FastifyRequest, format: 'json' | 'yaml' | undefined): boolean {
  if (format !== undefined) return format === 'yaml';
  const accept = request.headers.accept ?? '';
  return /\b(?:application\/(?:x-)?yaml|text\/yaml)\b/i.test(accept);
}

function answerOfPublish(result: PublishResult): Answer {
  return {
    status: 200,
    headers: { [CONSISTENCY_HEADER]: result.consistency, 'pennon-revision': String(result.revision) },
    body: toPublishBody(result),
  };
}

function answerOfMove({ standing, consistency }: MovedEnvironment): Answer {
  return {
    status: 200,
    headers: { [CONSISTENCY_HEADER]: consistency, etag: toEtag(standing.revision) },
    body: standing,
  };
}
