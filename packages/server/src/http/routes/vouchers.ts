import { PreconditionHeadersSchema } from '@pennon/protocol/management/common';
import { EnvironmentParamsSchema, ReasonBodySchema } from '@pennon/protocol/management/customers';
import {
  type ApiCodesCreated,
  CodesCreatedSchema,
  CodesCreateSchema,
  VoucherCodeListQuerySchema,
  VoucherCodePageSchema,
  VoucherCodeParamsSchema,
  VoucherCodeSchema,
  VoucherCreateSchema,
  VoucherListQuerySchema,
  VoucherPageSchema,
  VoucherParamsSchema,
  VoucherPatchSchema,
  VoucherRevokedSchema,
  VoucherSchema,
} from '@pennon/protocol/management/vouchers';
import type { FastifyReply, FastifyRequest } from 'fastify';
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
import { getCode, withdrawCode } from '../../service/vouchers/withdraw-code.js';
import type { App } from '../app.js';
import { changeContextOf, credentialOf } from '../authenticate.js';
import { toCsvLine } from '../csv.js';
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
        description:
          'With `Accept: text/csv` they come as a CSV file. A repeat by `Idempotency-Key` shows none, and is JSON.',
        params: VoucherParamsSchema,
        body: CodesCreateSchema,
        response: { 201: CodesCreatedSchema, ...PROBLEMS },
      },
      onSend: codesAsCsv,
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

  app.get(
    `${ONE}/codes/:code`,
    {
      config,
      schema: {
        operationId: 'readVoucherCode',
        tags,
        summary: 'Read one code by its id: its last characters, and how often it was redeemed',
        params: VoucherCodeParamsSchema,
        response: { 200: VoucherCodeSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      // As of a voucher: the count moves without the tag.
      const code = await getCode(services, credentialOf(request), request.params);
      return reply.header('etag', toEtag(code.version)).header('cache-control', 'no-store').send(code);
    },
  );

  app.post(
    `${ONE}/codes/:code/withdraw`,
    {
      config,
      schema: {
        operationId: 'withdrawVoucherCode',
        tags,
        summary: 'Let one code be redeemed no more; what was redeemed stays, and so do the other codes',
        params: VoucherCodeParamsSchema,
        headers: PreconditionHeadersSchema,
        body: ReasonBodySchema,
        response: { 200: VoucherCodeSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const context = changeContextOf(request, request.body.reason);
      const precondition = preconditionOf(request);
      const { params } = request;
      return sendChanged(
        reply,
        await withdrawCode(services, credentialOf(request), context, params, precondition),
      );
    },
  );
}

const CODE_COLUMNS = ['code', 'voucher', 'batch', 'redemptionsPerCode'] as const;

/**
 * The codes as a file, for whoever asked for one. What is remembered for a repeat is the JSON without the codes, so that a repeat, which
 * has none to show, is never taken for a file of none.
 */
async function codesAsCsv(request: FastifyRequest, reply: FastifyReply, payload: unknown): Promise<unknown> {
  const wantsCsv = (request.headers.accept ?? '').toLowerCase().includes('text/csv');
  if (!wantsCsv || reply.statusCode !== 201 || typeof payload !== 'string') return payload;
  const { batch, codes, redemptionsPerCode } = JSON.parse(payload) as ApiCodesCreated & {
    readonly codes: readonly string[] | null;
  };
  if (codes === null) return payload;
  void reply.type('text/csv; charset=utf-8');
  const { voucher } = request.params as { readonly voucher: string };
  const rest = [voucher, batch, redemptionsPerCode === null ? '' : String(redemptionsPerCode)];
  return [toCsvLine([...CODE_COLUMNS]), ...codes.map((code) => toCsvLine([code, ...rest]))].join('');
}
