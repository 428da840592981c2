import type { Subject } from '@pennon/engine/model/context';
import type { EvaluationRequest } from '@pennon/engine/model/evaluation';
import type { CompiledFeature, Snapshot } from '@pennon/engine/snapshot/snapshot';
import type { ConsumeInput } from './consume-input.js';
import type { ConsumeItem } from './consume-request.js';
import type { Credential } from './credential.js';
import { entitlementFault, visibleRequest } from './evaluate-entitlement.js';
import { ServiceError } from './service-error.js';

/** What is to be taken, and of whose accounts; throws a ServiceError for what cannot be consumed at all. */
export function itemsOf(
  evaluation: EvaluationRequest<Snapshot>,
  credential: Credential,
  input: ConsumeInput,
): readonly ConsumeItem[] {
  return input.items.map((item) => {
    const { features } = visibleRequest(evaluation, credential, item.key).snapshot;
    const feature = features.get(item.key);
    if (feature === undefined) {
      throw new ServiceError(
        'invalid',
        'TYPE_MISMATCH',
        `\`${item.key}\` is a flag, and nothing of it can be consumed. Evaluate it over OFREP.`,
      );
    }
    refuseRecordedOnly(feature);
    if (input.operation === 'consume' || input.operation === 'reserve')
      refuseAmountOfCount(feature, item.amount);
    const holder = item.holder ?? null;
    if (holder !== null) refuseHolder(feature);
    return {
      key: item.key,
      holder,
      amount: item.amount,
      attributes: item.attributes,
      account: { feature: feature.key, scope: accountScope(feature, evaluation.subject) },
    };
  });
}

/** Of `aggregation: count` each attempt is one, as each recorded event is: an amount would be lost, or counted as what it is not. */
function refuseAmountOfCount({ key, aggregation }: CompiledFeature, amount: number | null): void {
  if (aggregation !== 'count' || amount === null || amount === 1) return;
  throw new ServiceError(
    'invalid',
    'TYPE_MISMATCH',
    `\`${key}\` has \`aggregation: count\`: each call is one, and \`amount\` is ${amount}. Leave \`amount\` out, send an item for each, or declare the feature with \`aggregation: sum\`.`,
  );
}

/** What resets by itself is used up, and nothing holds it. */
export function refuseHolder({ key, type, reset }: CompiledFeature): void {
  if (type !== 'metered' || reset === 'never') return;
  throw new ServiceError(
    'invalid',
    'TYPE_MISMATCH',
    `\`${key}\` resets every ${reset.count ?? 1} ${reset.every}, so that nothing holds its units. Leave \`holder\` out, or declare the feature with \`reset: never\`.`,
  );
}

/** Whose account counts; known before the decision, because it is locked before. */
export function accountScope(feature: CompiledFeature, subject: Subject): string {
  const scope =
    feature.per === 'customer'
      ? ''
      : feature.per === 'user'
        ? subject.userKey
        : (subject.instance?.key ?? null);
  if (scope === null) {
    throw entitlementFault(
      'TARGETING_KEY_MISSING',
      `\`${feature.key}\` counts per ${feature.per}; name the ${feature.per} in the context.`,
    );
  }
  return scope;
}

/** What is only known once it has happened has no room that could be asked for. */
function refuseRecordedOnly({ key, aggregation }: CompiledFeature): void {
  if (aggregation !== 'sum' && aggregation !== 'count') {
    throw new ServiceError(
      'invalid',
      'TYPE_MISMATCH',
      `\`${key}\` has \`aggregation: ${aggregation}\`, so that it is recorded and not consumed; send it as an event to \`POST /oep/v1/usage\`.`,
    );
  }
}
