import { versionedKey } from '../model/catalog.js';
import type { LicenseAddon } from '../model/customer.js';
import type { BillingProblem } from './billing-problem.js';
import type { HeldLicense } from './desired-license.js';
import type { BillingCatalog } from './map-items.js';

export interface PlacedAddons<License extends HeldLicense> {
  readonly licenses: readonly License[];
  /** What no plan stands here for. */
  readonly loose: readonly LicenseAddon[];
}

/** Puts each add-on on the first license whose plan it is sold with. */
export function placeAddons<License extends HeldLicense>(
  catalog: BillingCatalog,
  licenses: readonly License[],
  addons: readonly LicenseAddon[],
  problems: BillingProblem[],
): PlacedAddons<License> {
  if (licenses.length === 0) return { licenses, loose: addons };
  const added = new Map<number, LicenseAddon[]>();
  for (const addon of addons) {
    const document = catalog.addons.find(
      (one) => one.key === addon.addon && (one.version ?? 0) === addon.version,
    );
    const index = licenses.findIndex(({ plan }) => document?.plans?.includes(plan) ?? true);
    const name = versionedKey(addon.addon, addon.version);
    if (index === -1) {
      problems.push({
        code: 'ADDON_NOT_FOR_PLAN',
        product: catalog.product,
        item: null,
        name,
        isHeld: false,
      });
      continue;
    }
    const most = document?.maxQuantity ?? addon.quantity;
    if (addon.quantity > most) {
      problems.push({ code: 'ADDON_QUANTITY', product: catalog.product, item: null, name, isHeld: false });
    }
    const list = added.get(index) ?? [];
    list.push({ ...addon, quantity: Math.min(addon.quantity, most) });
    added.set(index, list);
  }
  return {
    licenses: licenses.map((license, index) => {
      const more = added.get(index);
      return more === undefined ? license : { ...license, addons: more };
    }),
    loose: [],
  };
}
