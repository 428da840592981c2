import { PreconditionHeadersSchema } from '@pennon/protocol/management/common';
import {
  CustomerParamsSchema,
  ErasureSchema,
  ReasonBodySchema,
  UserParamsSchema,
} from '@pennon/protocol/management/customers';
import type { ContractServices } from '../../service/contracts/data-change.js';
import { eraseCustomer, eraseUser } from '../../service/contracts/erase.js';
import type { App } from '../app.js';
import { changeContextOf, credentialOf } from '../authenticate.js';
import { preconditionOf } from '../etags.js';
import { PROBLEMS } from '../problem-responses.js';
import { sendChanged } from '../send-changed.js';

const config = { access: ['admin'] } as const;
const tags = ['Customers'];
const ONE = '/api/v1/environments/:environment/customers/:customer';

export function registerErasureRoutes(app: App, services: ContractServices): void {
  const schema = {
    tags,
    headers: PreconditionHeadersSchema,
    body: ReasonBodySchema,
    response: { 200: ErasureSchema, ...PROBLEMS },
  };
  app.post(
    `${ONE}/erase`,
    {
      config,
      schema: {
        ...schema,
        operationId: 'eraseCustomer',
        summary: 'Erase everything that says who a customer is, for ever',
        params: CustomerParamsSchema,
      },
    },
    async (request, reply) => {
      const context = changeContextOf(request, request.body.reason);
      const precondition = preconditionOf(request);
      return sendChanged(
        reply,
        await eraseCustomer(services, credentialOf(request), context, request.params, precondition),
      );
    },
  );

  app.post(
    `${ONE}/users/:user/erase`,
    {
      config,
      schema: {
        ...schema,
        operationId: 'eraseUser',
        summary: 'Erase everything that says who a user is, for ever',
        params: UserParamsSchema,
      },
    },
    async (request, reply) => {
      const context = changeContextOf(request, request.body.reason);
      const precondition = preconditionOf(request);
      return sendChanged(
        reply,
        await eraseUser(services, credentialOf(request), context, request.params, precondition),
      );
    },
  );
}
