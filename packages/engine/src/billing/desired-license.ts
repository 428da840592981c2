import type { Instant, LicenseAddon } from '../model/customer.js';
import type { BoughtPlan } from './map-items.js';
import type { Standing } from './standing.js';

/** A license that a subscription made before. `slot` tells apart several of one product, 0 the highest plan. */
export interface HeldLicense extends BoughtPlan {
  readonly product: string;
  readonly slot: number;
  readonly addons: readonly LicenseAddon[];
}

/** A license as it should be, found again by subscription, product and slot. */
export interface DesiredLicense extends HeldLicense, Standing {
  /** What it will be to by a schedule. */
  readonly next: { readonly plan: string; readonly planVersion: number; readonly at: Instant } | null;
}

/** Add-ons that were bought by themselves: they stack on a license of another subscription. */
export interface LooseAddons {
  readonly product: string;
  readonly addons: readonly LicenseAddon[];
  readonly standing: Standing;
}
