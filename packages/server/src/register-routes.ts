import type { Parts } from './compose.js';
import type { App } from './http/app.js';
import { openOfrepShortWay } from './http/ofrep-short-way.js';
import { registerOpenApiRoutes } from './http/openapi.js';
import { registerBillingConnectionRoutes } from './http/routes/billing-connections.js';
import { registerBillingDeliveryRoutes } from './http/routes/billing-deliveries.js';
import { registerBillingEventRoutes } from './http/routes/billing-events.js';
import { registerBillingWebhookRoutes } from './http/routes/billing-webhooks.js';
import { registerCatalogRoutes } from './http/routes/catalog.js';
import { registerCatalogItemRoutes } from './http/routes/catalog-items.js';
import { registerContractRoutes } from './http/routes/contracts.js';
import { registerEnvironmentRoutes } from './http/routes/environments.js';
import { registerExplainRoutes } from './http/routes/explain.js';
import { registerKeyRoutes } from './http/routes/keys.js';
import { registerOepRoutes } from './http/routes/oep.js';
import { registerOepHistoryRoutes } from './http/routes/oep-history.js';
import { registerOepUsageRoutes } from './http/routes/oep-usage.js';
import { registerOfrepRoutes } from './http/routes/ofrep.js';
import { type Readiness, registerOperationsRoutes } from './http/routes/operations.js';
import { registerPlainRoutes } from './http/routes/plain.js';
import { registerPlanMoveRoutes } from './http/routes/plan-moves.js';
import { registerProductRoutes } from './http/routes/products.js';
import { registerTokenKeyRoutes } from './http/routes/token-keys.js';
import { registerUsageRoutes } from './http/routes/usage.js';
import { registerWebhookRoutes } from './http/routes/webhooks.js';
import { BILLING_ADAPTERS } from './service/billing/billing-adapters.js';
import { createFlagsEvaluation } from './service/evaluate-flags.js';

/** Every route of the server. What is not listed here does not exist. */
export function registerRoutes(app: App, parts: Parts, readiness: () => Readiness): void {
  registerOperationsRoutes(app, { metrics: parts.metrics, readiness });
  registerProductRoutes(app, parts.management);
  registerEnvironmentRoutes(app, parts.management);
  registerKeyRoutes(app, parts.management);
  registerTokenKeyRoutes(app, parts.management);
  const catalog = { ...parts.publishing, directory: parts.directory };
  registerCatalogRoutes(app, catalog);
  registerCatalogItemRoutes(app, catalog);
  registerPlanMoveRoutes(app, { ...parts.planMoveServices, runner: parts.planMoves });
  const evaluation = {
    directory: parts.directory,
    snapshots: parts.snapshots,
    customers: parts.customers,
    clock: parts.clock,
    knownUntil: parts.knownUntil,
  };
  registerContractRoutes(app, { ...parts.management, ...evaluation });
  registerBillingConnectionRoutes(app, parts.management);
  registerBillingDeliveryRoutes(app, parts.management);
  registerBillingEventRoutes(app, parts.management);
  registerBillingWebhookRoutes(app, { ...parts.management, adapters: BILLING_ADAPTERS });
  registerUsageRoutes(app, parts.planMoveServices);
  registerWebhookRoutes(app, parts.hookServices);
  registerExplainRoutes(app, evaluation);
  registerPlainRoutes(app, evaluation);
  const ofrep = { ...evaluation, evaluateFlags: createFlagsEvaluation(evaluation) };
  registerOfrepRoutes(app, ofrep);
  const oep = parts.consuming;
  registerOepRoutes(app, oep);
  registerOepUsageRoutes(app, { ...oep, recorder: parts.recorder });
  registerOepHistoryRoutes(app, { ...evaluation, database: parts.database.kysely });
  registerOpenApiRoutes(app);
  openOfrepShortWay(app, { ...ofrep, authenticator: parts.authenticator, metrics: parts.metrics });
}
