import swagger from '@fastify/swagger';
import { IdempotencyKeySchema } from '@pennon/protocol/management/common';
import type { FastifySchema } from 'fastify';
import { Type } from 'typebox';
import type { App } from './app.js';
import { registerDocumentationPages } from './documentation-pages.js';
import { addOpenApiExamples } from './openapi-examples.js';
import type { RouteRule } from './route-rule.js';
import { isStreamed } from './streamed-body.js';

const SECURITY_SCHEMES = {
  bearer: {
    type: 'http',
    scheme: 'bearer',
    description: 'A key (`pennon_admin_…`, `pennon_server_…`, `pennon_client_…`) or a customer token.',
  },
  apiKey: { type: 'apiKey', in: 'header', name: 'X-API-Key', description: 'The same keys.' },
  customerToken: {
    type: 'apiKey',
    in: 'header',
    name: 'Pennon-Customer-Token',
    description: 'A token that the backend of a customer signed, beside a client key.',
  },
} as const;

/** Collects the routes that are registered after it. Call before any of them. */
export async function collectOpenApi(app: App, version: string): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Pennon',
        version,
        description: 'Feature flags and entitlements: OFREP, OEP and the management API.',
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      components: { securitySchemes: SECURITY_SCHEMES },
    },
    transform: ({ schema, url, route }) => ({ schema: documented(schema ?? {}, route.config?.rule), url }),
  });
}

function documented(schema: FastifySchema, rule: RouteRule | undefined): FastifySchema {
  if (rule === undefined) {
    return { ...schema, hide: true };
  }
  const keyed = rule.changes && !isStreamed(rule.body);
  return { ...(keyed ? withIdempotencyKey(schema) : schema), ...securityOf(rule) };
}

/** Every mutating call of the management API may be made once, by whichever route it is answered; only streamed bodies cannot. */
function withIdempotencyKey(schema: FastifySchema): FastifySchema {
  const headers = schema.headers as { readonly properties?: object } | undefined;
  return {
    ...schema,
    headers: {
      type: 'object',
      ...headers,
      properties: { ...headers?.properties, 'idempotency-key': IdempotencyKeySchema },
    },
  };
}

/** Which credentials an operation takes, for readers and for the tests that try every other one. */
function securityOf(rule: RouteRule): FastifySchema & { readonly 'x-pennon-access': RouteRule['access'] } {
  if (rule.access === 'public') {
    return { security: [], 'x-pennon-access': 'public' };
  }
  const either = [{ bearer: [] }, { apiKey: [] }];
  const withToken = rule.access.includes('customer-token') ? [{ apiKey: [], customerToken: [] }] : [];
  return { security: [...either, ...withToken], 'x-pennon-access': rule.access };
}

/** `/openapi.json` and `/docs`, which needs nothing from outside. Call after every other route. */
export function registerOpenApiRoutes(app: App): void {
  let document: Exclude<ReturnType<App['swagger']>, string> | null = null;
  const described = () => {
    if (document === null) {
      document = app.swagger();
      addOpenApiExamples(document);
    }
    return document;
  };
  app.get(
    '/openapi.json',
    {
      config: { access: 'public' },
      schema: {
        operationId: 'readOpenApi',
        tags: ['Operations'],
        summary: 'This description',
        response: { 200: Type.Unknown({ description: 'OpenAPI 3.1.' }) },
      },
    },
    (_request, reply) => {
      return reply.header('cache-control', 'no-cache').send(described());
    },
  );
  registerDocumentationPages(app, described);
}
