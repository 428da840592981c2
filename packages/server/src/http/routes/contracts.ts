import type { SearchServices } from '../../service/contracts/list-customers.js';
import type { GrantServices } from '../../service/contracts/make-grants.js';
import type { App } from '../app.js';
import { registerAuditRoutes } from './audit.js';
import { registerBundleRoutes } from './bundles.js';
import { registerCustomerFileRoutes } from './customer-files.js';
import { registerCustomerRoutes } from './customers.js';
import { registerEndingRoutes } from './ending.js';
import { registerErasureRoutes } from './erasure.js';
import { registerGrantRoutes } from './grants.js';
import { registerHolderRoutes } from './holders.js';
import { registerInstanceRoutes } from './instances.js';
import { registerLicenseRoutes } from './licenses.js';
import { registerMembershipRoutes } from './memberships.js';
import { registerNoticeRoutes } from './notices.js';
import { registerRedemptionRoutes } from './redemptions.js';
import { registerSearchRoutes } from './search.js';
import { registerTopUpRoutes } from './top-ups.js';
import { registerUserRoutes } from './users.js';
import { registerVoucherRoutes } from './vouchers.js';

/** Everything that says who a customer is and what it may have. */
export function registerContractRoutes(app: App, services: GrantServices & SearchServices): void {
  registerCustomerRoutes(app, services);
  registerCustomerFileRoutes(app, services);
  registerUserRoutes(app, services);
  registerInstanceRoutes(app, services);
  registerHolderRoutes(app, services);
  registerSearchRoutes(app, services);
  registerErasureRoutes(app, services);
  registerAuditRoutes(app, services);
  registerNoticeRoutes(app, services);
  registerLicenseRoutes(app, services);
  registerMembershipRoutes(app, services);
  registerGrantRoutes(app, services);
  registerBundleRoutes(app, services);
  registerEndingRoutes(app, services);
  registerTopUpRoutes(app, services);
  registerVoucherRoutes(app, services);
  registerRedemptionRoutes(app, services);
}
