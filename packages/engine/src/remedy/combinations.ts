import type { CompiledAddon, CompiledPlan } from '../snapshot/snapshot.js';
import { comparePrices, type Priced } from './compare-prices.js';
import { isSoldWith, priceOf } from './offers.js';

/** A plan with an add-on that is sold with it, and what both cost at least: with one piece. */
export interface Combination {
  readonly plan: CompiledPlan;
  readonly addon: CompiledAddon;
  readonly atLeast: Priced;
}

/** So many plans and add-ons, the cheapest, are looked at together: a catalog may have thousands of each. */
const PLANS = 20;
const ADDONS = 10;

/** @param plans, addons the cheapest first. The cheapest combination comes first. */
export function combinationsOf(
  plans: readonly CompiledPlan[],
  addons: readonly CompiledAddon[],
  currency: string | null,
): readonly Combination[] {
  return plans
    .slice(0, PLANS)
    .flatMap((plan) =>
      addons
        .filter((addon) => isSoldWith(addon, plan.key))
        .slice(0, ADDONS)
        .map((addon) => ({ plan, addon, atLeast: pricedTogether(plan, addon, 1) })),
    )
    .sort((left, right) => comparePrices(left.atLeast, right.atLeast, currency));
}

export function pricedTogether(plan: CompiledPlan, addon: CompiledAddon, quantity: number): Priced {
  return {
    price: priceOf(plan.show.price),
    also: [priceOf(addon.show.price, quantity)],
    rank: plan.rank,
    name: `${plan.name} ${addon.name}`,
  };
}

export function pricedPlan(plan: CompiledPlan): Priced {
  return { price: priceOf(plan.show.price), rank: plan.rank, name: plan.name };
}

export function pricedAddon(addon: CompiledAddon, rank: number, quantity = 1): Priced {
  return { price: priceOf(addon.show.price, quantity), rank, name: addon.name };
}
