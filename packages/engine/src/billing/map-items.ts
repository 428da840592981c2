import type { BillingItemMapping, BillingMapping } from '../model/billing.js';
import type { BillingItem, BillingOffer } from '../model/billing-subscription.js';
import { type Addon, type Plan, versionedKey } from '../model/catalog.js';
import type { LicenseAddon } from '../model/customer.js';
import { LIMITS } from '../model/limits.js';
import type { BillingProblem } from './billing-problem.js';

/** What the catalog of one product says of a connection. */
export interface BillingCatalog {
  /** The product's key. */
  readonly product: string;
  readonly mapping: BillingMapping;
  readonly plans: readonly Plan[];
  readonly addons: readonly Addon[];
  readonly pastDueGraceDays: number;
}

export interface BoughtPlan {
  readonly plan: string;
  readonly planVersion: number;
  readonly quantity: number;
}

/** What items of one product mean: plans by rank, the highest first. */
export interface BoughtItems {
  readonly plans: readonly BoughtPlan[];
  readonly addons: readonly LicenseAddon[];
}

/** What the item means: what it says itself, else the entry that names it, by price, else by look-up key, else by product. */
export function mappingOf(
  { product, mapping }: BillingCatalog,
  item: BillingItem,
): BillingItemMapping | undefined {
  if (item.offer !== undefined) return item.offer.product === product ? entryOf(item.offer) : undefined;
  const named = (member: 'price' | 'lookupKey' | 'product') =>
    item[member] === null ? undefined : mapping.items.find((entry) => entry[member] === item[member]);
  return named('price') ?? named('lookupKey') ?? named('product');
}

function entryOf({ product: _, ...gives }: BillingOffer): BillingItemMapping {
  return gives;
}

export function mapItems(
  catalog: BillingCatalog,
  items: readonly BillingItem[],
  problems: BillingProblem[],
): BoughtItems {
  const plans: BoughtPlan[] = [];
  const addons = new Map<string, LicenseAddon>();
  for (const item of items) {
    const entry = mappingOf(catalog, item);
    if (entry === undefined || entry.ignore === true || item.quantity < 1) continue;
    const quantity = Math.min(item.quantity, LIMITS.billingQuantity.value);
    const plan = boughtPlan(catalog, entry, quantity, item, problems);
    if (plan !== null) plans.push(plan);
    for (const addon of boughtAddons(catalog, entry, quantity, item, problems)) {
      const before = addons.get(addon.addon);
      addons.set(addon.addon, before === undefined ? addon : together(before, addon));
    }
  }
  const rank = (bought: BoughtPlan) => findPlan(catalog, bought)?.rank ?? 0;
  return {
    plans: joined(plans).sort(
      (left, right) =>
        rank(right) - rank(left) || order(left.plan, right.plan) || right.planVersion - left.planVersion,
    ),
    addons: [...addons.values()].sort((left, right) => order(left.addon, right.addon)),
  };
}

function order(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}

export function findPlan(catalog: BillingCatalog, bought: BoughtPlan): Plan | undefined {
  const name = versionedKey(bought.plan, bought.planVersion);
  return catalog.plans.find((plan) => versionedKey(plan.key, plan.version) === name);
}

function boughtPlan(
  catalog: BillingCatalog,
  entry: BillingItemMapping,
  quantity: number,
  item: BillingItem,
  problems: BillingProblem[],
): BoughtPlan | null {
  if (entry.plan === undefined) return null;
  const bought = { plan: entry.plan, planVersion: entry.version ?? 0, quantity };
  if (findPlan(catalog, bought) !== undefined) return bought;
  const name = versionedKey(bought.plan, bought.planVersion);
  problems.push({ code: 'NOT_PUBLISHED', product: catalog.product, item, name, isHeld: true });
  return null;
}

function boughtAddons(
  catalog: BillingCatalog,
  entry: BillingItemMapping,
  quantity: number,
  item: BillingItem,
  problems: BillingProblem[],
): LicenseAddon[] {
  return (entry.addons ?? []).flatMap(({ addon, version = 0, each = 1, quantity: fixed }) => {
    const isPublished = catalog.addons.some((one) => one.key === addon && (one.version ?? 0) === version);
    const many = Math.min(fixed ?? each * quantity, LIMITS.billingQuantity.value);
    if (isPublished) return [{ addon, version, quantity: many }];
    const name = versionedKey(addon, version);
    problems.push({ code: 'NOT_PUBLISHED', product: catalog.product, item, name, isHeld: true });
    return [];
  });
}

/** The same plan version by two items (two seats of another price) is one license of both. */
function joined(plans: readonly BoughtPlan[]): BoughtPlan[] {
  const byName = new Map<string, BoughtPlan>();
  for (const plan of plans) {
    const name = versionedKey(plan.plan, plan.planVersion);
    const quantity = (byName.get(name)?.quantity ?? 0) + plan.quantity;
    byName.set(name, { ...plan, quantity: Math.min(quantity, LIMITS.billingQuantity.value) });
  }
  return [...byName.values()];
}

/** A license holds an add-on once: pieces of an older version are counted as of the newer. */
function together(one: LicenseAddon, other: LicenseAddon): LicenseAddon {
  const quantity = Math.min(one.quantity + other.quantity, LIMITS.billingQuantity.value);
  return { addon: one.addon, version: Math.max(one.version, other.version), quantity };
}
