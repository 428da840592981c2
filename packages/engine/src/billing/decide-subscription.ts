import type { BillingItem, BillingPhase, BillingRecord } from '../model/billing-subscription.js';
import type { Instant, LicenseAddon } from '../model/customer.js';
import type { BillingProblem } from './billing-problem.js';
import { isOver } from './billing-record.js';
import type { DesiredLicense, HeldLicense, LooseAddons } from './desired-license.js';
import { effectiveItems } from './effective-items.js';
import { type BillingCatalog, type BoughtItems, type BoughtPlan, mapItems, mappingOf } from './map-items.js';
import { placeAddons } from './place-addons.js';
import { standingOf } from './standing.js';

export interface SubscriptionDecision {
  /** Every license that the subscription should have made; one that is held and not among them is to end. */
  readonly licenses: readonly DesiredLicense[];
  readonly loose: readonly LooseAddons[];
  readonly problems: readonly BillingProblem[];
}

/**
 * What a customer should hold by one subscription (K-12). A pure function of what is known of it, the catalogs, and the clock; `held`
 * only keeps what cannot be decided: as long as an item means nothing that is known, nothing that was given for it is taken away.
 */
export function decideSubscription(
  record: BillingRecord,
  catalogs: readonly BillingCatalog[],
  held: readonly HeldLicense[],
  now: Instant,
): SubscriptionDecision {
  const { items, next } = effectiveItems(record, now);
  const problems = unmapped(items, catalogs);
  const decisions = catalogs.map((catalog) => {
    const own: BillingProblem[] = [];
    const bought = mapItems(catalog, items, own);
    const isUnsure = problems.length > 0 || own.some((problem) => problem.isHeld);
    const kept = held.filter(({ product }) => product === catalog.product);
    const planned = next === null ? null : mapItems(catalog, next.items, []).plans[0];
    const decision = decideProduct(record, catalog, bought, isUnsure ? kept : [], kept, own);
    const change = next === null || !planned ? null : { ...versionOf(planned), at: next.startsAt };
    return { ...decision, licenses: decision.licenses.map((one) => withNext(one, change)), own };
  });
  const isDone = record.latest !== null && isOver(record.latest.subscription.status);
  const found = [
    ...problems,
    ...unmappedLater(items, next, catalogs),
    ...decisions.flatMap(({ own }) => own),
  ];
  return {
    licenses: decisions.flatMap(({ licenses }) => licenses),
    loose: decisions.flatMap(({ loose }) => (loose === null ? [] : [loose])),
    // What is over gives nothing, whatever its items mean: there is nothing to resolve any more.
    problems: isDone ? [] : found,
  };
}

/** An item belongs to whichever product maps it; one that none maps is to be resolved. */
function unmapped(items: readonly BillingItem[], catalogs: readonly BillingCatalog[]): BillingProblem[] {
  return items
    .filter((item) => item.quantity > 0 && !catalogs.some((catalog) => mappingOf(catalog, item)))
    .map((item) => ({ code: 'NOT_MAPPED', product: null, item, name: null, isHeld: true }));
}

/** What is planned and means nothing yet takes nothing away today: it is listed in time. */
function unmappedLater(
  items: readonly BillingItem[],
  next: BillingPhase | null,
  catalogs: readonly BillingCatalog[],
): BillingProblem[] {
  const now = new Set(items.map(nameOf));
  const later = (next?.items ?? []).filter((item) => !now.has(nameOf(item)));
  return unmapped(later, catalogs).map((problem) => ({ ...problem, isHeld: false }));
}

function nameOf({ price, lookupKey, product, offer }: BillingItem): string {
  return JSON.stringify([price, lookupKey, product, offer]);
}

function versionOf({ plan, planVersion }: BoughtPlan) {
  return { plan, planVersion };
}

function withNext(license: Omit<DesiredLicense, 'next'>, change: DesiredLicense['next']): DesiredLicense {
  const isSame =
    change === null || (change.plan === license.plan && change.planVersion === license.planVersion);
  // What has ended, or will have by then, does not change any more.
  const isOver = change !== null && license.endsAt !== null && license.endsAt <= change.at;
  return { ...license, next: license.slot !== 0 || isSame || isOver ? null : change };
}

interface ProductDecision {
  readonly licenses: readonly Omit<DesiredLicense, 'next'>[];
  readonly loose: LooseAddons | null;
}

function decideProduct(
  record: BillingRecord,
  catalog: BillingCatalog,
  bought: BoughtItems,
  kept: readonly HeldLicense[],
  held: readonly HeldLicense[],
  problems: BillingProblem[],
): ProductDecision {
  const { product } = catalog;
  const slots = fillSlots(product, bought.plans, kept);
  const placed = placeAddons(catalog, slots, bought.addons, problems);
  const licenses = placed.licenses.flatMap((license) => {
    const before = held.find(({ slot }) => slot === license.slot);
    const standing = standingOf(record, catalog, license.plan, before !== undefined);
    const addons = kept.length === 0 ? license.addons : keptAddons(before, license.addons);
    return standing === null ? [] : [{ ...license, ...standing, addons }];
  });
  const standing = placed.loose.length === 0 ? null : standingOf(record, catalog, '', true);
  return { licenses, loose: standing === null ? null : { product, addons: placed.loose, standing } };
}

/**
 * INVARIANT: what cannot be read takes nothing away. While something cannot, a plan that is read stays in the slot it had, so that it
 * does not push out the one of an item that means nothing now; and a slot that no plan fills keeps what it is to.
 */
function fillSlots(
  product: string,
  plans: readonly BoughtPlan[],
  kept: readonly HeldLicense[],
): readonly HeldLicense[] {
  const slots = new Map<number, HeldLicense>();
  const others: BoughtPlan[] = [];
  for (const plan of plans) {
    const before = kept.find(
      (one) => one.plan === plan.plan && one.planVersion === plan.planVersion && !slots.has(one.slot),
    );
    if (before === undefined) others.push(plan);
    else slots.set(before.slot, { ...plan, product, slot: before.slot, addons: [] });
  }
  let slot = 0;
  for (const plan of others) {
    while (slots.has(slot)) slot += 1;
    slots.set(slot, { ...plan, product, slot, addons: [] });
  }
  for (const one of kept) if (!slots.has(one.slot)) slots.set(one.slot, one);
  return [...slots.values()].sort((left, right) => left.slot - right.slot);
}

/** Add-ons of items that mean nothing now stay, until it is known what they mean. */
function keptAddons(
  before: HeldLicense | undefined,
  addons: readonly LicenseAddon[],
): readonly LicenseAddon[] {
  const fresh = new Set(addons.map(({ addon }) => addon));
  return [...addons, ...(before?.addons ?? []).filter(({ addon }) => !fresh.has(addon))].sort(
    (left, right) => (left.addon < right.addon ? -1 : 1),
  );
}
