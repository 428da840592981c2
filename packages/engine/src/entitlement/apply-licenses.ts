import { bucketNumber, bucketText } from '../bucket/bucket.js';
import { licenseEdge, licenseLapse, licenseUntil } from '../evaluation/edges.js';
import { termsAt } from '../evaluation/license-terms.js';
import type { PreparedCustomer } from '../evaluation/prepared-customer.js';
import { type EntitlementValue, versionedKey } from '../model/catalog.js';
import type { Instant, License } from '../model/customer.js';
import type { SourceType } from '../model/decision.js';
import { isJsonObject, type JsonValue, ownMember } from '../model/json.js';
import { isCompiledSplit } from '../snapshot/compile-offers.js';
import type { CompiledPlan, CompiledSplit } from '../snapshot/snapshot.js';
import { combine } from './combine.js';
import { type Draft, valueText } from './draft.js';
import { prorated } from './prorate.js';

/** What a split is bucketed by is the server's own: nobody chooses a limit by sending another key. */
function splitSubject(by: string, prepared: PreparedCustomer, license: License | null): unknown {
  switch (by) {
    case 'customer.key':
    case 'team.key':
    case 'targetingKey':
      return prepared.state?.key === '' ? undefined : prepared.state?.key;
    case 'license.id':
      return license?.id;
    default: {
      const path = by.replace(/^customer\.(?:attributes\.)?/, '').split('.');
      let value: JsonValue | undefined = prepared.state?.attributes;
      for (const member of path) value = isJsonObject(value) ? ownMember(value, member) : undefined;
      return value;
    }
  }
}

/** Who has nothing to be bucketed by gets the first value: the same one always. */
function splitShare(split: CompiledSplit, prepared: PreparedCustomer, license: License | null) {
  const text = bucketText(splitSubject(split.by, prepared, license));
  const number = text === null ? 0 : bucketNumber(split.seed, text, split.total);
  return { text, number, chosen: split.values.find((one) => number < one.below) };
}

function splitValue(
  split: CompiledSplit,
  prepared: PreparedCustomer,
  license: License | null,
  draft: Draft,
): EntitlementValue | undefined {
  const { text, number, chosen } = splitShare(split, prepared, license);
  draft.explain(
    'plan-version',
    'applied',
    () =>
      text === null
        ? `\`${split.by}\` is not known, so the first value of the split counts.`
        : `Bucket ${number} of ${split.total} by \`${split.by}\` (seed \`${split.seed.text}\`) gives ${valueText(chosen?.value ?? null)}.`,
    { by: split.by, seed: split.seed.text, total: split.total, bucket: text === null ? null : number },
  );
  return chosen?.value;
}

interface Offer {
  readonly plan: CompiledPlan;
  readonly license: License | null;
  readonly sourceType: SourceType;
  readonly until: Instant | null;
}

/** A plan version, then its default group. */
function offered(draft: Draft, prepared: PreparedCustomer, offer: Offer): EntitlementValue | null {
  const { plan, until } = offer;
  const entry = plan.entitlements.get(draft.feature.key);
  const chosen =
    entry !== undefined && isCompiledSplit(entry) ? splitValue(entry, prepared, offer.license, draft) : entry;
  let value = draft.usable(chosen);
  if (value !== null) {
    draft.took(
      'plan-version',
      { type: offer.sourceType, key: plan.name, effect: 'set', value, until },
      () => {
        return `Plan \`${plan.name}\` gives ${valueText(value)}.`;
      },
    );
  } else
    draft.explain(
      'plan-version',
      'skipped',
      () => `Plan \`${plan.name}\` does not name \`${draft.feature.key}\`.`,
    );
  const group = plan.defaultGroup === null ? undefined : prepared.snapshot.groups.get(plan.defaultGroup);
  if (group === undefined) return value;
  const given = draft.usable(group.entitlements.get(draft.feature.key));
  if (given === null && (group.mode === 'overlay' || value === null)) return value;
  value = given;
  const effect = group.mode === 'replace' ? 'replace' : 'overlay';
  draft.took('default-group', { type: 'default_group', key: group.key, effect, value, until }, () => {
    return `The default group \`${group.key}\` of plan \`${plan.name}\` gives ${valueText(value)} instead.`;
  });
  return value;
}

/** The same value for comparison, without a word of explanation. */
export function valueOfPlan(
  draft: Draft,
  prepared: PreparedCustomer,
  plan: CompiledPlan,
  license: License,
): EntitlementValue | null {
  const { key } = draft.feature;
  const entry = plan.entitlements.get(key);
  const chosen =
    entry !== undefined && isCompiledSplit(entry)
      ? splitShare(entry, prepared, license).chosen?.value
      : entry;
  const value = draft.usable(chosen);
  const group = plan.defaultGroup === null ? undefined : prepared.snapshot.groups.get(plan.defaultGroup);
  if (group === undefined) return value;
  return draft.usable(group.entitlements.get(key)) ?? (group.mode === 'overlay' ? value : null);
}

function licenseOffer(draft: Draft, prepared: PreparedCustomer, license: License): Offer | null {
  draft.evaluation.touch(licenseEdge(license, draft.now));
  const terms = termsAt(license, draft.now);
  const name = versionedKey(terms.plan, terms.planVersion);
  const lapse = licenseLapse(license, draft.now);
  if (lapse !== null) {
    draft.explain(
      'license',
      'skipped',
      () => `License \`${license.id}\` to \`${name}\` is not in force (${lapse}).`,
    );
    return null;
  }
  const plan = prepared.snapshot.plans.get(name);
  if (plan === undefined) {
    draft.explain(
      'license',
      'skipped',
      () =>
        `License \`${license.id}\` names plan \`${name}\`, which the catalog does not have (PLAN_NOT_FOUND): it gives nothing.`,
    );
    return null;
  }
  draft.explain(
    'license',
    'applied',
    () => `License \`${license.id}\` to \`${name}\` is in force (${license.status}).`,
  );
  const trial = license.kind === 'trial' || license.status === 'trialing';
  return { plan, license, sourceType: trial ? 'trial' : 'plan', until: licenseUntil(license) };
}

/** By `onPlanChange: prorate` the plans of the running period share it out. */
function shared(
  draft: Draft,
  prepared: PreparedCustomer,
  license: License,
  value: EntitlementValue | null,
): EntitlementValue | null {
  const mixed = prorated(draft, prepared, license, value, (name) => {
    const plan = prepared.snapshot.plans.get(name);
    return plan === undefined ? null : valueOfPlan(draft, prepared, plan, license);
  });
  if (mixed === value || mixed === null) return value;
  const { plan, planVersion } = termsAt(license, draft.now);
  const key = versionedKey(plan, planVersion);
  draft.took('plan-version', { type: 'plan', key, effect: 'prorate', value: mixed, until: null }, () => {
    return `The plan of license \`${license.id}\` changed in this period: by time its plans give ${valueText(mixed)}.`;
  });
  return mixed;
}

/** Step one: the licenses in force, each with its plan's default group, combined; without any, the default plan. */
export function applyLicenses(draft: Draft, prepared: PreparedCustomer): void {
  const values: (EntitlementValue | null)[] = [];
  let inForce = 0;
  for (const license of prepared.licenses) {
    const offer = licenseOffer(draft, prepared, license);
    if (licenseLapse(license, draft.now) === null) inForce += 1;
    if (offer !== null) values.push(shared(draft, prepared, license, offered(draft, prepared, offer)));
  }
  if (inForce === 0) {
    const plan = prepared.fallbackPlan;
    if (plan === null)
      draft.explain('default-plan', 'skipped', () => {
        if (prepared.sku === null) return 'There is no license in force and no default plan.';
        return `The SKU \`${prepared.sku}\` names no plan (PLAN_NOT_FOUND): it gives facts and no entitlements.`;
      });
    else {
      draft.explain(
        'default-plan',
        'applied',
        () => `Without a license in force, plan \`${plan.name}\` holds.`,
      );
      const sourceType = prepared.sku === null ? 'default' : 'plan';
      values.push(offered(draft, prepared, { plan, license: null, sourceType, until: null }));
    }
  }
  draft.current = combine(draft.feature, values);
  if (values.length > 1) {
    draft.explain('combine', 'applied', () => {
      return `${values.length} licenses combine (${draft.feature.combine}) to ${valueText(draft.current)}.`;
    });
  }
}
