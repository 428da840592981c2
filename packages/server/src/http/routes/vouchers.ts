import { PreconditionHeadersSchema } from '@pennon/protocol/management/common';
import { EnvironmentParamsSchema, ReasonBodySchema } from '@pennon/protocol/management/customers';
import {
  CodesCreatedSchema,
  CodesCreateSchema,
  VoucherCodeListQuerySchema,
  VoucherCodePageSchema,
  VoucherCreateSchema,
  VoucherListQuerySchema,
  VoucherPageSchema,
  VoucherParamsSchema,
  VoucherPatchSchema,
  VoucherRevokedSchema,
  VoucherSchema,
} from '@pennon/protocol/management/vouchers';
import type { GrantServices } from '../../service/contracts/make-grants.js';
import { toEtag } from '../../service/precondition.js';
import { listVouchers } from '../../service/vouchers/list-vouchers.js';
import {
  activateVoucher,
  archiveVoucher,
  changeVoucher,
  createVoucher,
  getVoucher,
} from '../../service/vouchers/manage-vouchers.js';
import { revokeVoucher } from '../../service/vouchers/revoke-redemption.js';
import { createCodes, listCodes } from '../../service/vouchers/voucher-codes.js';
import type { App } from '../app.js';
import { changeContextOf, credentialOf } from '../authenticate.js';
import { preconditionOf } from '../etags.js';
import { PROBLEMS } from '../problem-responses.js';
import { sendChanged } from '../send-changed.js';

const config = { access: ['admin'] } as const;
const tags = ['Vouchers'];
const LIST = '/api/v1/environments/:environment/vouchers';
const ONE = `${LIST}/:voucher`;

export function registerVoucherRoutes(app: App, services: GrantServices): void {
  app.get(
    LIST,
    {
      config,
      schema: {
        operationId: 'listVouchers',
        tags,
        summary: 'List vouchers, the latest first',
        params: EnvironmentParamsSchema,
        querystring: VoucherListQuerySchema,
        response: { 200: VoucherPageSchema, ...PROBLEMS },
      },
    },
    (request) => listVouchers(services, credentialOf(request), request.params, request.query),
  );

  app.post(
    LIST,
    {
      config,
      schema: {
        operationId: 'createVoucher',
        tags,
        summary: 'Make a voucher: what its codes give, to whom, how often and how long',
        params: EnvironmentParamsSchema,
        body: VoucherCreateSchema,
        response: { 201: VoucherSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const context = changeContextOf(request, request.body.reason);
      const { params, body } = request;
      return sendChanged(reply, await createVoucher(services, credentialOf(request), context, params, body));
    },
  );

  app.get(
    ONE,
    {
      config,
      schema: {
        operationId: 'readVoucher',
        tags,
        summary: 'Read one voucher, with how often it was redeemed',
        params: VoucherParamsSchema,
        response: { 200: VoucherSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      // The tag is that of the terms; the count moves without it, so that the answer is never taken from a cache.
      const voucher = await getVoucher(services, credentialOf(request), request.params);
      return reply.header('etag', toEtag(voucher.version)).header('cache-control', 'no-store').send(voucher);
    },
  );

  app.patch(
    ONE,
    {
      config,
      schema: {
        operationId: 'changeVoucher',
        tags,
        summary: 'Change a voucher: a draft in everything, an active one in what nobody was promised',
        params: VoucherParamsSchema,
        headers: PreconditionHeadersSchema,
        body: VoucherPatchSchema,
        response: { 200: VoucherSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const context = changeContextOf(request, request.body.reason);
      const { params, body } = request;
      const precondition = preconditionOf(request);
      return sendChanged(
        reply,
        await changeVoucher(services, credentialOf(request), context, params, body, precondition),
      );
    },
  );

  registerVoucherStates(app, services);
  registerVoucherCodes(app, services);
}

function registerVoucherStates(app: App, services: GrantServices): void {
  app.post(
    `${ONE}/activate`,
    {
      config,
      schema: {
        operationId: 'activateVoucher',
        tags,
        summary: 'Let the codes of a draft be redeemed',
        params: VoucherParamsSchema,
        headers: PreconditionHeadersSchema,
        body: ReasonBodySchema,
        response: { 200: VoucherSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const context = changeContextOf(request, request.body.reason);
      const precondition = preconditionOf(request);
      return sendChanged(
        reply,
        await activateVoucher(services, credentialOf(request), context, request.params, precondition),
      );
    },
  );

  app.post(
    `${ONE}/archive`,
    {
      config,
      schema: {
        operationId: 'archiveVoucher',
        tags,
        summary: 'Let no code of it be redeemed any more; what was redeemed stays',
        params: VoucherParamsSchema,
        headers: PreconditionHeadersSchema,
        body: ReasonBodySchema,
        response: { 200: VoucherSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const context = changeContextOf(request, request.body.reason);
      const precondition = preconditionOf(request);
      return sendChanged(
        reply,
        await archiveVoucher(services, credentialOf(request), context, request.params, precondition),
      );
    },
  );

  app.post(
    `${ONE}/revoke`,
    {
      config,
      schema: {
        operationId: 'revokeVoucher',
        tags,
        summary: 'Archive a voucher and take back what its redemptions gave and was not used',
        params: VoucherParamsSchema,
        headers: PreconditionHeadersSchema,
        body: ReasonBodySchema,
        response: { 200: VoucherRevokedSchema, ...PROBLEMS },
      },
    },
    (request) => {
      const context = changeContextOf(request, request.body.reason);
      const precondition = preconditionOf(request);
      return revokeVoucher(services, credentialOf(request), context, request.params, precondition);
    },
  );
}

function registerVoucherCodes(app: App, services: GrantServices): void {
  app.post(
    `${ONE}/codes`,
    {
      config: { ...config, shownOnce: ['codes'] },
      schema: {
        operationId: 'createVoucherCodes',
        tags,
        summary: 'Make codes of a voucher; they are shown this once',
        params: VoucherParamsSchema,
        body: CodesCreateSchema,
        response: { 201: CodesCreatedSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const context = changeContextOf(request, request.body.reason);
      const { params, body } = request;
      return sendChanged(reply, await createCodes(services, credentialOf(request), context, params, body));
    },
  );

  app.get(
    `${ONE}/codes`,
    {
      config,
      schema: {
        operationId: 'listVoucherCodes',
        tags,
        summary: 'List the codes of a voucher by their hints',
        params: VoucherParamsSchema,
        querystring: VoucherCodeListQuerySchema,
        response: { 200: VoucherCodePageSchema, ...PROBLEMS },
      },
    },
    (request) => listCodes(services, credentialOf(request), request.params, request.query),
  );
}
