import type {
  ConsumptionDecision,
  EntitlementDecision,
  Fallback,
  Period,
  Source,
} from '@pennon/engine/model/decision';
import { limitStateOf, overLimitOf, overOf } from '@pennon/engine/model/over-limit';
import { toOepRemedy } from './remedy.js';
import type { OepEntitlement } from './schemas.js';

/** RFC 3339 in UTC with milliseconds. */
export function toInstantText(instant: number): string {
  return new Date(instant).toISOString();
}

/** @param asOf milliseconds since the epoch: when the answer was true. */
export function toOepEntitlement(decision: EntitlementDecision, asOf: number): OepEntitlement {
  return {
    key: decision.key,
    type: decision.type,
    hasAccess: decision.hasAccess,
    reason: decision.reason,
    value: decision.value,
    limit: toLimit(decision),
    usage: decision.usage,
    reserved: decision.reserved,
    balance: decision.balance,
    overage: decision.overage,
    state: limitStateOf(decision),
    over: overOf(decision),
    overLimit: toOverLimit(decision),
    period: decision.period === null ? null : toPeriod(decision.period),
    validUntil: decision.validUntil === null ? null : toInstantText(decision.validUntil),
    sources: decision.sources.map(toSource),
    remedy: toRemedy(decision),
    asOf: toInstantText(asOf),
    revision: decision.revision,
    isFallback: decision.fallback !== undefined,
    metadata: {
      whenDenied: decision.whenDenied,
      ...(decision.remedy === 'omitted' ? { remedyOmitted: true } : {}),
      ...(decision.planNotFound === true ? { warning: 'PLAN_NOT_FOUND' } : {}),
      ...(decision.fallback === undefined ? {} : toFallback(decision.fallback)),
    },
  };
}

/** The entitlement as one attempt left it; its metadata say where a hard limit would have denied what is only observed. */
export function toOepEntitlementAfter(
  { entitlement, wouldHaveDenied }: ConsumptionDecision,
  asOf: number,
): OepEntitlement {
  const answer = toOepEntitlement(entitlement, asOf);
  return wouldHaveDenied ? { ...answer, metadata: { ...answer.metadata, wouldHaveDenied } } : answer;
}

function toFallback({ policy, at }: Fallback): OepEntitlement['metadata'] {
  return { fallbackCause: 'STORE_AWAY', fallbackPolicy: policy, journaledAt: toInstantText(at) };
}

function toLimit(decision: EntitlementDecision): OepEntitlement['limit'] {
  const { limit, enforcement } = decision;
  if (limit === null) {
    return null;
  }
  // INVARIANT: unlimited is a kind, never a number, null or −1.
  return limit.kind === 'finite'
    ? { kind: limit.kind, value: limit.value, enforcement }
    : { kind: limit.kind, enforcement };
}

/** The same in OEP and in the capabilities. */
export function toOverLimit(decision: EntitlementDecision): OepEntitlement['overLimit'] {
  const found = overLimitOf(decision);
  if (found === null) return null;
  const { limit, policy, since, standsUntil, readOnly } = found;
  return {
    limit,
    policy,
    since: since === null ? null : toInstantText(since),
    graceEndsAt: standsUntil === null ? null : toInstantText(standsUntil),
    readOnly,
  };
}

function toPeriod(period: Period): NonNullable<OepEntitlement['period']> {
  return {
    start: toInstantText(period.start),
    end: toInstantText(period.end),
    interval: period.interval,
    anchor: period.anchor,
  };
}

function toSource(source: Source): OepEntitlement['sources'][number] {
  return {
    type: source.type,
    key: source.key,
    effect: source.effect,
    value: source.value,
    until: source.until === null ? null : toInstantText(source.until),
  };
}

/** Where nobody looked for offers, what the decision itself proves: a quota that was reached comes back with its period. */
function toRemedy({ remedy, reason, period }: EntitlementDecision): OepEntitlement['remedy'] {
  if (remedy === undefined && reason === 'LIMIT_REACHED' && period !== null) {
    return { kind: 'wait', at: toInstantText(period.end), options: [] };
  }
  return remedy === undefined || remedy === null || remedy === 'omitted' ? null : toOepRemedy(remedy);
}

/** The members that rule 1 of OEP leaves out of the ETag: a meter that moves is no change, an access bit is. */
const VOLATILE: ReadonlySet<string> = new Set(['usage', 'reserved', 'balance', 'overage', 'over', 'asOf']);

export function serializeOepEntitlements(entitlements: readonly OepEntitlement[]): {
  readonly body: string;
  readonly stable: string;
} {
  const bulk = { entitlements, metadata: {} };
  return {
    body: JSON.stringify(bulk),
    stable: JSON.stringify(bulk, function replace(this: unknown, name: string, value: unknown) {
      return VOLATILE.has(name) && isEntitlement(this) ? undefined : value;
    }),
  };
}

/** A config value may well have a member `usage`: only the entitlement's own members are volatile. */
function isEntitlement(holder: unknown): boolean {
  return typeof holder === 'object' && holder !== null && 'hasAccess' in holder && 'isFallback' in holder;
}
