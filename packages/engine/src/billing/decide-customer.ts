import type { BillingRecord } from '../model/billing-subscription.js';
import { versionedKey } from '../model/catalog.js';
import { type Instant, inForce, type LicenseAddon } from '../model/customer.js';
import type { BillingProblem } from './billing-problem.js';
import { decideSubscription } from './decide-subscription.js';
import type { DesiredLicense, HeldLicense, LooseAddons } from './desired-license.js';
import type { BillingCatalog } from './map-items.js';
import type { Standing } from './standing.js';

/** A subscription of the customer with what it made before. */
export interface KnownSubscription {
  /** Unique among the customer's, over all connections. */
  readonly id: string;
  readonly record: BillingRecord;
  /** Of the connection that it came over. */
  readonly catalogs: readonly BillingCatalog[];
  readonly held: readonly HeldLicense[];
}

export interface CustomerDecision {
  readonly subscriptions: ReadonlyMap<
    string,
    { readonly licenses: readonly DesiredLicense[]; readonly problems: readonly BillingProblem[] }
  >;
  /** The clock alone changes what add-ons stack on which license then: decide again. `null`: it does not. */
  readonly againAt: Instant | null;
}

/** What a customer should hold by all of its subscriptions; one may hold add-ons for the license of another. */
export function decideCustomer(subscriptions: readonly KnownSubscription[], now: Instant): CustomerDecision {
  const sorted = [...subscriptions].sort((left, right) =>
    left.id < right.id ? -1 : left.id > right.id ? 1 : 0,
  );
  const decided = sorted.map(({ id, record, catalogs, held }) => {
    const decision = decideSubscription(record, catalogs, held, now);
    return {
      id,
      catalogs,
      licenses: [...decision.licenses],
      loose: decision.loose,
      problems: [...decision.problems],
    };
  });
  const edges: Instant[] = [];
  for (const { loose, catalogs, problems } of decided) {
    for (const one of loose) {
      const hosts = decided.flatMap(({ licenses }) =>
        licenses.filter(({ product }) => product === one.product),
      );
      edges.push(...[one.standing, ...hosts].flatMap((standing) => edgesOf(standing, now)));
      if (!givesRights(one.standing, now)) continue;
      const catalog = catalogs.find(({ product }) => product === one.product);
      if (catalog !== undefined) placeLoose(one, catalog, decided, problems, now);
    }
  }
  return {
    subscriptions: new Map(decided.map(({ id, licenses, problems }) => [id, { licenses, problems }])),
    againAt: edges.length === 0 ? null : Math.min(...edges),
  };
}

function placeLoose(
  loose: LooseAddons,
  catalog: BillingCatalog,
  decided: readonly { readonly licenses: DesiredLicense[] }[],
  problems: BillingProblem[],
  now: Instant,
): void {
  for (const addon of loose.addons) {
    const name = versionedKey(addon.addon, addon.version);
    const document = catalog.addons.find(
      (one) => one.key === addon.addon && (one.version ?? 0) === addon.version,
    );
    const fits = (license: DesiredLicense) =>
      license.product === loose.product &&
      givesRights(license, now) &&
      (document?.plans?.includes(license.plan) ?? true);
    const host = decided.find(({ licenses }) => licenses.some(fits));
    const index = host?.licenses.findIndex(fits) ?? -1;
    const license = host?.licenses[index];
    if (host === undefined || license === undefined) {
      problems.push({ code: 'ADDON_WITHOUT_PLAN', product: loose.product, item: null, name, isHeld: false });
      continue;
    }
    const most = document?.maxQuantity ?? Number.POSITIVE_INFINITY;
    const { addons, isTooMany } = withAddon(license.addons, addon, most);
    host.licenses[index] = { ...license, addons };
    if (isTooMany)
      problems.push({ code: 'ADDON_QUANTITY', product: loose.product, item: null, name, isHeld: false });
  }
}

function withAddon(addons: readonly LicenseAddon[], more: LicenseAddon, most: number) {
  const before = addons.find(({ addon }) => addon === more.addon);
  const quantity = (before?.quantity ?? 0) + more.quantity;
  const one = {
    ...more,
    version: Math.max(more.version, before?.version ?? 0),
    quantity: Math.min(quantity, most),
  };
  const others = addons.filter(({ addon }) => addon !== more.addon);
  return {
    addons: [...others, one].sort((left, right) => (left.addon < right.addon ? -1 : 1)),
    isTooMany: quantity > most,
  };
}

function endOfRights({ status, endsAt, graceEndsAt }: Standing): Instant | null {
  if (status !== 'past_due') return endsAt;
  return Math.min(endsAt ?? Number.POSITIVE_INFINITY, graceEndsAt ?? 0);
}

/** When the clock alone begins or ends what it gives. */
function edgesOf(standing: Standing, now: Instant): Instant[] {
  const end = endOfRights(standing);
  return [standing.startsAt, ...(end === null ? [] : [end])].filter((edge) => edge > now);
}

function givesRights(standing: Standing, now: Instant): boolean {
  if (standing.status === 'paused' || standing.status === 'ended') return false;
  return inForce({ startsAt: standing.startsAt, endsAt: endOfRights(standing) }, now);
}
