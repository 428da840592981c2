import {
  CatalogItemSchema,
  ItemPageQuerySchema,
  ItemPageSchema,
  ItemParamsSchema,
  ItemWriteQuerySchema,
  ProductParamsSchema,
  PublishResultSchema,
} from '@pennon/protocol/management/catalog';
import { PreconditionHeadersSchema } from '@pennon/protocol/management/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { type Static, Type } from 'typebox';
import type { Answer } from '../../service/answer.js';
import { listItems, readItem } from '../../service/catalog/read-catalog.js';
import {
  changeCatalogItem,
  type ItemChangeInput,
  type ItemChangeResult,
} from '../../service/change-catalog-item.js';
import { CONSISTENCY_HEADER } from '../../service/consistency.js';
import { toEtag } from '../../service/precondition.js';
import type { ResourceKind } from '../../service/publish-plan.js';
import { ServiceError } from '../../service/service-error.js';
import type { App, DocumentBody } from '../app.js';
import { changeContextOf, credentialOf } from '../authenticate.js';
import { type CatalogServices, documentValidator, toPublishBody } from '../catalog-bodies.js';
import { sendAnswer } from '../change-answer.js';
import { preconditionOf, sendWithEtag } from '../etags.js';
import { PROBLEMS } from '../problem-responses.js';

interface Collection {
  readonly kind: ResourceKind;
  readonly name: string;
  /** For operation ids and summaries. */
  readonly One: string;
  readonly Many: string;
  readonly words: string;
}

const COLLECTIONS: readonly Collection[] = [
  { kind: 'feature', name: 'features', One: 'Feature', Many: 'Features', words: 'feature' },
  { kind: 'flag', name: 'flags', One: 'Flag', Many: 'Flags', words: 'flag' },
  { kind: 'plan', name: 'plans', One: 'Plan', Many: 'Plans', words: 'plan version' },
  { kind: 'addon', name: 'addons', One: 'Addon', Many: 'Addons', words: 'add-on version' },
  { kind: 'group', name: 'groups', One: 'Group', Many: 'Groups', words: 'group' },
  { kind: 'segment', name: 'segments', One: 'Segment', Many: 'Segments', words: 'segment' },
];

const config = { access: ['admin'] } as const;
const documentConfig = { access: ['admin'], body: 'document' } as const;
const body = { content: { 'application/json': { schema: CatalogItemSchema } } };
/** With `dryRun` what would happen, else the item as it is now. */
const written = Type.Union([CatalogItemSchema, PublishResultSchema]);

type Query = Static<typeof ItemWriteQuerySchema>;

/** REST resources of single items (F-5): bodies and answers have the very shape of the catalog document. */
export function registerCatalogItemRoutes(app: App, services: CatalogServices): void {
  for (const collection of COLLECTIONS) {
    registerReads(app, services, collection);
    registerCreate(app, services, collection);
    registerChanges(app, services, collection);
  }
}

function registerReads(app: App, services: CatalogServices, collection: Collection): void {
  const { kind, name, One, Many, words } = collection;
  const tags = [Many];
  app.get(
    `/api/v1/products/:product/${name}`,
    {
      config,
      schema: {
        operationId: `list${Many}`,
        tags,
        summary: `List every ${words}, in catalog order`,
        params: ProductParamsSchema,
        querystring: ItemPageQuerySchema,
        response: { 200: ItemPageSchema, ...PROBLEMS },
      },
    },
    (request) => listItems(services, credentialOf(request), request.params.product, kind, request.query),
  );
  app.get(
    `/api/v1/products/:product/${name}/:key`,
    {
      config,
      schema: {
        operationId: `read${One}`,
        tags,
        summary: `Read one ${words}`,
        params: ItemParamsSchema,
        response: { 200: CatalogItemSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const { product, key } = request.params;
      const item = await readItem(services, credentialOf(request), product, kind, key);
      return sendWithEtag(request, reply, item.hash, item.document);
    },
  );
}

function registerCreate(app: App, services: CatalogServices, collection: Collection): void {
  const { name, One, Many, words } = collection;
  app.post(
    `/api/v1/products/:product/${name}`,
    {
      config: documentConfig,
      validatorCompiler: documentValidator,
      schema: {
        operationId: `create${One}`,
        tags: [Many],
        summary: `Make a new ${words}`,
        params: ProductParamsSchema,
        querystring: ItemWriteQuerySchema,
        body,
        response: { 200: written, 201: CatalogItemSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const { product } = request.params;
      const input = { product, key: null, method: 'create', precondition: { kind: 'absent' } } as const;
      return change(services, request, reply, request.query, collection, input);
    },
  );
}

function registerChanges(app: App, services: CatalogServices, collection: Collection): void {
  const { name, One, Many, words } = collection;
  const url = `/api/v1/products/:product/${name}/:key`;
  const schema = {
    tags: [Many],
    params: ItemParamsSchema,
    headers: PreconditionHeadersSchema,
    querystring: ItemWriteQuerySchema,
  };
  const writing = { config: documentConfig, validatorCompiler: documentValidator } as const;

  app.put(
    url,
    {
      ...writing,
      schema: {
        ...schema,
        operationId: `put${One}`,
        summary: `Make or replace a ${words}`,
        body,
        response: { 200: written, 201: CatalogItemSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const input = {
        ...request.params,
        method: 'replace',
        precondition: preconditionOf(request),
      } as const;
      return change(services, request, reply, request.query, collection, input);
    },
  );
  app.patch(
    url,
    {
      ...writing,
      schema: {
        ...schema,
        operationId: `patch${One}`,
        summary: `Change members of a ${words} (JSON merge patch)`,
        body,
        response: { 200: written, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const input = {
        ...request.params,
        method: 'patch',
        precondition: preconditionOf(request),
      } as const;
      return change(services, request, reply, request.query, collection, input);
    },
  );
  app.delete(
    url,
    {
      config,
      schema: {
        ...schema,
        operationId: `remove${One}`,
        summary: `Remove a ${words} that nothing names any more`,
        response: { 200: PublishResultSchema, 204: Type.Null(), ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const input = {
        ...request.params,
        method: 'delete',
        precondition: preconditionOf(request),
      } as const;
      return change(services, request, reply, request.query, collection, input);
    },
  );
}

async function change(
  services: CatalogServices,
  request: FastifyRequest,
  reply: FastifyReply,
  query: Query,
  { kind, name }: Collection,
  input: Pick<ItemChangeInput, 'product' | 'key' | 'method' | 'precondition'>,
): Promise<FastifyReply> {
  const file = input.method === 'delete' ? { name: kind, text: '' } : itemText(request, kind);
  const list = `/api/v1/products/${input.product}/${name}`;
  const answerOf = (result: ItemChangeResult): Answer => answerOfItem(result, list);
  const context = changeContextOf(request, query.reason);
  const result = await changeCatalogItem(services, credentialOf(request), context, {
    ...input,
    kind,
    file,
    answerOf,
    ...(query.dryRun === undefined ? {} : { dryRun: query.dryRun }),
    ...(query.environments === undefined ? {} : { environments: query.environments }),
  });
  return sendAnswer(reply, answerOf(result));
}

function itemText(request: FastifyRequest, kind: ResourceKind) {
  const sent = request.body as DocumentBody | undefined | null;
  if (sent === undefined || sent === null) {
    throw new ServiceError('invalid', 'BODY_MISSING', `This call needs the ${kind} as its JSON body.`);
  }
  if (sent.mediaType !== 'application/json') {
    throw new ServiceError(
      'invalid',
      'JSON_REQUIRED',
      'Single items are sent as `application/json`; whole documents may be YAML.',
    );
  }
  return { name: kind, text: sent.text };
}

function answerOfItem({ publish, item, created }: ItemChangeResult, list: string): Answer {
  const headers = {
    [CONSISTENCY_HEADER]: publish.consistency,
    'pennon-revision': String(publish.revision),
  };
  if (publish.dryRun) return { status: 200, headers, body: toPublishBody(publish) };
  if (item === null) return { status: 204, headers, body: null };
  const { key, hash, document } = item;
  return {
    status: created ? 201 : 200,
    headers: { ...headers, etag: toEtag(hash), ...(created ? { location: `${list}/${key}` } : {}) },
    body: document,
  };
}
