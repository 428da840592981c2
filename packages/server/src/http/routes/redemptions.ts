import { PreconditionHeadersSchema } from '@pennon/protocol/management/common';
import { EnvironmentParamsSchema, ReasonBodySchema } from '@pennon/protocol/management/customers';
import {
  CustomerRedeemSchema,
  RedeemSchema,
  RedemptionCheckSchema,
  RedemptionListQuerySchema,
  RedemptionPageSchema,
  RedemptionParamsSchema,
  RedemptionSchema,
} from '@pennon/protocol/management/vouchers';
import type { FastifyRequest } from 'fastify';
import type { GrantServices } from '../../service/contracts/make-grants.js';
import type { CustomerTokenCredential } from '../../service/credential.js';
import { getRedemption, listRedemptions } from '../../service/vouchers/list-redemptions.js';
import {
  checkVoucher,
  partiesOf,
  partiesOfToken,
  redeemVoucher,
} from '../../service/vouchers/redeem-voucher.js';
import { revokeRedemption } from '../../service/vouchers/revoke-redemption.js';
import type { App } from '../app.js';
import { changeContextOf, credentialOf } from '../authenticate.js';
import { preconditionOf, sendWithEtag } from '../etags.js';
import { PROBLEMS } from '../problem-responses.js';
import { sendChanged } from '../send-changed.js';

const config = { access: ['admin'] } as const;
/** A backend redeems for whom it names. */
const backend = { access: ['admin', 'server'] } as const;
/** A browser redeems for whom its token names. The token's reach is the service's to check: the path names nothing. */
const browser = { access: ['customer-token'], reachCheckedByService: true } as const;
const tags = ['Vouchers'];
const ENVIRONMENT = '/api/v1/environments/:environment';
const CUSTOMER = '/api/v1/customer/vouchers';
const REASON = 'A voucher was redeemed.';

export function registerRedemptionRoutes(app: App, services: GrantServices): void {
  registerRedeeming(app, services);
  registerRedeemingByToken(app, services);

  app.get(
    `${ENVIRONMENT}/redemptions`,
    {
      config,
      schema: {
        operationId: 'listRedemptions',
        tags,
        summary: 'List redemptions of a voucher, of a customer, or all, the latest first',
        params: EnvironmentParamsSchema,
        querystring: RedemptionListQuerySchema,
        response: { 200: RedemptionPageSchema, ...PROBLEMS },
      },
    },
    (request) => listRedemptions(services, credentialOf(request), request.params, request.query),
  );

  app.get(
    `${ENVIRONMENT}/redemptions/:redemption`,
    {
      config,
      schema: {
        operationId: 'readRedemption',
        tags,
        summary: 'Read one redemption, with the grants that it made',
        params: RedemptionParamsSchema,
        response: { 200: RedemptionSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const redemption = await getRedemption(services, credentialOf(request), request.params);
      return sendWithEtag(request, reply, redemption.version, redemption);
    },
  );

  app.post(
    `${ENVIRONMENT}/redemptions/:redemption/revoke`,
    {
      config,
      schema: {
        operationId: 'revokeRedemption',
        tags,
        summary: 'Take back what a redemption gave and was not used',
        params: RedemptionParamsSchema,
        headers: PreconditionHeadersSchema,
        body: ReasonBodySchema,
        response: { 200: RedemptionSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const context = changeContextOf(request, request.body.reason);
      const precondition = preconditionOf(request);
      const { params } = request;
      return sendChanged(
        reply,
        await revokeRedemption(services, credentialOf(request), context, params, precondition),
      );
    },
  );
}

function registerRedeeming(app: App, services: GrantServices): void {
  app.post(
    `${ENVIRONMENT}/vouchers/redeem`,
    {
      config: backend,
      schema: {
        operationId: 'redeemVoucher',
        tags,
        summary: 'Redeem a code for a customer',
        params: EnvironmentParamsSchema,
        body: RedeemSchema,
        response: { 201: RedemptionSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const { params, body } = request;
      const context = changeContextOf(request, body.reason ?? REASON);
      const call = { ...callOf(request), environment: params.environment };
      return sendChanged(
        reply,
        await redeemVoucher(services, credentialOf(request), context, call, body, partiesOf(body)),
      );
    },
  );

  app.post(
    `${ENVIRONMENT}/vouchers/check`,
    {
      config: { ...backend, changes: false },
      schema: {
        operationId: 'checkVoucher',
        tags,
        summary: 'Ask whether a code would be redeemed for a customer, and what it would give',
        params: EnvironmentParamsSchema,
        body: RedeemSchema,
        response: { 200: RedemptionCheckSchema, ...PROBLEMS },
      },
    },
    (request) => {
      const { params, body } = request;
      const context = changeContextOf(request, body.reason ?? REASON);
      const call = { ...callOf(request), environment: params.environment };
      return checkVoucher(services, credentialOf(request), context, call, body, partiesOf(body));
    },
  );
}

function registerRedeemingByToken(app: App, services: GrantServices): void {
  app.post(
    `${CUSTOMER}/redeem`,
    {
      config: browser,
      schema: {
        operationId: 'redeemOwnVoucher',
        tags,
        summary: 'Redeem a code for the customer and user of the token',
        body: CustomerRedeemSchema,
        response: { 201: RedemptionSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const token = tokenOf(request);
      const call = { ...callOf(request), environment: token.environmentId };
      const context = changeContextOf(request, REASON);
      return sendChanged(
        reply,
        await redeemVoucher(services, token, context, call, request.body, partiesOfToken(token)),
      );
    },
  );

  app.post(
    `${CUSTOMER}/check`,
    {
      config: { ...browser, changes: false },
      schema: {
        operationId: 'checkOwnVoucher',
        tags,
        summary: 'Ask whether a code would be redeemed for the customer and user of the token',
        body: CustomerRedeemSchema,
        response: { 200: RedemptionCheckSchema, ...PROBLEMS },
      },
    },
    (request) => {
      const token = tokenOf(request);
      const call = { ...callOf(request), environment: token.environmentId };
      const context = changeContextOf(request, REASON);
      return checkVoucher(services, token, context, call, request.body, partiesOfToken(token));
    },
  );
}

function callOf(request: FastifyRequest): { idempotencyKey: string | undefined; remoteAddress: string } {
  const header = request.headers['idempotency-key'];
  return { idempotencyKey: typeof header === 'string' ? header : undefined, remoteAddress: request.ip };
}

function tokenOf(request: FastifyRequest): CustomerTokenCredential {
  const credential = credentialOf(request);
  if (credential.kind !== 'customer-token') throw new TypeError('The route takes customer tokens only.');
  return credential;
}
