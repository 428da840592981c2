import type { Price } from '../model/catalog.js';
import type { RemedyPrice } from '../model/remedy.js';
import type { CompiledAddon, CompiledPlan, Snapshot } from '../snapshot/snapshot.js';

/** What a snapshot sells: of each plan and add-on the highest offered version, in rank or catalog order. */
export interface Offers {
  readonly plans: readonly CompiledPlan[];
  readonly addons: readonly CompiledAddon[];
  /** By feature key: the plans that name it, themselves or by their default group. */
  readonly plansByFeature: ReadonlyMap<string, readonly CompiledPlan[]>;
  readonly addonsByFeature: ReadonlyMap<string, readonly CompiledAddon[]>;
}

const known = new WeakMap<Snapshot, Offers>();

/** Worked out once per snapshot, when somebody first asks. */
export function offersOf(snapshot: Snapshot): Offers {
  let offers = known.get(snapshot);
  if (offers === undefined) {
    offers = collect(snapshot);
    known.set(snapshot, offers);
  }
  return offers;
}

function collect(snapshot: Snapshot): Offers {
  // A map keeps the order of the catalog, and the sort keeps it among plans of one rank.
  const plans = [...snapshot.currentPlans.values()].filter(({ offered }) => offered);
  plans.sort((left, right) => left.rank - right.rank);
  const highest = new Map<string, CompiledAddon>();
  for (const addon of snapshot.addons.values()) {
    const before = highest.get(addon.key);
    if (addon.offered && (before === undefined || addon.version > before.version))
      highest.set(addon.key, addon);
  }
  const addons = [...highest.values()].sort((left, right) => left.order - right.order);
  return {
    plans,
    addons,
    plansByFeature: byFeature(plans, (plan) => [
      ...plan.entitlements.keys(),
      ...(snapshot.groups.get(plan.defaultGroup ?? '')?.entitlements.keys() ?? []),
    ]),
    addonsByFeature: byFeature(addons, (addon) => [...addon.entitlements.keys()]),
  };
}

function byFeature<Offer>(
  offers: readonly Offer[],
  featuresOf: (offer: Offer) => readonly string[],
): ReadonlyMap<string, readonly Offer[]> {
  const map = new Map<string, Offer[]>();
  for (const offer of offers) {
    for (const feature of new Set(featuresOf(offer))) {
      const list = map.get(feature);
      if (list === undefined) map.set(feature, [offer]);
      else list.push(offer);
    }
  }
  return map;
}

/** Whether an add-on may be had with a plan. */
export function isSoldWith(addon: CompiledAddon, plan: string): boolean {
  return addon.plans === null || addon.plans.includes(plan);
}

/** @param quantity pieces of an add-on, which are paid each. */
export function priceOf(price: Price | null, quantity = 1): RemedyPrice | null {
  if (price === null) return null;
  const amount = price.amount * quantity;
  // What JSON cannot carry exactly is no price to show.
  if (!Number.isSafeInteger(amount)) return null;
  return { amount, currency: price.currency, every: price.every ?? null, source: price.source ?? null };
}
