import { LIMITS } from '@pennon/engine/model/limits';
import { type Static, Type } from 'typebox';
import { IdSchema, KeySchema, PageQuerySchema, pageOf, TimeSchema } from './common.js';
import { DataKeySchema, orNull } from './customers.js';

/* How metered features stand, how they were used, and each single decision and event. */

const closed = { additionalProperties: false } as const;
const Scope = Type.String({
  description: 'Empty where the feature counts per customer, else the key of the instance or user.',
});
const Cursor = PageQuerySchema.properties.cursor;

const LimitSchema = Type.Object(
  {
    kind: Type.Enum(['finite', 'unlimited']),
    value: Type.Optional(Type.Integer({ description: 'Absent when unlimited.' })),
  },
  closed,
);

export const UsageSchema = Type.Object(
  {
    customer: Type.String(),
    product: Type.String(),
    feature: Type.String(),
    per: Type.Enum(['customer', 'instance', 'user']),
    scope: Scope,
    granted: Type.Boolean({ description: 'The right itself, whatever is used.' }),
    enforcement: Type.Enum(['hard', 'soft', 'observe']),
    limit: LimitSchema,
    usage: Type.Integer({ description: 'Of this period.' }),
    reserved: Type.Integer(),
    balance: Type.Integer({ description: 'What is left; 9007199254740991 when unlimited.' }),
    overage: Type.Integer({ description: 'What is used and held above `limit`.' }),
    covered: Type.Integer({ description: 'Of `usage`, what was taken out of lots.' }),
    percent: orNull(
      Type.Integer({
        description:
          'How much of `limit` is used and held, rounded down, above 100 rounded up; null when unlimited.',
      }),
    ),
    state: Type.Enum(['within_limit', 'over_limit']),
    period: orNull(
      Type.Object(
        { start: TimeSchema, end: TimeSchema, interval: Type.String(), timeZone: Type.String() },
        closed,
      ),
    ),
    lastDecision: orNull(
      Type.Object(
        { limit: orNull(Type.Integer()), percent: orNull(Type.Integer()) },
        {
          ...closed,
          description:
            'What the last decision or event knew: `limit` null is none, `percent` null is below 50. What is above is of now.',
        },
      ),
    ),
    lots: Type.Array(
      Type.Object(
        {
          id: IdSchema,
          kind: Type.String(),
          priority: Type.Integer(),
          amount: Type.Integer(),
          remaining: Type.Integer(),
          startsAt: TimeSchema,
          endsAt: orNull(TimeSchema),
        },
        closed,
      ),
      { description: 'Top-ups and what was rolled over, those that are open.' },
    ),
  },
  closed,
);
export type ApiUsage = Static<typeof UsageSchema>;
export const UsagePageSchema = pageOf(UsageSchema);

const StandingsLimit = Type.Optional(
  Type.Integer({ minimum: 1, maximum: LIMITS.nearPage.value, default: 50 }),
);

export const UsageListQuerySchema = Type.Object(
  {
    limit: StandingsLimit,
    cursor: Cursor,
    product: Type.Optional(Type.String({ minLength: 1, maxLength: 128 })),
    feature: Type.Optional(KeySchema),
  },
  closed,
);
export type UsageListQuery = Static<typeof UsageListQuerySchema>;

export const NearListQuerySchema = Type.Object(
  {
    limit: StandingsLimit,
    cursor: Cursor,
    feature: Type.Optional(KeySchema),
    percent: Type.Optional(
      Type.Integer({
        minimum: 50,
        maximum: 1_000_000,
        default: 80,
        description: 'At least so much of the limit was taken; 101 is over it.',
      }),
    ),
  },
  closed,
);
export type NearListQuery = Static<typeof NearListQuerySchema>;

export const UsageProductParamsSchema = Type.Object(
  { environment: Type.String({ minLength: 1 }), product: Type.String({ minLength: 1 }) },
  closed,
);

const WindowSchema = Type.Enum(['hour', 'day', 'month'], {
  description: 'Hours are those of UTC, days and months those of `timeZone`.',
});
const ByName = Type.String({
  maxLength: 600,
  description: 'Attributes to take amounts apart by, with commas between, at most four.',
});
const Where = Type.String({
  maxLength: 300,
  description: '`attribute=value`: only what was used with it.',
});
const TimeZone = Type.String({
  maxLength: 64,
  description: 'An IANA name; default: the customer’s, else the product’s, else UTC.',
});

const span = {
  from: TimeSchema,
  to: Type.Optional(TimeSchema),
  window: Type.Optional(WindowSchema),
  timeZone: Type.Optional(TimeZone),
  by: Type.Optional(ByName),
  where: Type.Optional(Where),
  feature: Type.Optional(KeySchema),
};

export const UsageHistoryQuerySchema = Type.Object(
  {
    ...PageQuerySchema.properties,
    ...span,
    product: Type.Optional(Type.String({ minLength: 1, maxLength: 128 })),
    scope: Type.Optional(Type.String({ maxLength: 128 })),
  },
  closed,
);
export type UsageHistoryQuery = Static<typeof UsageHistoryQuerySchema>;

export const UsageWindowSchema = Type.Object(
  {
    feature: Type.String(),
    scope: Scope,
    start: TimeSchema,
    end: TimeSchema,
    attributes: Type.Record(Type.String(), orNull(Type.String()), {
      description: 'Those named by `by`; null: not sent.',
    }),
    amount: Type.Integer({
      description: 'Of `aggregation` max and latest the largest and the last value, else the sum.',
    }),
    events: Type.Integer(),
    aggregation: Type.String(),
  },
  closed,
);
export type ApiUsageWindow = Static<typeof UsageWindowSchema>;

export const UsageHistoryPageSchema = Type.Object({
  timeZone: Type.String(),
  from: TimeSchema,
  to: TimeSchema,
  items: Type.Array(UsageWindowSchema, {
    description: 'By feature, scope and time; empty windows are left out.',
  }),
  nextCursor: orNull(Type.String()),
});
export type UsageHistoryPage = Static<typeof UsageHistoryPageSchema>;

export const UsageExportQuerySchema = Type.Object(
  {
    ...span,
    format: Type.Optional(Type.Enum(['csv', 'ndjson'], { description: 'Default ndjson.' })),
    after: Type.Optional(DataKeySchema),
  },
  closed,
);
export type UsageExportQuery = Static<typeof UsageExportQuerySchema>;

export const UsageRecordSchema = Type.Object(
  {
    at: TimeSchema,
    id: Type.String({ description: 'Of the decision, or of the event.' }),
    operation: Type.Enum(['consume', 'release', 'reserve', 'settle', 'release-hold', 'expire', 'record']),
    feature: Type.String(),
    scope: Scope,
    amount: Type.Integer({ description: 'What was taken, held, given back or told; of a denial 0.' }),
    periodStart: orNull(TimeSchema),
    attributes: orNull(Type.Record(Type.String(), Type.Unknown())),
    actor: Type.String(),
    decision: orNull(
      Type.Object(
        {
          item: Type.Integer({ description: 'Its place in a call of several items, from 0.' }),
          allowed: Type.Boolean(),
          reason: Type.String(),
          enforcement: Type.String(),
          requested: Type.Integer(),
          usedAfter: Type.Integer(),
          reservedAfter: Type.Integer(),
          limit: orNull(Type.Integer({ description: 'In force at the decision; null: none.' })),
          idempotencyKey: Type.String(),
          revision: Type.Integer(),
        },
        closed,
      ),
    ),
    event: orNull(
      Type.Object(
        {
          source: Type.String(),
          id: Type.String(),
          type: Type.String(),
          counted: Type.Integer({ description: 'By how much usage changed.' }),
          occurredAt: TimeSchema,
          countedAt: TimeSchema,
          corrects: orNull(Type.String({ description: 'The `id` of the event that it corrects.' })),
        },
        closed,
      ),
    ),
  },
  closed,
);
export type ApiUsageRecord = Static<typeof UsageRecordSchema>;
export const UsageRecordPageSchema = pageOf(UsageRecordSchema);

export const UsageRecordQuerySchema = Type.Object(
  {
    ...PageQuerySchema.properties,
    product: Type.Optional(Type.String({ minLength: 1, maxLength: 128 })),
    feature: Type.Optional(KeySchema),
    scope: Type.Optional(Type.String({ maxLength: 128 })),
    from: Type.Optional(TimeSchema),
    to: Type.Optional(TimeSchema),
    kind: Type.Optional(Type.Enum(['consumption', 'event'])),
  },
  closed,
);
export type UsageRecordQuery = Static<typeof UsageRecordQuerySchema>;
