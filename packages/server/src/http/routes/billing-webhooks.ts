import { LIMITS } from '@pennon/engine/model/limits';
import { KeySchema } from '@pennon/protocol/management/common';
import { Type } from 'typebox';
import { BILLING_ADAPTERS, type WebhookProvider } from '../../service/billing/billing-adapters.js';
import { type ReceivingServices, receiveDelivery } from '../../service/billing/receive-delivery.js';
import type { App } from '../app.js';
import { PROBLEMS } from '../problem-responses.js';

const Params = Type.Object({ connection: KeySchema }, { additionalProperties: false });
const ReceivedSchema = Type.Object({ received: Type.Literal(true) }, { additionalProperties: false });
const PROVIDERS = Object.keys(BILLING_ADAPTERS) as readonly WebhookProvider[];

/**
 * Where billing providers deliver to. A signature proves who sends it, so that no credential is asked for; the answer comes once the
 * delivery is committed, before anything is done about it (K-12). Not in the OpenAPI document: nobody else calls it.
 */
export function registerBillingWebhookRoutes(app: App, services: ReceivingServices): void {
  for (const provider of PROVIDERS) {
    app.post(
      `/webhooks/${provider}/:connection`,
      {
        config: { access: 'public', body: 'raw' },
        bodyLimit: LIMITS.webhookBodyBytes.value,
        schema: { hide: true, params: Params, response: { 200: ReceivedSchema, ...PROBLEMS } },
      },
      async (request) => {
        const { connection } = request.params;
        const body = request.body instanceof Uint8Array ? request.body : new Uint8Array();
        await receiveDelivery(services, { provider, connection, headers: request.headers, body });
        return { received: true } as const;
      },
    );
  }
}
