import { EnvironmentParamsSchema } from '@pennon/protocol/management/customers';
import { EndingPageSchema, EndingQuerySchema } from '@pennon/protocol/management/ending';
import type { ContractServices } from '../../service/contracts/data-change.js';
import { listEnding } from '../../service/contracts/list-ending.js';
import type { App } from '../app.js';
import { credentialOf } from '../authenticate.js';
import { PROBLEMS } from '../problem-responses.js';

export function registerEndingRoutes(app: App, services: ContractServices): void {
  app.get(
    '/api/v1/environments/:environment/ending',
    {
      config: { access: ['admin'] },
      schema: {
        operationId: 'listEnding',
        tags: ['Grants'],
        summary:
          'List grants, bundle applications, licenses, grace of due payments, memberships and vouchers that end soon, what ends first first',
        params: EnvironmentParamsSchema,
        querystring: EndingQuerySchema,
        response: { 200: EndingPageSchema, ...PROBLEMS },
      },
    },
    (request) => listEnding(services, credentialOf(request), request.params, request.query),
  );
}
