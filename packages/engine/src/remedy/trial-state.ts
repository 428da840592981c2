import { licenseLapse } from '../evaluation/edges.js';
import { speakingLicense } from '../evaluation/plan-facts.js';
import { preparedFor } from '../evaluation/prepared-cache.js';
import type { AccountState, CustomerState, Instant, License } from '../model/customer.js';
import type { EvaluationRequest } from '../model/evaluation.js';
import { DEFAULT_LOT_PRIORITY } from '../model/limits.js';
import { anchorAt, calendarAnchor, isTimeZone } from '../period/anchor.js';
import type { CompiledAddon, CompiledPlan, Snapshot } from '../snapshot/snapshot.js';
import { isSoldWith } from './offers.js';

/*
 * The customer as it would be after a purchase. The state is all that changes; whether the purchase helps is then asked of the same
 * functions that decide in production (law 3).
 */

/** What the customer has bought now: the license of the highest rank, or none and the plan that holds without one. */
export interface Standing {
  readonly state: CustomerState;
  /** In force, of this product, the one that speaks first. */
  readonly licenses: readonly License[];
  /** Held back by a payment or a pause. */
  readonly heldBack: readonly License[];
  readonly license: License | null;
  readonly plan: CompiledPlan | null;
}

export function standingOf(request: EvaluationRequest<Snapshot>, state: CustomerState): Standing {
  const { snapshot, subject, now } = request;
  const prepared = preparedFor(snapshot, state, subject.sku);
  const spoken = speakingLicense(prepared, now);
  const license = spoken?.license ?? null;
  const inForce = prepared.licenses.filter((one) => licenseLapse(one, now) === null);
  return {
    state,
    licenses: license === null ? inForce : [license, ...inForce.filter((one) => one !== license)],
    heldBack: prepared.licenses.filter((one) => {
      const lapse = licenseLapse(one, now);
      return lapse === 'past-due' || lapse === 'paused';
    }),
    license,
    plan: spoken?.plan ?? (inForce.length === 0 ? prepared.fallbackPlan : null),
  };
}

/** Somebody of whom nothing is known, so that a purchase has a state to stand in. */
export function unknownCustomer(key: string): CustomerState {
  return {
    id: null,
    key,
    version: 0,
    createdAt: null,
    timeZone: null,
    attributes: {},
    licenses: [],
    groups: [],
    memberships: [],
    grants: [],
    accounts: [],
  };
}

/** A state with the license that was bought or changed in it. */
export interface Purchase {
  readonly state: CustomerState;
  readonly license: License;
}

/** The plan in place of the one that speaks. Add-ons that are not sold with it go; the anchor stays, and so does what was used. */
export function withPlan(
  { state, license }: Standing,
  plan: CompiledPlan,
  snapshot: Snapshot,
  now: Instant,
): Purchase {
  const bought = {
    plan: plan.key,
    planVersion: plan.version,
    status: 'active' as const,
    sku: null,
    next: null,
  };
  if (license === null) {
    const made = { ...newLicense(state, snapshot, now), ...bought };
    return { state: { ...state, licenses: [...state.licenses, made] }, license: made };
  }
  const trial = license.kind === 'trial';
  const addons = license.addons.filter(({ addon, version }) => {
    const held = snapshot.addons.get(`${addon}@${version}`);
    return held === undefined || isSoldWith(held, plan.key);
  });
  const changed: License = {
    ...license,
    ...bought,
    addons,
    ...(trial ? { kind: 'paid', endsAt: null } : {}),
  };
  return { state: replaced(state, license, changed), license: changed };
}

/** A license of its own follows the periods that the customer is in already, so that nothing looks unused for being bought. */
function newLicense(
  state: CustomerState,
  snapshot: Snapshot,
  now: Instant,
): Omit<License, 'plan' | 'planVersion' | 'status'> {
  const zone = [state.timeZone, snapshot.timeZone].find((name) => name !== null && isTimeZone(name)) ?? 'UTC';
  return {
    id: '',
    product: snapshot.productKey,
    quantity: 1,
    kind: 'paid',
    startsAt: now,
    endsAt: null,
    graceEndsAt: null,
    anchor: state.createdAt === null ? calendarAnchor(zone) : anchorAt(state.createdAt, zone),
    timeZone: null,
    sku: null,
    addons: [],
  };
}

/** How many pieces of the add-on a license has; `null`: of another version, beside which this one cannot be had. */
export function heldOf(license: License, addon: CompiledAddon): number | null {
  const held = license.addons.find((one) => one.addon === addon.key);
  if (held === undefined) return 0;
  return held.version === addon.version ? held.quantity : null;
}

/** @param quantity pieces in all. */
export function withAddon(
  { state }: Pick<Standing, 'state'>,
  license: License,
  addon: CompiledAddon,
  quantity: number,
): CustomerState {
  const others = license.addons.filter((one) => one.addon !== addon.key);
  const addons = [...others, { addon: addon.key, version: addon.version, quantity }];
  return replaced(state, license, { ...license, addons });
}

/** An account with an amount more that does not end. */
export function withTopUp(
  { state }: Pick<Standing, 'state'>,
  { product, feature, scope }: { readonly product: string; readonly feature: string; readonly scope: string },
  units: number,
  now: Instant,
): CustomerState {
  const before = state.accounts.find(
    (one) => one.feature === feature && one.scope === scope && (one.product ?? product) === product,
  );
  const account: AccountState = before ?? {
    product,
    feature,
    scope,
    periodStart: null,
    used: 0,
    reserved: 0,
  };
  const span = { createdAt: now, startsAt: now, endsAt: null };
  const lot = {
    id: '',
    kind: 'topup',
    priority: DEFAULT_LOT_PRIORITY,
    amount: units,
    remaining: units,
    ...span,
  } as const;
  const accounts = state.accounts.filter((one) => one !== before);
  return { ...state, accounts: [...accounts, { ...account, lots: [...(account.lots ?? []), lot] }] };
}

/** A license that is held back, in force again. */
export function restored({ state }: Standing, license: License): CustomerState {
  return replaced(state, license, { ...license, status: 'active' });
}

function replaced(state: CustomerState, before: License, after: License): CustomerState {
  return { ...state, licenses: state.licenses.map((license) => (license === before ? after : license)) };
}
