import type { Feature, FeatureType } from '../model/catalog.js';
import type { CheckScope } from './check-scope.js';
import { quoted } from './issue-sink.js';
import { memberOf } from './source-node.js';
import { checkSchemaText } from './value-schema.js';

/** The members that mean something only for some types; a member that is ignored would be believed. */
const ONLY_FOR: Partial<Record<keyof Feature, readonly FeatureType[]>> = {
  per: ['metered'],
  reset: ['metered'],
  enforcement: ['metered'],
  overage: ['metered'],
  warnAt: ['metered'],
  measure: ['metered'],
  aggregation: ['metered'],
  uniqueBy: ['metered'],
  lateEvents: ['metered'],
  dimensions: ['metered'],
  onStoreAway: ['metered'],
  settle: ['metered'],
  onDowngrade: ['limit', 'metered'],
  onPlanChange: ['metered'],
  rollover: ['metered'],
  topUps: ['metered'],
  unit: ['limit', 'metered'],
  schema: ['config'],
};

const COMBINE_FOR: Record<NonNullable<Feature['combine']>, readonly FeatureType[]> = {
  any: ['boolean'],
  max: ['limit', 'metered'],
  sum: ['limit', 'metered'],
  last: ['boolean', 'limit', 'metered', 'config'],
};

export function checkFeature(feature: Feature, scope: CheckScope): void {
  for (const [member, types] of Object.entries(ONLY_FOR)) {
    if (feature[member as keyof Feature] === undefined || types.includes(feature.type)) continue;
    const hint =
      feature.type === 'limit' && types.includes('metered')
        ? '; things that are counted have `type: metered`'
        : '';
    const message = `\`${member}\` belongs to features of type ${types.join(' or ')}, and ${quoted(feature.key)} is ${feature.type}${hint}.`;
    scope.fault(feature, member, 'NOT_FOR_TYPE', message);
  }
  if (feature.combine !== undefined && !COMBINE_FOR[feature.combine].includes(feature.type)) {
    const message = `\`combine: ${feature.combine}\` is for ${COMBINE_FOR[feature.combine].join(' and ')}, and ${quoted(feature.key)} is ${feature.type}.`;
    scope.fault(feature, 'combine', 'NOT_FOR_TYPE', message);
  }
  if (feature.overage !== undefined && feature.enforcement !== 'soft') {
    scope.fault(
      feature,
      'overage',
      'NOT_FOR_TYPE',
      '`overage` says how far a soft limit may be passed; add `enforcement: soft`.',
    );
  }
  if (feature.onDowngrade === 'until-reset' && (feature.reset ?? 'never') === 'never') {
    const message =
      '`onDowngrade: until-reset` needs a `reset` to wait for; write `{ grace: { days: 14 } }`, `read-only` or `refuse-new`.';
    scope.fault(feature, 'onDowngrade', 'NOT_FOR_TYPE', message);
  }
  checkNeedsReset(feature, scope);
  checkRollover(feature, scope);
  checkTopUps(feature, scope);
  checkAggregation(feature, scope);
  checkStoreAway(feature, scope);
  if (
    feature.type === 'metered' &&
    !memberOf(scope.nodeOf(feature), 'reset') &&
    feature.reset === undefined
  ) {
    const message = `${quoted(feature.key)} does not say when usage starts again; write \`reset: { every: month }\`, or \`reset: never\` for things that exist until they are removed.`;
    scope.warn(feature, 'type', 'MISSING_MEMBER', message);
  }
  const schema = feature.schema === undefined ? undefined : scope.nodeOf(feature, 'schema');
  if (schema) checkSchemaText(schema, scope.issues);
}

/** Members that speak of periods; a feature that never resets has none. */
function checkNeedsReset(feature: Feature, scope: CheckScope): void {
  if (feature.type !== 'metered' || (feature.reset ?? 'never') !== 'never') return;
  if (feature.onPlanChange !== undefined && feature.onPlanChange !== 'carry') {
    const message = `\`onPlanChange: ${feature.onPlanChange}\` needs a \`reset\`: without periods there is nothing to begin again or to share out. Write \`carry\`, or give it a \`reset\`.`;
    scope.fault(feature, 'onPlanChange', 'NOT_FOR_TYPE', message);
  }
  if (feature.rollover !== undefined) {
    const message = '`rollover` needs a `reset`: what never resets keeps what is left anyway.';
    scope.fault(feature, 'rollover', 'NOT_FOR_TYPE', message);
  }
}

function checkRollover({ rollover, ...feature }: Feature, scope: CheckScope): void {
  if (rollover === undefined || (rollover.minimum ?? 0) <= rollover.maximum) return;
  const message = `\`minimum\` is ${rollover.minimum}, more than \`maximum\` (${rollover.maximum}); no more than the maximum is rolled over.`;
  scope.fault(feature, 'rollover', 'NOT_FOR_TYPE', message);
}

function checkTopUps({ topUps = [], ...feature }: Feature, scope: CheckScope): void {
  for (const [place, { key, plans = [], price }] of topUps.entries()) {
    if (topUps.findIndex((other) => other.key === key) < place) {
      const message = `The top-up ${quoted(key)} stands twice; give each a key of its own.`;
      scope.fault(topUps, place, 'DUPLICATE_DEFINITION', message);
    }
    for (const [index, plan] of plans.entries()) scope.refer('plan', plan, plans, index);
    if (price?.every !== undefined && price.every !== 'once') {
      const message = `A top-up is paid once, and \`every: ${price.every}\` says otherwise; leave it out. What is paid again and again is an add-on of ${quoted(feature.key)}.`;
      scope.fault(price, 'every', 'NOT_FOR_TYPE', message);
    }
  }
}

/** Law 2: without the store nobody knows what is left of a hard limit. What is recorded only is not consumed at all. */
function checkStoreAway(feature: Feature, scope: CheckScope): void {
  const { type, onStoreAway: policy = 'closed', enforcement = 'hard', aggregation = 'sum' } = feature;
  if (type !== 'metered' || policy === 'closed') return;
  if (enforcement === 'hard') {
    const message = `\`onStoreAway: ${policy}\` would let a hard limit be exceeded while the database is away; write \`closed\`, or give ${quoted(feature.key)} \`enforcement: soft\` or \`observe\`.`;
    scope.fault(feature, 'onStoreAway', 'HARD_IS_CLOSED', message);
  } else if (aggregation !== 'sum' && aggregation !== 'count') {
    const message = `\`onStoreAway\` is about consumes, and what has \`aggregation: ${aggregation}\` is recorded only; leave it out.`;
    scope.fault(feature, 'onStoreAway', 'NOT_FOR_TYPE', message);
  }
}

/** What is only known once it has happened cannot be refused before it happens. */
function checkAggregation(feature: Feature, scope: CheckScope): void {
  const aggregation = feature.aggregation ?? 'sum';
  const fault = (member: keyof Feature, message: string): void =>
    scope.fault(feature, member, 'NOT_FOR_TYPE', message);
  if (aggregation !== 'sum' && aggregation !== 'count' && (feature.enforcement ?? 'hard') === 'hard') {
    fault(
      feature.enforcement === undefined ? 'aggregation' : 'enforcement',
      `\`aggregation: ${aggregation}\` is recorded after it happened, so that it cannot be limited hard; write \`enforcement: soft\` or \`observe\`, or \`aggregation: sum\` or \`count\`.`,
    );
  }
  if (aggregation === 'unique' && feature.uniqueBy === undefined) {
    fault('aggregation', '`aggregation: unique` counts the values of an attribute; name it in `uniqueBy`.');
  }
  if (aggregation !== 'unique' && feature.uniqueBy !== undefined) {
    fault('uniqueBy', '`uniqueBy` belongs to `aggregation: unique`; leave it out, or write that.');
  }
  if ((aggregation === 'count' || aggregation === 'unique') && feature.measure !== undefined) {
    fault(
      'measure',
      `\`aggregation: ${aggregation}\` counts events and asks for no amount; leave \`measure\` out, or write \`aggregation: sum\`.`,
    );
  }
}
