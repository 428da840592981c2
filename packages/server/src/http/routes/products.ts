import {
  KeySchema,
  PageQuerySchema,
  PreconditionHeadersSchema,
  ReasonQuerySchema,
} from '@pennon/protocol/management/common';
import {
  ChangeProductSchema,
  CreateProductSchema,
  ProductPageSchema,
  ProductSchema,
} from '@pennon/protocol/management/products';
import { Type } from 'typebox';
import type { ManagementDependencies } from '../../service/change.js';
import { changeProduct, removeProduct } from '../../service/products/change-product.js';
import { createProduct } from '../../service/products/create-product.js';
import { listProducts, readProduct } from '../../service/products/read-products.js';
import type { App } from '../app.js';
import { changeContextOf, credentialOf } from '../authenticate.js';
import { preconditionOf, sendWithEtag } from '../etags.js';
import { PROBLEMS } from '../problem-responses.js';
import { sendChanged, sendRemoved } from '../send-changed.js';

const Params = Type.Object({ product: KeySchema });
const config = { access: ['admin'] } as const;
const tags = ['Products'];

export function registerProductRoutes(app: App, services: ManagementDependencies): void {
  app.get(
    '/api/v1/products',
    {
      config,
      schema: {
        operationId: 'listProducts',
        tags,
        summary: 'List the products that the key reaches',
        querystring: PageQuerySchema,
        response: { 200: ProductPageSchema, ...PROBLEMS },
      },
    },
    (request) => listProducts(services, credentialOf(request), request.query),
  );

  app.post(
    '/api/v1/products',
    {
      config,
      schema: {
        operationId: 'createProduct',
        tags,
        summary: 'Make a product with an empty catalog',
        body: CreateProductSchema,
        response: { 201: ProductSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const made = await createProduct(services, changeContextOf(request, request.body.reason), request.body);
      return sendChanged(reply, made);
    },
  );

  app.get(
    '/api/v1/products/:product',
    {
      config,
      schema: {
        operationId: 'readProduct',
        tags,
        summary: 'Read one product',
        params: Params,
        response: { 200: ProductSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const body = await readProduct(services, credentialOf(request), request.params.product);
      return sendWithEtag(request, reply, body.version, body);
    },
  );

  app.patch(
    '/api/v1/products/:product',
    {
      config,
      schema: {
        operationId: 'changeProduct',
        tags,
        summary: 'Rename a product',
        params: Params,
        headers: PreconditionHeadersSchema,
        body: ChangeProductSchema,
        response: { 200: ProductSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const made = await changeProduct(
        services,
        credentialOf(request),
        changeContextOf(request, request.body.reason),
        request.params.product,
        preconditionOf(request),
        request.body,
      );
      return sendChanged(reply, made);
    },
  );

  app.delete(
    '/api/v1/products/:product',
    {
      config,
      schema: {
        operationId: 'removeProduct',
        tags,
        summary: 'Remove a product that was never published',
        params: Params,
        headers: PreconditionHeadersSchema,
        querystring: ReasonQuerySchema,
        response: { 204: Type.Null(), ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const context = changeContextOf(request, request.query.reason);
      const { product } = request.params;
      return sendRemoved(
        reply,
        await removeProduct(services, credentialOf(request), context, product, preconditionOf(request)),
      );
    },
  );
}
