import type { Level } from '../entitlement/level.js';
import { versionedKey } from '../model/catalog.js';
import {
  type CustomerState,
  type Grant,
  type GrantEffect,
  type GroupMembership,
  type Instant,
  type License,
  type SegmentMembership,
  TARGET_KINDS,
} from '../model/customer.js';
import type { JsonObject } from '../model/json.js';
import type { CompiledGroup, CompiledPlan, Snapshot } from '../snapshot/snapshot.js';

/**
 * What a grant does to one feature. A grant of a flag does it to each feature that the flag requires; a limit that it carries along
 * only raises, because opening a flag for somebody is never meant to take anything away.
 */
export type FeatureEffect =
  | Exclude<GrantEffect, { type: 'flag' | 'topUp' }>
  | { readonly type: 'raise'; readonly feature: string; readonly value: number | 'unlimited' };

export interface FeatureGrant {
  readonly grant: Grant;
  readonly effect: FeatureEffect;
  /** The flag whose grant carries this effect along. */
  readonly impliedBy: string | null;
}

export interface FlagGrant {
  readonly grant: Grant;
  readonly variant: string;
}

/**
 * One customer's state arranged for one snapshot: found once, used for every decision about the customer until its state or
 * the catalog changes. Nothing in it depends on the instant, but for what was remembered with the span it holds for.
 */
export interface PreparedCustomer {
  readonly snapshot: Snapshot;
  /** The SKU that was sent, and the same where it counts: a lapsed license silences it. */
  readonly askedSku: string | null;
  readonly sku: string | null;
  /** What was found out for everyone of this customer alike; see `remember`. Levels by `CompiledFeature.index`. */
  readonly levels: (Level | undefined)[];
  /** The server facts `plan` and `license`, and until when they hold (`null`: for ever), once they are known. */
  planKnown: boolean;
  plan: JsonObject | undefined;
  planUntil: Instant | null;
  /** The span for which all of it holds; `until: null` for ever. */
  from: Instant;
  until: Instant | null;
  /** By flag key; `null`: no grants at all, as with nearly everyone. */
  readonly flagGrants: ReadonlyMap<string, readonly FlagGrant[]> | null;
  /** Of the state; 0 without one. */
  readonly version: number;
  /** A license names a plan that the catalog does not have. */
  readonly mayMissPlan: boolean;
  license: JsonObject | undefined;
  readonly state: CustomerState | null;
  /** Licenses of this product, oldest first. */
  readonly licenses: readonly License[];
  /** The plan that holds without a license in force: the default plan, or what the SKU names. */
  readonly fallbackPlan: CompiledPlan | null;
  readonly groups: readonly {
    readonly group: CompiledGroup;
    readonly memberships: readonly GroupMembership[];
  }[];
  readonly memberships: ReadonlyMap<string, readonly SegmentMembership[]>;
  /** By feature key, nearest target first; ties: latest start, then id. */
  readonly featureGrants: ReadonlyMap<string, readonly FeatureGrant[]> | null;
  /** What was arranged for the same customer earlier: for another snapshot or SKU. */
  before: PreparedCustomer | null;
}

/**
 * Notes that what is remembered from now on holds from `now` to `until` only. One span for all of it: over many customers every further
 * number is one more line of memory to wait for.
 */
export function remember(prepared: PreparedCustomer, now: Instant, until: Instant | null): void {
  if (now > prepared.from) prepared.from = now;
  if (until !== null && (prepared.until === null || until < prepared.until)) prepared.until = until;
}

/** Whether all that is remembered holds at that instant. */
export function holdsAt({ from, until }: PreparedCustomer, now: Instant): boolean {
  return from <= now && (until === null || now < until);
}

/**
 * Forgets everything. INVARIANT: only where an evaluation begins, and no other one goes on meanwhile: what is remembered is asked for
 * its span nowhere else.
 */
export function forget(prepared: PreparedCustomer): void {
  prepared.levels.length = 0;
  prepared.planKnown = false;
  prepared.from = Number.NEGATIVE_INFINITY;
  prepared.until = null;
}

const NEARNESS: ReadonlyMap<string, number> = new Map(TARGET_KINDS.map((kind, index) => [kind, index]));

/** Nearest first; ties: latest start, then the later id. */
function byNearness(a: { readonly grant: Grant }, b: { readonly grant: Grant }): number {
  const nearness = (NEARNESS.get(a.grant.target.kind) ?? 9) - (NEARNESS.get(b.grant.target.kind) ?? 9);
  if (nearness !== 0) return nearness;
  if (a.grant.startsAt !== b.grant.startsAt) return b.grant.startsAt - a.grant.startsAt;
  return a.grant.id < b.grant.id ? 1 : a.grant.id > b.grant.id ? -1 : 0;
}

function push<T>(map: Map<string, T[]>, key: string, value: T): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}

/**
 * INVARIANT: a grant of a flag acts on the features that the flag requires for the same target and span, so that reads of the flag
 * and of the feature never disagree. `requires: respect` leaves them out; limits are given only where the grant names them.
 */
function* impliedEffects(
  effect: GrantEffect & { type: 'flag' },
  snapshot: Snapshot,
): Generator<FeatureEffect> {
  if (effect.requires === 'respect') return;
  for (const key of snapshot.flags.get(effect.flag)?.requires ?? []) {
    const feature = snapshot.features.get(key);
    if (feature === undefined) continue;
    const limit: number | 'unlimited' | undefined =
      effect.limits !== undefined && Object.hasOwn(effect.limits, key) ? effect.limits[key] : undefined;
    if (feature.type === 'boolean') yield { type: 'set', feature: key, value: true };
    else if (feature.numeric && limit !== undefined) yield { type: 'raise', feature: key, value: limit };
  }
}

function arrangeGrants(
  grants: readonly Grant[],
  snapshot: Snapshot,
): Pick<PreparedCustomer, 'featureGrants' | 'flagGrants'> {
  if (grants.length === 0) return { featureGrants: null, flagGrants: null };
  const featureGrants = new Map<string, FeatureGrant[]>();
  const flagGrants = new Map<string, FlagGrant[]>();
  for (const grant of grants) {
    if (grant.product !== snapshot.productKey) continue;
    const effect = grant.effect;
    // A top-up is a lot of the account, and no part of what is granted for as long as the grant holds.
    if (effect.type === 'topUp') continue;
    if (effect.type !== 'flag') {
      push(featureGrants, effect.feature, { grant, effect, impliedBy: null });
      continue;
    }
    push(flagGrants, effect.flag, { grant, variant: effect.variant });
    for (const implied of impliedEffects(effect, snapshot)) {
      push(featureGrants, implied.feature, { grant, effect: implied, impliedBy: effect.flag });
    }
  }
  for (const list of featureGrants.values()) list.sort(byNearness);
  for (const list of flagGrants.values()) list.sort(byNearness);
  return { featureGrants, flagGrants };
}

function arrangeGroups(state: CustomerState | null, snapshot: Snapshot): PreparedCustomer['groups'] {
  const byGroup = new Map<string, GroupMembership[]>();
  for (const membership of state?.groups ?? []) push(byGroup, membership.group, membership);
  const groups: { group: CompiledGroup; memberships: readonly GroupMembership[] }[] = [];
  for (const [key, memberships] of byGroup) {
    const group = snapshot.groups.get(key);
    if (group !== undefined) groups.push({ group, memberships });
  }
  return groups.sort((a, b) => a.group.order - b.group.order);
}

function byAge(a: License, b: License): number {
  if (a.startsAt !== b.startsAt) return a.startsAt - b.startsAt;
  return a.id < b.id ? -1 : a.id > b.id ? 1 : 0;
}

function isMissing({ plan, planVersion, next }: License, snapshot: Snapshot): boolean {
  if (!snapshot.plans.has(versionedKey(plan, planVersion))) return true;
  return next != null && !snapshot.plans.has(versionedKey(next.plan, next.planVersion));
}

export function prepareCustomer(
  snapshot: Snapshot,
  state: CustomerState | null,
  sku: { readonly text: string; readonly plan: CompiledPlan | null } | null,
): PreparedCustomer {
  const licenses = (state?.licenses ?? []).filter((license) => license.product === snapshot.productKey);
  const memberships = new Map<string, SegmentMembership[]>();
  for (const membership of state?.memberships ?? []) push(memberships, membership.segment, membership);
  // A SKU speaks for a customer of whom no license of this product is known; a lapsed license is known.
  const bySku = licenses.length === 0 ? sku : null;
  const { featureGrants, flagGrants } = arrangeGrants(state?.grants ?? [], snapshot);
  return {
    snapshot,
    askedSku: sku?.text ?? null,
    sku: bySku?.text ?? null,
    levels: [],
    planKnown: false,
    plan: undefined,
    planUntil: null,
    from: Number.NEGATIVE_INFINITY,
    until: null,
    flagGrants,
    version: state?.version ?? 0,
    mayMissPlan: licenses.some((license) => isMissing(license, snapshot)),
    license: undefined,
    state,
    licenses: licenses.sort(byAge),
    fallbackPlan: bySku === null ? snapshot.defaultPlan : bySku.plan,
    groups: arrangeGroups(state, snapshot),
    memberships,
    featureGrants,
    before: null,
  };
}
