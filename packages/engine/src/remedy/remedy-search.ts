import { CelError } from '../cel/values.js';
import { resolveEntitlement } from '../entitlement/resolve-entitlement.js';
import { NEVER } from '../evaluation/edges.js';
import { termsAt } from '../evaluation/license-terms.js';
import { beginEvaluation } from '../flag/layers.js';
import type { CustomerState, Instant, License } from '../model/customer.js';
import type { EntitlementDecision } from '../model/decision.js';
import type { EvaluationRequest } from '../model/evaluation.js';
import { LIMITS } from '../model/limits.js';
import type { AddonOption, Remedy, RemedyOption, UpgradeOption } from '../model/remedy.js';
import { isCompiledSplit } from '../snapshot/compile-offers.js';
import type { CompiledAddon, CompiledPlan, Snapshot } from '../snapshot/snapshot.js';
import { comparePrices, type Priced } from './compare-prices.js';
import { isSoldWith, offersOf, priceOf } from './offers.js';
import {
  heldOf,
  restored,
  type Standing,
  standingOf,
  unknownCustomer,
  withAddon,
  withPlan,
} from './trial-state.js';

/** So many changes of the right by time alone are looked ahead for one that lets the customer in. */
const WAIT_STEPS = 4;

/** What is asked: the feature of a denial, and the amount that did not fit. */
interface Question {
  readonly key: string;
  readonly amount: number;
}

/**
 * Looks for what would turn denials of one request into access (X-2, C-4). Every candidate is tried by resolving the entitlement as if
 * the customer had bought it: a group that replaces plans, a `deny` or a frozen limit make a plan useless, and only the decision
 * itself knows. One search serves all denials of an answer, so that each plan is put into the customer's state once.
 */
export class RemedySearch {
  readonly #request: EvaluationRequest<Snapshot>;
  readonly #standing: Standing | null;
  readonly #withPlan = new Map<string, CustomerState>();
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
    const question = { key: decision.key, amount };
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
    const currency = currencyOf(standing, [...plans, ...addons]);
    const rank = standing.plan?.rank ?? 0;
    const found: { readonly option: RemedyOption; readonly priced: Priced }[] = [];
    const inOrder = plans
      .map((plan) => ({
        plan,
        priced: { price: priceOf(plan.show.price), rank: plan.rank, name: plan.name },
      }))
      .sort((left, right) => comparePrices(left.priced, right.priced, currency));
    for (const { plan, priced } of inOrder) {
      if (found.length >= LIMITS.remedyOptions.value) break;
      const option = this.#upgrade(question, standing, plan);
      if (option !== null) found.push({ option, priced });
    }
    for (const addon of addons) {
      const option = this.#extra(question, standing, addon);
      if (option !== null) found.push({ option, priced: { price: option.price, rank, name: addon.name } });
    }
    return found
      .sort((left, right) => comparePrices(left.priced, right.priced, currency))
      .slice(0, LIMITS.remedyOptions.value)
      .map(({ option }) => option);
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
    const { plan: present, license } = standing;
    return all.filter((plan) => {
      if (present !== null && (plan.rank < present.rank || plan.name === present.name)) return false;
      // Which share of a split a license that does not exist yet will get cannot be told.
      const entry = plan.entitlements.get(key);
      return !(
        license === null &&
        entry !== undefined &&
        isCompiledSplit(entry) &&
        entry.by === 'license.id'
      );
    });
  }

  #upgrade(question: Question, standing: Standing, plan: CompiledPlan): UpgradeOption | null {
    let state = this.#withPlan.get(plan.name);
    if (state === undefined) {
      state = withPlan(standing, plan, this.#request.snapshot, this.#request.now);
      this.#withPlan.set(plan.name, state);
    }
    const decision = this.#lifted(question, state);
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
      const most = (addon.maxQuantity ?? LIMITS.quantity.value) - held;
      const enough = this.#fewest(question, standing, license, addon, held, most);
      if (enough === null) continue;
      const { quantity, decision } = enough;
      const { name, price } = addon.show;
      const { key, version } = addon;
      return {
        kind: 'addon',
        addon: key,
        version,
        name,
        quantity,
        limit: limitOf(decision),
        price: priceOf(price, quantity),
      };
    }
    return null;
  }

  /** The fewest pieces that lift the "no". More of them never give less, so that the number is halved in. */
  #fewest(
    question: Question,
    standing: Standing,
    license: License,
    addon: CompiledAddon,
    held: number,
    most: number,
  ): { readonly quantity: number; readonly decision: EntitlementDecision } | null {
    if (most < 1) return null;
    const tried = (quantity: number): EntitlementDecision | null =>
      this.#lifted(question, withAddon(standing, license, addon, held + quantity));
    let quantity = 1;
    let decision = tried(quantity);
    const each = addon.entitlements.get(question.key)?.add ?? 0;
    let below = 0;
    while (decision === null) {
      if (each <= 0 || quantity >= most) return null;
      below = quantity;
      quantity = Math.min(quantity * 2, most);
      decision = tried(quantity);
    }
    while (quantity - below > 1) {
      const middle = below + Math.floor((quantity - below) / 2);
      const fewer = tried(middle);
      if (fewer === null) below = middle;
      else {
        quantity = middle;
        decision = fewer;
      }
    }
    return { quantity, decision };
  }
}

function limitOf({ limit }: EntitlementDecision): RemedyOption['limit'] {
  return limit === null || limit.kind === 'finite' ? (limit?.value ?? null) : limit.kind;
}

/** In which currency the customer pays: as its attribute `currency` says, else that of its plan, else the only one that is asked. */
function currencyOf(
  { state, plan }: Standing,
  offers: readonly (CompiledPlan | CompiledAddon)[],
): string | null {
  const own = state.attributes['currency'];
  if (typeof own === 'string') return own;
  const paid = plan?.show.price?.currency;
  if (paid !== undefined) return paid;
  const asked = new Set(offers.flatMap(({ show }) => show.price?.currency ?? []));
  const [only] = asked;
  return asked.size === 1 && only !== undefined ? only : null;
}
