import type { ApiExplanation } from '@pennon/protocol/management/explain';
import { ExplainRequestSchema, ExplanationSchema } from '@pennon/protocol/management/explain';
import { Type } from 'typebox';
import type { EvaluationDependencies } from '../../service/evaluation-request.js';
import { type Explanation, explain } from '../../service/explain.js';
import type { App } from '../app.js';
import { credentialOf } from '../authenticate.js';
import { evaluationInputOf } from '../evaluation-headers.js';
import { PROBLEMS } from '../problem-responses.js';

/** POST …/explain: one decision and every step that led to it. */
export function registerExplainRoutes(app: App, services: EvaluationDependencies): void {
  app.post(
    '/api/v1/environments/:environment/products/:product/explain',
    {
      schema: {
        operationId: 'explain',
        tags: ['Explain'],
        summary: 'Why a flag or feature answers what it answers',
        params: Type.Object({ environment: Type.String(), product: Type.String() }),
        body: ExplainRequestSchema,
        response: { 200: ExplanationSchema, ...PROBLEMS },
      },
      config: { access: ['admin', 'server'], changes: false },
    },
    async (request) => {
      const { environment, product } = request.params;
      const input = { ...evaluationInputOf(request, request.body.context ?? {}), environment, product };
      const { key } = request.body;
      return toApiExplanation(key, await explain(services, credentialOf(request), key, input));
    },
  );
}

function toApiExplanation(key: string, explanation: Explanation): ApiExplanation {
  const { kind, decision, steps, customerKey, stamp } = explanation;
  return {
    key,
    kind,
    customer: customerKey,
    decision: { ...decision },
    steps: steps.map((step) => ({ ...step, data: { ...step.data } })),
    asOf: new Date(stamp.asOf).toISOString(),
    revision: stamp.revision,
    customerVersion: stamp.customerVersion,
  };
}
