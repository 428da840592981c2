import {
  EnvironmentParamsSchema,
  InstancePageSchema,
  SubjectSearchQuerySchema,
  UserPageSchema,
} from '@pennon/protocol/management/customers';
import type { SearchServices } from '../../service/contracts/list-customers.js';
import { searchInstances, searchUsers } from '../../service/contracts/search-members.js';
import type { App } from '../app.js';
import { credentialOf } from '../authenticate.js';
import { PROBLEMS } from '../problem-responses.js';

const config = { access: ['admin'] } as const;
const tags = ['Customers'];

/** P-4: whoever knows a person or a deployment, but not whose it is. */
export function registerSearchRoutes(app: App, services: SearchServices): void {
  app.get(
    '/api/v1/environments/:environment/users',
    {
      config,
      schema: {
        operationId: 'searchUsers',
        tags,
        summary: 'Find users of all customers by key, mail or name',
        params: EnvironmentParamsSchema,
        querystring: SubjectSearchQuerySchema,
        response: { 200: UserPageSchema, ...PROBLEMS },
      },
    },
    (request) => searchUsers(services, credentialOf(request), request.params, request.query),
  );

  app.get(
    '/api/v1/environments/:environment/instances',
    {
      config,
      schema: {
        operationId: 'searchInstances',
        tags,
        summary: 'Find deployments of all customers by key or name',
        params: EnvironmentParamsSchema,
        querystring: SubjectSearchQuerySchema,
        response: { 200: InstancePageSchema, ...PROBLEMS },
      },
    },
    (request) => searchInstances(services, credentialOf(request), request.params, request.query),
  );
}
