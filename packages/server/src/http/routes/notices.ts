import { EnvironmentParamsSchema } from '@pennon/protocol/management/customers';
import { NoticeListQuerySchema, NoticePageSchema } from '@pennon/protocol/management/notices';
import type { ContractServices } from '../../service/contracts/data-change.js';
import { listNotices } from '../../service/contracts/list-notices.js';
import type { App } from '../app.js';
import { credentialOf } from '../authenticate.js';
import { PROBLEMS } from '../problem-responses.js';

export function registerNoticeRoutes(app: App, services: ContractServices): void {
  app.get(
    '/api/v1/environments/:environment/notices',
    {
      config: { access: ['admin'] },
      schema: {
        operationId: 'listNotices',
        tags: ['Usage'],
        summary: 'What was told of usage: warned, reached, exceeded and reset',
        params: EnvironmentParamsSchema,
        querystring: NoticeListQuerySchema,
        response: { 200: NoticePageSchema, ...PROBLEMS },
      },
    },
    (request) => listNotices(services, credentialOf(request), request.params, request.query),
  );
}
