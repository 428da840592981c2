import { CustomerParamsSchema } from '@pennon/protocol/management/customers';
import { HolderListQuerySchema, HolderPageSchema } from '@pennon/protocol/management/holders';
import type { ContractServices } from '../../service/contracts/data-change.js';
import { listHolders } from '../../service/contracts/list-holders.js';
import type { App } from '../app.js';
import { credentialOf } from '../authenticate.js';
import { PROBLEMS } from '../problem-responses.js';

export function registerHolderRoutes(app: App, services: ContractServices): void {
  app.get(
    '/api/v1/environments/:environment/customers/:customer/holders',
    {
      config: { access: ['admin'] },
      schema: {
        operationId: 'listHolders',
        tags: ['Customers'],
        summary: 'List what holds units of features that never reset',
        params: CustomerParamsSchema,
        querystring: HolderListQuerySchema,
        response: { 200: HolderPageSchema, ...PROBLEMS },
      },
    },
    (request) => listHolders(services, credentialOf(request), request.params, request.query),
  );
}
