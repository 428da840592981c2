import { PageQuerySchema, PreconditionHeadersSchema } from '@pennon/protocol/management/common';
import { CustomerParamsSchema } from '@pennon/protocol/management/customers';
import {
  LicenseCreateSchema,
  LicensePageSchema,
  LicenseParamsSchema,
  LicensePatchSchema,
  LicenseSchema,
} from '@pennon/protocol/management/licenses';
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
}
