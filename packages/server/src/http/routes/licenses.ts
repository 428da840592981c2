import {
  PageQuerySchema,
  PreconditionHeadersSchema,
  ReasonQuerySchema,
} from '@pennon/protocol/management/common';
import { CustomerParamsSchema, ReasonBodySchema } from '@pennon/protocol/management/customers';
import {
  LicenseCancelSchema,
  LicenseCreateSchema,
  LicensePageSchema,
  LicenseParamsSchema,
  LicensePatchSchema,
  LicenseSchema,
  PlanChangeBodySchema,
} from '@pennon/protocol/management/licenses';
import { cancelLicense, restoreLicense } from '../../service/contracts/cancel-license.js';
import { changeLicensePlan, undoPlanChange } from '../../service/contracts/change-plan.js';
import type { ContractServices } from '../../service/contracts/data-change.js';
import { createLicense, getLicense, listLicenses, patchLicense } from '../../service/contracts/licenses.js';
import type { App } from '../app.js';
import { changeContextOf, credentialOf } from '../authenticate.js';
import { preconditionOf, sendWithEtag } from '../etags.js';
import { PROBLEMS } from '../problem-responses.js';
import { sendChanged } from '../send-changed.js';

const config = { access: ['admin'] } as const;
const tags = ['Licenses'];
const LIST = '/api/v1/environments/:environment/customers/:customer/licenses';
const ONE = `${LIST}/:license`;

export function registerLicenseRoutes(app: App, services: ContractServices): void {
  app.get(
    LIST,
    {
      config,
      schema: {
        operationId: 'listLicenses',
        tags,
        summary: 'List the licenses of a customer, the oldest first',
        params: CustomerParamsSchema,
        querystring: PageQuerySchema,
        response: { 200: LicensePageSchema, ...PROBLEMS },
      },
    },
    (request) => listLicenses(services, credentialOf(request), request.params, request.query),
  );

  app.post(
    LIST,
    {
      config,
      schema: {
        operationId: 'createLicense',
        tags,
        summary: 'Give a customer a plan version of a product',
        params: CustomerParamsSchema,
        body: LicenseCreateSchema,
        response: { 201: LicenseSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const context = changeContextOf(request, request.body.reason);
      const { params, body } = request;
      return sendChanged(reply, await createLicense(services, credentialOf(request), context, params, body));
    },
  );

  app.get(
    ONE,
    {
      config,
      schema: {
        operationId: 'readLicense',
        tags,
        summary: 'Read one license',
        params: LicenseParamsSchema,
        response: { 200: LicenseSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const license = await getLicense(services, credentialOf(request), request.params);
      return sendWithEtag(request, reply, license.version, license);
    },
  );

  app.patch(
    ONE,
    {
      config,
      schema: {
        operationId: 'changeLicense',
        tags,
        summary: 'Upgrade, downgrade, end or otherwise change a license',
        params: LicenseParamsSchema,
        headers: PreconditionHeadersSchema,
        body: LicensePatchSchema,
        response: { 200: LicenseSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const context = changeContextOf(request, request.body.reason);
      const { params, body } = request;
      const precondition = preconditionOf(request);
      return sendChanged(
        reply,
        await patchLicense(services, credentialOf(request), context, params, body, precondition),
      );
    },
  );

  registerLicenseActions(app, services);
}

/** Cancel and its way back; a change of plan, now or planned, and its way back. */
function registerLicenseActions(app: App, services: ContractServices): void {
  app.post(
    `${ONE}/cancel`,
    {
      config,
      schema: {
        operationId: 'cancelLicense',
        tags,
        summary: 'End a license, at once or at the end of the period that is paid for',
        params: LicenseParamsSchema,
        headers: PreconditionHeadersSchema,
        body: LicenseCancelSchema,
        response: { 200: LicenseSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const context = changeContextOf(request, request.body.reason);
      const { params, body } = request;
      const precondition = preconditionOf(request);
      const credential = credentialOf(request);
      return sendChanged(
        reply,
        await cancelLicense(services, credential, context, params, body, precondition),
      );
    },
  );

  app.post(
    `${ONE}/restore`,
    {
      config,
      schema: {
        operationId: 'restoreLicense',
        tags,
        summary: 'Take a cancellation back before it comes to its end',
        params: LicenseParamsSchema,
        headers: PreconditionHeadersSchema,
        body: ReasonBodySchema,
        response: { 200: LicenseSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const context = changeContextOf(request, request.body.reason);
      const precondition = preconditionOf(request);
      const credential = credentialOf(request);
      return sendChanged(
        reply,
        await restoreLicense(services, credential, context, request.params, precondition),
      );
    },
  );

  app.post(
    `${ONE}/plan-change`,
    {
      config,
      schema: {
        operationId: 'changeLicensePlan',
        tags,
        summary: 'Change the plan of a license, at once, at the end of its period or at an instant',
        params: LicenseParamsSchema,
        headers: PreconditionHeadersSchema,
        body: PlanChangeBodySchema,
        response: { 200: LicenseSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const context = changeContextOf(request, request.body.reason);
      const { params, body } = request;
      const precondition = preconditionOf(request);
      const credential = credentialOf(request);
      return sendChanged(
        reply,
        await changeLicensePlan(services, credential, context, params, body, precondition),
      );
    },
  );

  app.delete(
    `${ONE}/plan-change`,
    {
      config,
      schema: {
        operationId: 'undoLicensePlanChange',
        tags,
        summary: 'Take a planned change of plan back before its instant',
        params: LicenseParamsSchema,
        querystring: ReasonQuerySchema,
        headers: PreconditionHeadersSchema,
        response: { 200: LicenseSchema, ...PROBLEMS },
      },
    },
    async (request, reply) => {
      const context = changeContextOf(request, request.query.reason);
      const precondition = preconditionOf(request);
      const credential = credentialOf(request);
      return sendChanged(
        reply,
        await undoPlanChange(services, credential, context, request.params, precondition),
      );
    },
  );
}
