import { CelError } from '../cel/values.js';
import { resolveEntitlement } from '../entitlement/resolve-entitlement.js';
import { NEVER } from '../evaluation/edges.js';
import { termsAt } from '../evaluation/license-terms.js';
import { beginEvaluation } from '../flag/layers.js';
import type { Price, TopUpPack } from '../model/catalog.js';
import type { CustomerState, Instant } from '../model/customer.js';
import type { EntitlementDecision } from '../model/decision.js';
import type { EvaluationRequest } from '../model/evaluation.js';
import { LIMITS } from '../model/limits.js';
import type {
  AddonOption,
  Remedy,
  RemedyAddon,
  RemedyOption,
  TopUpOption,
  UpgradeOption,
} from '../model/remedy.js';
import { isCompiledSplit } from '../snapshot/compile-offers.js';
import type { CompiledAddon, CompiledPlan, Snapshot } from '../snapshot/snapshot.js';
import { combinationsOf, pricedAddon, pricedPlan, pricedTogether } from './combinations.js';
import { comparePrices, isCheaper, type Priced, sumOf } from './compare-prices.js';
import { fewestPieces } from './fewest-pieces.js';
import { isSoldWith, offersOf, priceOf } from './offers.js';
import {
  heldOf,
  type Purchase,
  restored,
  type Standing,
  standingOf,
  unknownCustomer,
  withAddon,
  withPlan,
  withTopUp,
} from './trial-state.js';

/** So many changes of the right by time alone are looked ahead for one that lets the customer in. */
const WAIT_STEPS = 4;

/** What is asked: the feature of a denial, and the amount that did not fit. */
interface Question {
  readonly key: string;
  readonly amount: number;
  /** Whose account it is; `null`: more of the feature is not what is missing. */
  readonly scope: string | null;
}

/**
 * Looks for what would turn denials of one request into access (X-2, C-4). Every candidate is tried by resolving the entitlement as if
 * the customer had bought it: a group that replaces plans, a `deny` or a frozen limit make a plan useless, and only the decision
 * itself knows. One search serves all denials of an answer, so that each plan is put into the customer's state once.
 */
export class RemedySearch {
  readonly #request: EvaluationRequest<Snapshot>;
  readonly #standing: Standing | null;
  readonly #withPlan = new Map<string, Purchase>();
  #trialsLeft: number;

  constructor(request: EvaluationRequest<Snapshot>, options: { readonly trials?: number } = {}) {
    this.#request = request;
    this.#trialsLeft = options.trials ?? LIMITS.remedyTrials.value;
    const { customer, subject } = request;
    this.#standing =
      customer === 'unavailable' || !subject.proven
        ? null
        : standingOf(request, customer ?? unknownCustomer(subject.customerKey ?? ''));
  }

  /**
   * @param amount that was asked for.
   * @returns `null` where there is access, or nobody whose purchase could be tried; `omitted` when this answer has tried enough: ask about
   * that feature alone.
   */
  remedyFor(decision: EntitlementDecision, amount = 1): Remedy | 'omitted' | null {
    const standing = this.#standing;
    if (decision.hasAccess || standing === null) return null;
    if (this.#trialsLeft <= 0) return 'omitted';
    const scope = decision.reason === 'LIMIT_REACHED' ? decision.scope : null;
    const question = { key: decision.key, amount, scope };
    const at = this.#waitUntil(question, standing, decision);
    const [first, ...others] = this.#isHeldBack(question, standing) ? [] : this.#options(question, standing);
    if (first !== undefined) return { kind: first.kind, at, options: [first, ...others] };
    return at === null ? { kind: 'contact', at, options: [] } : { kind: 'wait', at, options: [] };
  }

  #resolve({ key, amount }: Question, customer: CustomerState, now: Instant): EntitlementDecision | null {
    this.#trialsLeft -= 1;
    const decision = resolveEntitlement({ ...this.#request, customer, now }, key, { amount });
    return decision.kind === 'entitlement' ? decision : null;
  }

  #lifted(question: Question, customer: CustomerState): EntitlementDecision | null {
    const decision = this.#resolve(question, customer, this.#request.now);
    return decision?.hasAccess === true ? decision : null;
  }

  /**
   * When time alone lets the customer in: at the end of the period for who has the right, else when the right itself changes (a grant or a
   * license begins, a `deny` ends). Only those instants are tried.
   */
  #waitUntil(question: Question, { state }: Standing, denial: EntitlementDecision): Instant | null {
    // What is remembered with a state is of its instants: another copy keeps that of now where it is.
    const later = { ...state };
    let decision: EntitlementDecision | null = denial;
    let now = this.#request.now;
    for (let step = 0; step < WAIT_STEPS && decision !== null; step += 1) {
      const edge = this.#rightHoldsUntil(question, step === 0 ? state : later, now);
      const refill = decision.granted ? (decision.period?.end ?? NEVER) : NEVER;
      if (refill < edge && this.#resolve(question, later, refill)?.hasAccess === true) return refill;
      if (edge === NEVER || edge <= now) return null;
      now = edge;
      decision = this.#resolve(question, later, now);
      if (decision?.hasAccess === true) return now;
    }
    return null;
  }

  #rightHoldsUntil({ key }: Question, customer: CustomerState, now: Instant): Instant {
    const feature = this.#request.snapshot.features.get(key);
    if (feature === undefined) return NEVER;
    const level = beginEvaluation({ ...this.#request, customer, now }).level(feature);
    return level instanceof CelError ? NEVER : (level.until ?? NEVER);
  }

  /** What was bought and is only held back by a payment or a pause is not to be bought a second time. */
  #isHeldBack(question: Question, standing: Standing): boolean {
    return standing.heldBack.some((license) => this.#lifted(question, restored(standing, license)) !== null);
  }

  /** All that lift the "no", the cheapest first. */
  #options(question: Question, standing: Standing): readonly RemedyOption[] {
    const plans = this.#candidates(question.key, standing);
    const addons = offersOf(this.#request.snapshot).addonsByFeature.get(question.key) ?? [];
    const packs = question.scope === null ? [] : packsFor(question.key, standing, this.#request.snapshot);
    const currency = currencyOf(standing, [...plans, ...addons, ...packs.map((pack) => ({ show: pack }))]);
    const rank = standing.plan?.rank ?? 0;
    const found: Found[] = [];
    const inOrder = plans
      .map((plan) => ({ plan, priced: pricedPlan(plan) }))
      .sort((left, right) => comparePrices(left.priced, right.priced, currency));
    for (const { plan, priced } of inOrder) {
      if (found.length >= LIMITS.remedyOptions.value) break;
      const option = this.#upgrade(question, standing, plan);
      if (option !== null) found.push({ option, priced });
    }
    for (const addon of addons) {
      const option = this.#extra(question, standing, addon);
      if (option !== null) found.push({ option, priced: pricedAddon(addon, rank, option.quantity) });
    }
    for (const pack of packs) {
      const option = this.#topUp(question, standing, pack);
      if (option !== null) found.push({ option, priced: { price: option.price, rank, name: pack.key } });
    }
    found.push(...this.#combinations(question, standing, found, currency));
    return found
      .sort((left, right) => comparePrices(left.priced, right.priced, currency))
      .slice(0, LIMITS.remedyOptions.value)
      .map(({ option }) => option);
  }

  /**
   * Plans with an add-on, where neither helps alone, or where both together cost less than whatever does. The cheapest are tried first, so
   * that a search ends when not even one piece would be cheaper than what is found.
   */
  #combinations(
    question: Question,
    standing: Standing,
    alone: readonly Found[],
    currency: string | null,
  ): readonly Found[] {
    const { addonsByFeature, plans } = offersOf(this.#request.snapshot);
    const rank = standing.plan?.rank ?? 0;
    const helping = new Set(alone.map(({ option }) => (option.kind === 'upgrade' ? option.plan : null)));
    const order = (one: Priced, other: Priced) => comparePrices(one, other, currency);
    // The plan that holds without a license has none that could hold an add-on, until it is bought.
    const bare = standing.license === null ? { ...standing, plan: null } : standing;
    const others = this.#worthTrying(question.key, bare, plans)
      .filter(({ key, rank: own }) => own >= rank && !helping.has(key))
      .sort((left, right) => order(pricedPlan(left), pricedPlan(right)));
    const addons = [...(addonsByFeature.get(question.key) ?? [])].sort((left, right) =>
      order(pricedAddon(left, rank), pricedAddon(right, rank)),
    );
    const cheapest = alone.map(({ priced }) => priced).sort(order)[0];
    const found: Found[] = [];
    let tries = LIMITS.remedyCombinations.value;
    for (const { plan, addon, atLeast } of combinationsOf(others, addons, currency)) {
      if (tries <= 0 || this.#trialsLeft <= 0 || found.length >= LIMITS.remedyOptions.value) break;
      if (cheapest !== undefined && !isCheaper(atLeast, cheapest, currency)) continue;
      tries -= 1;
      const option = this.#together(question, standing, plan, addon);
      if (option === null) continue;
      const [{ quantity }] = option.together.addons;
      const priced = pricedTogether(plan, addon, quantity);
      if (cheapest === undefined || isCheaper(priced, cheapest, currency)) found.push({ option, priced });
    }
    // Beside what helps alone, one is enough: the cheapest of all.
    const sorted = found.sort((left, right) => order(left.priced, right.priced));
    return cheapest === undefined ? sorted : sorted.slice(0, 1);
  }

  /**
   * Plans worth a trial: offered, not below the present one (nobody is told to buy less), not the present one itself. Only plans that name
   * the feature can give it, except where segments look at the plan, or where the plan in place takes away what another license gives.
   */
  #candidates(key: string, standing: Standing): readonly CompiledPlan[] {
    const { snapshot } = this.#request;
    const { plans, plansByFeature } = offersOf(snapshot);
    const feature = snapshot.features.get(key);
    const bySegment =
      snapshot.segmentsByFeature.has(key) ||
      standing.state.grants.some((one) => one.target.kind === 'segment');
    const others = feature?.combine === 'last' && standing.licenses.length > 1;
    const all = bySegment || others ? plans : (plansByFeature.get(key) ?? []);
    return this.#worthTrying(key, standing, all);
  }

  #worthTrying(
    key: string,
    { plan: present, license }: Standing,
    plans: readonly CompiledPlan[],
  ): CompiledPlan[] {
    return plans.filter((plan) => {
      if (present !== null && (plan.rank < present.rank || plan.name === present.name)) return false;
      if (license !== null) return true;
      // Which share of a split a license that does not exist yet will get cannot be told.
      const entry = plan.entitlements.get(key);
      return entry === undefined || !isCompiledSplit(entry) || entry.by !== 'license.id';
    });
  }

  #bought(standing: Standing, plan: CompiledPlan): Purchase {
    let purchase = this.#withPlan.get(plan.name);
    if (purchase === undefined) {
      purchase = withPlan(standing, plan, this.#request.snapshot, this.#request.now);
      this.#withPlan.set(plan.name, purchase);
    }
    return purchase;
  }

  #upgrade(question: Question, standing: Standing, plan: CompiledPlan): UpgradeOption | null {
    const decision = this.#lifted(question, this.#bought(standing, plan).state);
    if (decision === null) return null;
    const { name, price } = plan.show;
    const { key, version } = plan;
    return { kind: 'upgrade', plan: key, version, name, limit: limitOf(decision), price: priceOf(price) };
  }

  #extra(question: Question, standing: Standing, addon: CompiledAddon): AddonOption | null {
    for (const license of standing.licenses) {
      const held = isSoldWith(addon, termsAt(license, this.#request.now).plan)
        ? heldOf(license, addon)
        : null;
      if (held === null) continue;
      const enough = this.#fewest(question, { state: standing.state, license }, addon, held);
      if (enough === null) continue;
      const { quantity, decision } = enough;
      return { kind: 'addon', ...shownAddon(addon, quantity), limit: limitOf(decision) };
    }
    return null;
  }

  #topUp({ scope, ...question }: Question, standing: Standing, pack: TopUpPack): TopUpOption | null {
    if (scope === null) return null;
    const { snapshot, now } = this.#request;
    const account = { product: snapshot.productKey, feature: question.key, scope };
    const most = Math.min(LIMITS.lotsPerAccount.value, Math.floor(LIMITS.quantity.value / pack.amount));
    const enough = fewestPieces(most, true, (quantity) =>
      this.#lifted({ ...question, scope }, withTopUp(standing, account, pack.amount * quantity, now)),
    );
    if (enough === null) return null;
    const { quantity, result } = enough;
    const units = pack.amount * quantity;
    const price = priceOf(pack.price === undefined ? null : { ...pack.price, every: 'once' }, quantity);
    const shown = { feature: question.key, topUp: pack.key, name: pack.name ?? null, quantity, units };
    return { kind: 'topup', ...shown, limit: limitOf(result), price };
  }

  #together(
    question: Question,
    standing: Standing,
    plan: CompiledPlan,
    addon: CompiledAddon,
  ): Together | null {
    const purchase = this.#bought(standing, plan);
    const held = heldOf(purchase.license, addon);
    const enough = held === null ? null : this.#fewest(question, purchase, addon, held);
    if (enough === null) return null;
    const { name, price } = plan.show;
    const { key, version } = plan;
    const planPrice = priceOf(price);
    const extra = shownAddon(addon, enough.quantity);
    const sum = sumOf([planPrice, extra.price]);
    const limit = limitOf(enough.decision);
    const together = { planPrice, addons: [extra] as const };
    return { kind: 'upgrade', plan: key, version, name, limit, price: sum, together };
  }

  #fewest(
    question: Question,
    purchase: Purchase,
    addon: CompiledAddon,
    held: number,
  ): { readonly quantity: number; readonly decision: EntitlementDecision } | null {
    const most = (addon.maxQuantity ?? LIMITS.quantity.value) - held;
    const grows = (addon.entitlements.get(question.key)?.add ?? 0) > 0;
    const fewest = fewestPieces(most, grows, (quantity) =>
      this.#lifted(question, withAddon(purchase, purchase.license, addon, held + quantity)),
    );
    return fewest === null ? null : { quantity: fewest.quantity, decision: fewest.result };
  }
}

interface Found {
  readonly option: RemedyOption;
  readonly priced: Priced;
}

type Together = UpgradeOption & Required<Pick<UpgradeOption, 'together'>>;

function shownAddon(addon: CompiledAddon, quantity: number): RemedyAddon {
  const { name, price } = addon.show;
  return { addon: addon.key, version: addon.version, name, quantity, price: priceOf(price, quantity) };
}

function limitOf({ limit }: EntitlementDecision): RemedyOption['limit'] {
  return limit === null || limit.kind === 'finite' ? (limit?.value ?? null) : limit.kind;
}

/** The amounts of a feature that the customer may buy. */
function packsFor(key: string, { plan }: Standing, { features }: Snapshot): readonly TopUpPack[] {
  const packs = features.get(key)?.document.topUps ?? [];
  return packs.filter(
    ({ offered, plans }) =>
      offered !== false && (plans === undefined || (plan !== null && plans.includes(plan.key))),
  );
}

/** In which currency the customer pays: as its attribute `currency` says, else that of its plan, else the only one that is asked. */
function currencyOf(
  { state, plan }: Standing,
  offers: readonly { readonly show: { readonly price?: Price | null | undefined } }[],
): string | null {
  const own = state.attributes['currency'];
  if (typeof own === 'string') return own;
  const paid = plan?.show.price?.currency;
  if (paid !== undefined) return paid;
  const asked = new Set(offers.flatMap(({ show }) => show.price?.currency ?? []));
  const [only] = asked;
  return asked.size === 1 && only !== undefined ? only : null;
}
