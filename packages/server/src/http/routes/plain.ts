import {
  CapabilitiesQuerySchema,
  CapabilitiesSchema,
  FeatureFlagsQuerySchema,
  FeatureFlagsSchema,
} from '@pennon/protocol/management/plain';
import { PublicCatalogQuerySchema, PublicCatalogSchema } from '@pennon/protocol/management/public-catalog';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import { evaluationEtag, hasSameBody } from '../../service/evaluation-etag.js';
import type { EvaluationDependencies, EvaluationStamp } from '../../service/evaluation-request.js';
import { readCapabilities } from '../../service/plain/capabilities.js';
import { readFeatureFlags } from '../../service/plain/feature-flags.js';
import { readPublicCatalog } from '../../service/plain/public-catalog.js';
import type { App } from '../app.js';
import { credentialOf } from '../authenticate.js';
import { evaluationInputOf, writeStamp } from '../evaluation-headers.js';
import { PROBLEMS } from '../problem-responses.js';

/** A browser needs a customer token: a client key alone proves no customer. */
const ACCESS = ['server', 'customer-token'] as const;
/** Everybody who opens the page reads it, with a client key. */
const PUBLIC = ['client', 'customer-token', 'server', 'admin'] as const;
const TAGS = ['Plain'];
const EACH_TIME = 'private, no-cache';
/** A pricing page may be a minute behind a publish. */
const A_MINUTE = 'private, max-age=60';

/** GET …/customer/feature-flags and …/customer/capabilities: what a customer has, without a protocol to learn (F-2, C-2). */
export function registerPlainRoutes(app: App, services: EvaluationDependencies): void {
  app.get(
    '/api/v1/customer/feature-flags',
    {
      schema: {
        operationId: 'readFeatureFlags',
        tags: TAGS,
        summary: 'Every boolean feature and flag of a customer',
        description:
          'Each boolean feature and boolean flag of the product with its value, and who decided at the highest: a grant, a customer group, the default group of the plan, or the plan. A customer token sees what is marked `clientVisible`.',
        querystring: FeatureFlagsQuerySchema,
        response: { 200: FeatureFlagsSchema, 304: Type.Null(), ...PROBLEMS },
      },
      config: { access: ACCESS },
    },
    async (request, reply) => {
      request.evaluationKind = 'feature-flags';
      const headers = evaluationInputOf(request, {});
      const { body, stamp } = await readFeatureFlags(services, credentialOf(request), request.query, headers);
      return sendStamped(request, reply, body, stamp);
    },
  );

  app.get(
    '/api/v1/customer/capabilities',
    {
      schema: {
        operationId: 'readCapabilities',
        tags: TAGS,
        summary: 'What a customer can do, with limits and remedies',
        description:
          'The resolved capabilities of a customer: booleans and numbers as declared, and for every limit what is used, until when, and what would lift it. A customer token sees what is marked `clientVisible`.',
        querystring: CapabilitiesQuerySchema,
        response: { 200: CapabilitiesSchema, 304: Type.Null(), ...PROBLEMS },
      },
      config: { access: ACCESS },
    },
    async (request, reply) => {
      request.evaluationKind = 'capabilities';
      const headers = evaluationInputOf(request, {});
      const { body, stamp } = await readCapabilities(services, credentialOf(request), request.query, headers);
      return sendStamped(request, reply, body, stamp);
    },
  );

  app.get(
    '/api/v1/public/catalog',
    {
      schema: {
        operationId: 'readPublicCatalog',
        tags: TAGS,
        summary: 'Offered plans, features and add-ons for a pricing page',
        description:
          'The offered plans in the order of their rank, with every feature that is sold and marked `clientVisible`, the add-ons, and prices as numbers and as text. Prices are shown and never charged.',
        querystring: PublicCatalogQuerySchema,
        response: { 200: PublicCatalogSchema, 304: Type.Null(), ...PROBLEMS },
      },
      config: { access: PUBLIC },
    },
    async (request, reply) => {
      const headers = evaluationInputOf(request, {});
      const { body, stamp } = readPublicCatalog(services, credentialOf(request), request.query, headers);
      return sendStamped(request, reply, body, stamp, A_MINUTE);
    },
  );
}

/** Answers differ by caller and are asked for again and again: kept by the caller, and asked whether they still hold. */
function sendStamped(
  request: FastifyRequest,
  reply: FastifyReply,
  body: object,
  stamp: EvaluationStamp,
  cacheControl = EACH_TIME,
): FastifyReply {
  const etag = evaluationEtag(stamp, credentialOf(request), JSON.stringify(body));
  writeStamp(reply, stamp, cacheControl);
  void reply.header('etag', etag);
  const known = request.headers['if-none-match'];
  if (known !== undefined && hasSameBody(known, etag)) {
    void reply.removeHeader('content-type');
    return reply.code(304).send();
  }
  return reply.code(200).send(body);
}
