import { CelError } from '../cel/values.js';
import { spanInForce } from '../entitlement/apply-groups.js';
import { licenseEdge, licenseLapse } from '../evaluation/edges.js';
import type { Evaluation } from '../evaluation/evaluation.js';
import type { PreparedCustomer } from '../evaluation/prepared-customer.js';
import { beginEvaluation } from '../flag/layers.js';
import { versionedKey } from '../model/catalog.js';
import type { SourceType } from '../model/decision.js';
import type { EvaluationRequest } from '../model/evaluation.js';
import type { CompiledGroup, CompiledPlan, Snapshot } from '../snapshot/snapshot.js';

/** Who bound what is on, the highest first (F-3). */
export const FEATURE_FLAG_SOURCES = ['user', 'customer_group', 'plan_default_group', 'plan', 'none'] as const;
export type FeatureFlagSource = (typeof FEATURE_FLAG_SOURCES)[number];

export interface FeatureFlags {
  readonly kind: 'flags';
  /** Every boolean feature and flag that may be seen, sorted by key. */
  readonly flags: ReadonlyMap<string, boolean>;
  /** The highest that took part. */
  readonly source: FeatureFlagSource;
  /** The highest group that applied. */
  readonly group: string | null;
}

/** A fact could not be read: no list of plain booleans is honest then. */
export interface FeatureFlagsFault {
  readonly kind: 'unavailable';
  readonly message: string;
}

/** Grants are told apart by their target; everything else by its type. An add-on is part of what was bought. */
const BY_TYPE: Record<Exclude<SourceType, 'grant' | 'voucher'>, FeatureFlagSource> = {
  segment: 'user',
  group: 'customer_group',
  default_group: 'plan_default_group',
  plan: 'plan',
  trial: 'plan',
  default: 'plan',
  addon: 'plan',
  topup: 'user',
};

/** What took part so far, by its source. */
class Parts {
  readonly #seen = new Set<FeatureFlagSource>();
  readonly #prepared: PreparedCustomer;
  #grants: ReadonlyMap<string, { readonly kind: string; readonly key: string }> | null = null;
  group: CompiledGroup | null = null;

  constructor(prepared: PreparedCustomer) {
    this.#prepared = prepared;
  }

  add(source: FeatureFlagSource): void {
    this.#seen.add(source);
  }

  /** A grant to a group is the group's; any other is somebody's own. */
  addGrant(id: string): void {
    this.#grants ??= new Map(this.#prepared.state?.grants.map((grant) => [grant.id, grant.target]));
    const target = this.#grants.get(id);
    const group = target?.kind === 'group' ? this.#prepared.snapshot.groups.get(target.key) : undefined;
    this.add(group === undefined ? 'user' : 'customer_group');
    if (group !== undefined && (this.group === null || group.order > this.group.order)) this.group = group;
  }

  get highest(): FeatureFlagSource {
    return FEATURE_FLAG_SOURCES.find((source) => this.#seen.has(source)) ?? 'none';
  }
}

/**
 * Every boolean feature and boolean flag as a plain boolean, and who decided at the highest (F-2, F-3). A flag without a value of its
 * own here (`code-default`), or one that cannot be evaluated, is false.
 */
export function featureFlagsOf(
  request: EvaluationRequest<Snapshot>,
  options: { readonly clientVisibleOnly: boolean },
): FeatureFlags | FeatureFlagsFault {
  const evaluation = beginEvaluation(request);
  const { customer, snapshot } = evaluation;
  if (customer === null) return { kind: 'unavailable', message: evaluation.unavailable.message };
  const parts = new Parts(customer);
  const flags = new Map<string, boolean>();
  const features = new Set<string>();
  for (const key of snapshot.keys) {
    const item = snapshot.features.get(key) ?? snapshot.flags.get(key);
    if (item?.type !== 'boolean' || (options.clientVisibleOnly && !item.clientVisible)) continue;
    const isFeature = snapshot.features.has(key);
    if (isFeature) features.add(key);
    const value = isFeature ? featureValue(evaluation, key, parts) : flagValue(evaluation, key, parts);
    if (value instanceof CelError) return { kind: 'unavailable', message: value.message };
    flags.set(key, value);
  }
  addGroups(evaluation, customer, features, parts);
  addPlans(evaluation, customer, features, parts);
  return { kind: 'flags', flags, source: parts.highest, group: parts.group?.key ?? null };
}

function featureValue(evaluation: Evaluation, key: string, parts: Parts): boolean | CelError {
  const feature = evaluation.snapshot.features.get(key);
  if (feature === undefined) return false;
  const level = evaluation.level(feature);
  if (level instanceof CelError) return level;
  for (const { type, key: source } of level.sources) {
    if (type === 'grant' || type === 'voucher') parts.addGrant(source);
    else parts.add(BY_TYPE[type]);
  }
  return level.granted;
}

function flagValue(evaluation: Evaluation, key: string, parts: Parts): boolean | CelError {
  const decision = evaluation.decision(key);
  if (decision.kind === 'error') {
    return decision.errorCode === 'CUSTOMER_STATE_UNAVAILABLE' ? evaluation.unavailable : false;
  }
  if (decision.cause === 'GRANT') for (const id of decision.sources) parts.addGrant(id);
  return decision.value === true;
}

/** A group's set stands in the plan's place as a whole, or it names one of the features. */
function applies(group: CompiledGroup, features: ReadonlySet<string>): boolean {
  if (group.mode === 'replace') return true;
  for (const feature of group.entitlements.keys()) if (features.has(feature)) return true;
  return false;
}

function addGroups(
  evaluation: Evaluation,
  { groups }: PreparedCustomer,
  features: ReadonlySet<string>,
  parts: Parts,
): void {
  for (const { group, memberships } of groups) {
    const member = spanInForce(memberships, evaluation.nowMilliseconds, (edge) => evaluation.touch(edge));
    if (member === null || !applies(group, features)) continue;
    parts.add('customer_group');
    if (parts.group === null || group.order > parts.group.order) parts.group = group;
  }
}

/** The plans of all licenses in force, else the one that holds without; a group of the customer stands above their groups. */
function addPlans(
  evaluation: Evaluation,
  prepared: PreparedCustomer,
  features: ReadonlySet<string>,
  parts: Parts,
): void {
  const ofCustomer = parts.group !== null;
  for (const plan of plansInForce(evaluation, prepared)) {
    parts.add('plan');
    const group = plan.defaultGroup === null ? undefined : prepared.snapshot.groups.get(plan.defaultGroup);
    if (group === undefined || !applies(group, features)) continue;
    parts.add('plan_default_group');
    if (!ofCustomer && (parts.group === null || group.order > parts.group.order)) parts.group = group;
  }
}

function plansInForce(evaluation: Evaluation, prepared: PreparedCustomer): readonly CompiledPlan[] {
  const { nowMilliseconds: now, snapshot } = evaluation;
  for (const license of prepared.licenses) evaluation.touch(licenseEdge(license, now));
  const inForce = prepared.licenses.filter((license) => licenseLapse(license, now) === null);
  if (inForce.length === 0) return prepared.fallbackPlan === null ? [] : [prepared.fallbackPlan];
  return inForce.flatMap(
    ({ plan, planVersion }) => snapshot.plans.get(versionedKey(plan, planVersion)) ?? [],
  );
}
