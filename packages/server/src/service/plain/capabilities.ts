import type { EntitlementDecision } from '@pennon/engine/model/decision';
import { UNLIMITED_AS_INTEGER } from '@pennon/engine/model/limits';
import { overOf } from '@pennon/engine/model/over-limit';
import { capabilitiesOf } from '@pennon/engine/plain/capabilities';
import type { ApiCapabilities, ApiCapabilityLimit } from '@pennon/protocol/management/plain';
import { toOverLimit } from '@pennon/protocol/oep/entitlement';
import { toOepRemedy } from '@pennon/protocol/oep/remedy';
import type { Credential } from '../credential.js';
import { entitlementFault, withRemedies } from '../evaluate-entitlement.js';
import {
  type EvaluationDependencies,
  type EvaluationStamp,
  prepareEvaluation,
} from '../evaluation-request.js';
import { seesOnlyClientVisible } from '../flag-visibility.js';
import { toTime } from '../times.js';
import { type PlainHeaders, type PlainQuery, plainInput } from './plain-input.js';

export interface CapabilitiesAnswer {
  readonly body: ApiCapabilities;
  readonly stamp: EvaluationStamp;
}

/** What one customer can do, with what a user interface needs to say so (C-2, C-4). */
export async function readCapabilities(
  dependencies: EvaluationDependencies,
  credential: Credential,
  query: PlainQuery & { readonly include?: 'features' },
  headers: PlainHeaders,
): Promise<CapabilitiesAnswer> {
  const input = plainInput(dependencies.directory, credential, query, headers);
  const { request, stamp } = await prepareEvaluation(dependencies, credential, input);
  const withFeatures = query.include === 'features';
  if (request === null) {
    const body = { plan: null, flags: {}, limits: {}, ...(withFeatures ? { features: {} } : {}) };
    return { body, stamp };
  }
  const found = capabilitiesOf(request, { clientVisibleOnly: seesOnlyClientVisible(credential) });
  if (found.kind === 'unavailable') {
    throw entitlementFault('CUSTOMER_STATE_UNAVAILABLE', found.message);
  }
  const remedied = withRemedies(request);
  const limits: Record<string, ApiCapabilityLimit> = {};
  const features: NonNullable<ApiCapabilities['features']> = {};
  for (const decision of found.entitlements) {
    if (decision.limit !== null) limits[decision.key] = toLimit(remedied(decision), decision.limit);
    else if (withFeatures) features[decision.key] = toState(remedied(decision));
  }
  const body = { plan: found.plan, flags: Object.fromEntries(found.flags), limits };
  return { body: withFeatures ? { ...body, features } : body, stamp };
}

function toLimit(
  decision: EntitlementDecision,
  limit: NonNullable<EntitlementDecision['limit']>,
): ApiCapabilityLimit {
  const unlimited = limit.kind === 'unlimited';
  const { usage, period } = decision;
  return {
    // Nobody counts the use of a static limit here: a 0 would read like an empty meter.
    used: decision.type === 'metered' ? usage : null,
    limit: unlimited ? UNLIMITED_AS_INTEGER : limit.value,
    unlimited,
    resetsAt: period === null ? null : toTime(period.end),
    over: overOf(decision),
    overLimit: toOverLimit(decision),
    ...toState(decision),
  };
}

function toState({
  hasAccess,
  whenDenied,
  remedy,
}: EntitlementDecision): Pick<ApiCapabilityLimit, 'state' | 'remedy'> {
  if (hasAccess) return { state: 'enabled', remedy: null };
  const known = remedy === undefined || remedy === null || remedy === 'omitted' ? null : toOepRemedy(remedy);
  return { state: whenDenied, remedy: known };
}
