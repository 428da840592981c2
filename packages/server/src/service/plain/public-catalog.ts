import type { TopUpPack } from '@pennon/engine/model/catalog';
import { UNLIMITED_AS_INTEGER } from '@pennon/engine/model/limits';
import { planRows } from '@pennon/engine/offer/plan-rows';
import { isSoldWith, offersOf } from '@pennon/engine/remedy/offers';
import type {
  CompiledAddon,
  CompiledFeature,
  CompiledPlan,
  Snapshot,
} from '@pennon/engine/snapshot/snapshot';
import type {
  ApiPublicAddon,
  ApiPublicCatalog,
  ApiPublicFeature,
  ApiPublicPlan,
} from '@pennon/protocol/management/public-catalog';
import type { Credential } from '../credential.js';
import type { EvaluationDependencies, EvaluationStamp } from '../evaluation-request.js';
import { evaluationScopeOf } from '../scope.js';
import { ServiceError } from '../service-error.js';
import { createOfferTexts, DEFAULT_LOCALE, type OfferTexts, supportedLocale } from './offer-texts.js';
import { type PlainHeaders, plainProduct } from './plain-input.js';

export interface PublicCatalogAnswer {
  readonly body: ApiPublicCatalog;
  readonly stamp: EvaluationStamp;
}

type PublicCatalogDependencies = Pick<
  EvaluationDependencies,
  'directory' | 'snapshots' | 'clock' | 'knownUntil'
>;

/**
 * What a pricing page and an upgrade prompt need of the catalog: offered plans and add-ons with the features that are sold and marked
 * `clientVisible`. INVARIANT: nothing of owners, rules, groups, segments or retired offers is in it; members are named one by one.
 */
export function readPublicCatalog(
  dependencies: PublicCatalogDependencies,
  credential: Credential,
  query: { readonly product_id?: string; readonly locale?: string },
  headers: PlainHeaders,
): PublicCatalogAnswer {
  const { directory, snapshots } = dependencies;
  const named = plainProduct(directory, credential, query.product_id || headers.product);
  const scope = evaluationScopeOf(directory, credential, { ...headers, product: named?.id });
  const locale = supportedLocale(query.locale || DEFAULT_LOCALE);
  if (locale === null) {
    throw new ServiceError(
      'invalid',
      'LOCALE_INVALID',
      `\`${query.locale ?? ''}\` is not a language tag. Write it like \`de-CH\`, or leave \`locale\` out.`,
    );
  }
  const snapshot = snapshots.current(scope.product.id, scope.environment.id);
  const now = dependencies.clock.now();
  const stamp = {
    revision: snapshot?.revision ?? 0,
    customerVersion: 0,
    asOf: Math.min(now, dependencies.knownUntil()),
  };
  return {
    body:
      snapshot === null ? nothingPublished(scope.product, locale) : pageOf(snapshot, scope.product, locale),
    stamp,
  };
}

interface Product {
  readonly id: string;
  readonly key: string;
}

function nothingPublished({ id, key }: Product, locale: string): ApiPublicCatalog {
  return { product: { id, key, name: key }, locale, plans: [], features: [], addons: [] };
}

/** A page is the same for everybody until the next publish; so many locales of one snapshot are remembered. */
const REMEMBERED_LOCALES = 16;
const pages = new WeakMap<Snapshot, Map<string, ApiPublicCatalog>>();

function pageOf(snapshot: Snapshot, product: Product, locale: string): ApiPublicCatalog {
  let known = pages.get(snapshot);
  if (known === undefined) {
    known = new Map();
    pages.set(snapshot, known);
  }
  let page = known.get(locale);
  if (page === undefined) {
    page = toPage(snapshot, product, createOfferTexts(locale));
    if (known.size >= REMEMBERED_LOCALES) known.clear();
    known.set(locale, page);
  }
  return page;
}

function toPage(snapshot: Snapshot, { id, key }: Product, texts: OfferTexts): ApiPublicCatalog {
  const offers = offersOf(snapshot);
  const { plans } = offers;
  const features = featuresSold(snapshot, plans, offers.addons);
  const shown = new Set(features.map((feature) => feature.key));
  const addons = offers.addons.filter((addon) =>
    [...addon.entitlements.keys()].some((feature) => shown.has(feature)),
  );
  return {
    product: { id, key, name: snapshot.productName ?? key },
    locale: texts.locale,
    plans: plans.map((plan) => toPlan(snapshot, plan, features, addons, texts)),
    features: features.map((feature) => toFeature(feature, plans, texts)),
    addons: addons.map((addon) => toAddon(snapshot, addon, plans, shown, texts)),
  };
}

/** Some offer gives it, it is sold rather than tried or drawn, and a browser may know of it. */
function featuresSold(
  snapshot: Snapshot,
  plans: readonly CompiledPlan[],
  addons: readonly CompiledAddon[],
): readonly CompiledFeature[] {
  const visible = snapshot.featureList.filter(({ clientVisible, document }) => {
    return clientVisible && document.category !== 'ux' && document.category !== 'experimental';
  });
  const given = new Set(addons.flatMap(({ entitlements }) => [...entitlements.keys()]));
  for (const plan of plans) {
    for (const { feature, included } of planRows(snapshot, plan, visible))
      if (included) given.add(feature.key);
  }
  return visible.filter(({ key }) => given.has(key));
}

function toPlan(
  snapshot: Snapshot,
  plan: CompiledPlan,
  features: readonly CompiledFeature[],
  addons: readonly CompiledAddon[],
  texts: OfferTexts,
): ApiPublicPlan {
  const { key, version, show } = plan;
  const rows = planRows(snapshot, plan, features).map(({ feature, included, limit, most }) => ({
    feature: feature.key,
    included,
    ...numberOf(limit),
    most: most === 'unlimited' ? UNLIMITED_AS_INTEGER : most,
    text: limit === null ? includedText(included) : texts.limit(feature, limit, most),
  }));
  return {
    key,
    version,
    name: show.name ?? key,
    description: show.description,
    isDefault: snapshot.defaultPlan === plan,
    price: texts.price(show.price),
    features: rows,
    addons: addons.filter((addon) => isSoldWith(addon, key)).map((addon) => addon.key),
  };
}

function includedText(included: boolean): string {
  return included ? 'Included' : 'Not included';
}

function numberOf(limit: number | 'unlimited' | null): {
  readonly limit: number | null;
  readonly unlimited: boolean;
} {
  return limit === 'unlimited'
    ? { limit: UNLIMITED_AS_INTEGER, unlimited: true }
    : { limit, unlimited: false };
}

function toFeature(
  feature: CompiledFeature,
  plans: readonly CompiledPlan[],
  texts: OfferTexts,
): ApiPublicFeature {
  const { key, type, per, reset, document } = feature;
  const { name, description, unit, topUps = [] } = document;
  const offered = topUps.filter((pack) => pack.offered !== false);
  return {
    key,
    name: name ?? key,
    description: description ?? null,
    type,
    unit: unit === undefined ? null : { one: unit.one, other: unit.other },
    per,
    period: reset === 'never' ? null : { every: reset.every, count: reset.count ?? 1 },
    ...(offered.length === 0 ? {} : { topUps: offered.map((pack) => toTopUp(pack, feature, plans, texts)) }),
  };
}

function toTopUp(
  { key, name, description, amount, validDays, price, plans: sold }: TopUpPack,
  feature: CompiledFeature,
  plans: readonly CompiledPlan[],
  texts: OfferTexts,
): NonNullable<ApiPublicFeature['topUps']>[number] {
  return {
    key,
    name: name ?? key,
    description: description ?? null,
    amount,
    validDays: validDays ?? null,
    price: texts.price(price === undefined ? null : { ...price, every: 'once' }),
    plans: plans.filter((plan) => sold === undefined || sold.includes(plan.key)).map((plan) => plan.key),
    text: texts.amount(feature, amount),
  };
}

function toAddon(
  snapshot: Snapshot,
  addon: CompiledAddon,
  plans: readonly CompiledPlan[],
  shown: ReadonlySet<string>,
  texts: OfferTexts,
): ApiPublicAddon {
  const { key, version, show, maxQuantity } = addon;
  const features: ApiPublicAddon['features'] = [];
  for (const [feature, { add, max, override }] of addon.entitlements) {
    const compiled = snapshot.features.get(feature);
    if (compiled === undefined || !shown.has(feature)) continue;
    const effect = add !== undefined ? 'add' : max !== undefined ? 'max' : 'override';
    const value = add ?? max ?? override;
    const limit = typeof value === 'number' || value === 'unlimited' ? value : null;
    const words = limit === null ? includedText(value !== false) : texts.limit(compiled, limit, null);
    const text = effect === 'add' ? `+${words}` : effect === 'max' ? `At least ${words}` : words;
    features.push({ feature, effect, ...numberOf(limit), text });
  }
  return {
    key,
    version,
    name: show.name ?? key,
    description: show.description,
    price: texts.price(show.price),
    plans: plans.filter((plan) => isSoldWith(addon, plan.key)).map((plan) => plan.key),
    maxQuantity,
    features,
  };
}
