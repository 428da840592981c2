import type { CustomerState, Instant, License, Span } from '@pennon/engine/model/customer';
import type { EntitlementDecision } from '@pennon/engine/model/decision';
import type { JsonObject } from '@pennon/engine/model/json';
import { limitStateOf, overOf } from '@pennon/engine/model/over-limit';
import { Type } from 'typebox';
import { TimeSchema } from '../management/common.js';
import { orNull } from '../management/customers.js';
import { toInstantText } from '../oep/entitlement.js';

/* What a customer has and may do, as events tell it. */

const closed = { additionalProperties: false } as const;

const LimitSchema = Type.Object(
  {
    kind: Type.Enum(['finite', 'unlimited']),
    value: Type.Optional(Type.Integer({ description: 'Absent when unlimited.' })),
    enforcement: Type.Enum(['hard', 'soft', 'observe']),
  },
  closed,
);

/** What a feature gives: what of it changes by use alone, but for access, is not part of it. */
const given = {
  type: Type.String({ description: '`boolean`, `metered`, `limit` or `config`.' }),
  granted: Type.Boolean({ description: 'The right, whatever is used up.' }),
  hasAccess: Type.Boolean({ description: 'The right, and room for one more.' }),
  reason: Type.String(),
  value: Type.Unknown({ description: 'Of boolean and config features.' }),
  limit: orNull(LimitSchema),
  state: orNull(Type.Enum(['within_limit', 'over_limit'])),
};
export const EntitlementGivenSchema = Type.Object(given, closed);

const span = { startsAt: TimeSchema, endsAt: orNull(TimeSchema) };
const container = Type.Object({ key: Type.String(), ...span }, closed);

export const CustomerStateProperties = {
  licenses: Type.Array(
    Type.Object(
      {
        id: Type.String(),
        plan: Type.String(),
        planVersion: Type.Integer(),
        quantity: Type.Integer(),
        kind: Type.String(),
        status: Type.String(),
        ...span,
        graceEndsAt: orNull(TimeSchema),
        sku: orNull(Type.String()),
        addons: Type.Array(
          Type.Object({ addon: Type.String(), version: Type.Integer(), quantity: Type.Integer() }, closed),
        ),
        nextPlan: orNull(
          Type.Object({ plan: Type.String(), planVersion: Type.Integer(), at: TimeSchema }, closed),
        ),
      },
      closed,
    ),
    { description: 'In force or to come.' },
  ),
  groups: Type.Array(container),
  segments: Type.Array(container, { description: 'Those that it is a member of itself.' }),
  grants: Type.Array(
    Type.Object(
      {
        id: Type.String(),
        kind: Type.String(),
        effect: Type.Record(Type.String(), Type.Unknown()),
        ...span,
      },
      closed,
    ),
    { description: 'Its own. Those of groups and segments show in `entitlements`.' },
  ),
  entitlements: Type.Array(
    Type.Object(
      {
        key: Type.String(),
        ...given,
        usage: Type.Integer(),
        reserved: Type.Integer(),
        balance: Type.Integer({ description: '9007199254740991 when unlimited.' }),
        over: Type.Integer(),
        period: orNull(Type.Object({ start: TimeSchema, end: TimeSchema }, closed)),
        validUntil: orNull(TimeSchema),
        sources: Type.Array(
          Type.Object(
            {
              type: Type.String(),
              key: Type.String(),
              effect: Type.String(),
              value: Type.Unknown(),
              until: orNull(TimeSchema),
            },
            closed,
          ),
        ),
      },
      closed,
    ),
    { description: 'Every feature that is not counted per user or instance, sorted by key.' },
  ),
};

export function toEntitlementGiven(decision: EntitlementDecision): JsonObject {
  const { type, granted, hasAccess, reason, value, limit, enforcement } = decision;
  return {
    type,
    granted,
    hasAccess,
    reason,
    value,
    limit: limit === null ? null : { ...limit, enforcement },
    state: limitStateOf(decision),
  };
}

/** Whole, with what is used as it stands now. */
export function toEntitlementState(decision: EntitlementDecision): JsonObject {
  const { key, usage, reserved, balance, period, validUntil, sources } = decision;
  return {
    key,
    ...toEntitlementGiven(decision),
    usage,
    reserved,
    balance,
    over: overOf(decision),
    period: period === null ? null : { start: toInstantText(period.start), end: toInstantText(period.end) },
    validUntil: textOrNull(validUntil),
    sources: sources.map((source) => ({ ...source, until: textOrNull(source.until) })),
  };
}

/** What it has, without what is over. */
export function toHeld(state: CustomerState, now: Instant): JsonObject {
  const isLeft = ({ endsAt, startsAt }: Span) => endsAt === null || (endsAt > now && endsAt > startsAt);
  return {
    licenses: state.licenses.filter(isLeft).map((license) => toLicense(license, now)),
    groups: state.groups.filter(isLeft).map((one) => ({ key: one.group, ...toSpan(one) })),
    segments: state.memberships
      .filter((one) => one.member.kind === 'customer' && isLeft(one))
      .map((one) => ({ key: one.segment, ...toSpan(one) })),
    grants: state.grants
      .filter((grant) => grant.target.kind === 'customer' && isLeft(grant))
      .map((grant) => ({
        id: grant.id,
        kind: grant.kind,
        effect: grant.effect as unknown as JsonObject,
        ...toSpan(grant),
      })),
  };
}

/** A plan that was changed ahead is changed from its instant on. */
function toLicense({ next = null, ...license }: License, now: Instant): JsonObject {
  const isChanged = next !== null && next.at <= now;
  const { plan, planVersion, sku } = isChanged ? next : license;
  return {
    id: license.id,
    plan,
    planVersion,
    quantity: license.quantity,
    kind: license.kind,
    status: license.status,
    ...toSpan(license),
    graceEndsAt: textOrNull(license.graceEndsAt),
    sku,
    addons: license.addons.map(({ addon, version, quantity }) => ({ addon, version, quantity })),
    nextPlan:
      next === null || isChanged
        ? null
        : { plan: next.plan, planVersion: next.planVersion, at: toInstantText(next.at) },
  };
}

function toSpan({ startsAt, endsAt }: Span): JsonObject {
  return { startsAt: toInstantText(startsAt), endsAt: textOrNull(endsAt) };
}

function textOrNull(instant: Instant | null): string | null {
  return instant === null ? null : toInstantText(instant);
}
