import { AuditListQuerySchema, AuditPageSchema } from '@pennon/protocol/management/audit';
import { EnvironmentParamsSchema } from '@pennon/protocol/management/customers';
import type { ContractServices } from '../../service/contracts/data-change.js';
import { listAudit } from '../../service/contracts/list-audit.js';
import type { App } from '../app.js';
import { credentialOf } from '../authenticate.js';
import { PROBLEMS } from '../problem-responses.js';

export function registerAuditRoutes(app: App, services: ContractServices): void {
  app.get(
    '/api/v1/environments/:environment/audit',
    {
      config: { access: ['admin'] },
      schema: {
        operationId: 'listAudit',
        tags: ['Audit'],
        summary: 'What was changed, by whom and why, the latest first',
        params: EnvironmentParamsSchema,
        querystring: AuditListQuerySchema,
        response: { 200: AuditPageSchema, ...PROBLEMS },
      },
    },
    (request) => listAudit(services, credentialOf(request), request.params, request.query),
  );
}
