import { GRANT_KINDS, TARGET_KINDS } from '@pennon/engine/model/customer';
import { LIMITS } from '@pennon/engine/model/limits';
import { type Static, Type } from 'typebox';
import { IdSchema, KeySchema, PageQuerySchema, pageOf, ReasonSchema, TimeSchema } from './common.js';
import { DataKeySchema, orNull } from './customers.js';
import { BoughtOrGivenSchema, LotAmountSchema, LotPrioritySchema } from './lots.js';

const closed = { additionalProperties: false } as const;

const AmountSchema = Type.Integer({ minimum: 0, maximum: LIMITS.quantity.value });
const LimitSchema = Type.Union([AmountSchema, Type.Literal('unlimited')]);
export const ReferenceSchema = Type.String({
  minLength: 1,
  maxLength: 256,
  pattern: '^[^\\u0000-\\u001f]*$',
});

/** The model's `GrantEffect`. */
export const GrantEffectSchema = Type.Union([
  Type.Object(
    {
      type: Type.Literal('flag'),
      flag: KeySchema,
      variant: Type.Union([Type.String({ minLength: 1, maxLength: 128 }), Type.Boolean()]),
      requires: Type.Optional(Type.Union([Type.Literal('grant'), Type.Literal('respect')])),
      limits: Type.Optional(Type.Record(Type.String(), LimitSchema)),
    },
    closed,
  ),
  Type.Object({ type: Type.Literal('set'), feature: KeySchema, value: Type.Unknown() }, closed),
  Type.Object(
    {
      type: Type.Literal('add'),
      feature: KeySchema,
      amount: Type.Integer({ minimum: 1, maximum: LIMITS.quantity.value }),
    },
    closed,
  ),
  Type.Object(
    {
      type: Type.Literal('multiply'),
      feature: KeySchema,
      factor: Type.String({
        pattern: '^(?:0|[1-9][0-9]{0,5})(?:\\.[0-9]{1,4})?$',
        description: 'A decimal with at most four decimals, as text: `1.5`.',
      }),
    },
    closed,
  ),
  Type.Object({ type: Type.Literal('unlimited'), feature: KeySchema }, closed),
  Type.Object({ type: Type.Literal('deny'), feature: KeySchema }, closed),
  Type.Object(
    {
      type: Type.Literal('topUp'),
      feature: KeySchema,
      amount: LotAmountSchema,
      priority: Type.Optional(LotPrioritySchema),
      lot: Type.Optional(BoughtOrGivenSchema),
    },
    closed,
  ),
]);

export const TargetSchema = Type.Object({ kind: Type.Enum([...TARGET_KINDS]), key: DataKeySchema }, closed);

/** Vouchers make the grants of their kind themselves. */
export const MadeKindSchema = Type.Enum(GRANT_KINDS.filter((kind) => kind !== 'voucher'));

export const GrantCreateSchema = Type.Object(
  {
    product: Type.Optional(Type.String({ minLength: 1, maxLength: 128 })),
    target: TargetSchema,
    kind: MadeKindSchema,
    effect: GrantEffectSchema,
    startsAt: Type.Optional(TimeSchema),
    endsAt: Type.Optional(orNull(TimeSchema)),
    owner: Type.Optional(orNull(ReferenceSchema)),
    contractReference: Type.Optional(orNull(ReferenceSchema)),
    source: Type.Optional(orNull(ReferenceSchema)),
    reason: ReasonSchema,
  },
  closed,
);
export type GrantCreate = Static<typeof GrantCreateSchema>;

export const GrantSchema = Type.Object(
  {
    id: IdSchema,
    product: Type.String(),
    target: Type.Object({ kind: Type.String(), key: Type.String() }, closed),
    kind: Type.String(),
    effect: Type.Record(Type.String(), Type.Unknown()),
    alsoGrants: Type.Array(Type.String(), {
      description:
        'The features that are granted along with a flag, because it requires them. They end and are revoked with it.',
    }),
    startsAt: TimeSchema,
    endsAt: orNull(TimeSchema),
    reason: Type.String(),
    owner: orNull(Type.String()),
    contractReference: orNull(Type.String()),
    source: orNull(Type.String()),
    application: orNull(
      Type.String({
        description: 'The application of a bundle that made it, by its id; `null`: made by itself.',
      }),
    ),
    revokedAt: orNull(TimeSchema),
    revokeReason: orNull(Type.String()),
    version: Type.Integer(),
    createdAt: TimeSchema,
  },
  closed,
);
export type ApiGrant = Static<typeof GrantSchema>;
export const GrantPageSchema = pageOf(GrantSchema);

export const GrantExtendSchema = Type.Object({ endsAt: orNull(TimeSchema), reason: ReasonSchema }, closed);
export type GrantExtend = Static<typeof GrantExtendSchema>;

export const GrantPatchSchema = Type.Object(
  {
    kind: Type.Optional(MadeKindSchema),
    owner: Type.Optional(orNull(ReferenceSchema)),
    contractReference: Type.Optional(orNull(ReferenceSchema)),
    source: Type.Optional(orNull(ReferenceSchema)),
    reason: ReasonSchema,
  },
  closed,
);
export type GrantPatch = Static<typeof GrantPatchSchema>;

export const GrantParamsSchema = Type.Object(
  { environment: Type.String({ minLength: 1 }), grant: Type.String({ minLength: 1 }) },
  closed,
);

/** How far ahead lists of what ends may look. */
export const WithinDaysSchema = Type.Integer({ minimum: 1, maximum: 3660 });

const GrantFilters = {
  product: Type.Optional(Type.String({ minLength: 1 })),
  kind: Type.Optional(Type.Enum([...GRANT_KINDS])),
  contractReference: Type.Optional(ReferenceSchema),
  endsBefore: Type.Optional(TimeSchema),
  endsWithinDays: Type.Optional(WithinDaysSchema),
  revoked: Type.Optional(Type.Boolean({ description: 'Revoked and ended ones too.' })),
};
export const GrantListQuerySchema = Type.Object(
  {
    ...PageQuerySchema.properties,
    ...GrantFilters,
    customer: Type.Optional(DataKeySchema),
    targetKind: Type.Optional(Type.Enum([...TARGET_KINDS])),
    targetKey: Type.Optional(DataKeySchema),
    application: Type.Optional(IdSchema),
  },
  closed,
);
export type GrantListQuery = Static<typeof GrantListQuerySchema>;

export const CustomerGrantsQuerySchema = Type.Object(
  { ...PageQuerySchema.properties, ...GrantFilters },
  closed,
);
export type CustomerGrantsQuery = Static<typeof CustomerGrantsQuerySchema>;

const ThroughSchema = Type.Object(
  {
    kind: Type.Enum(['customer', 'user', 'instance', 'team', 'condition']),
    key: Type.String({
      description: 'Of the customer, user, instance or team; of the segment for a condition.',
    }),
    endsAt: orNull(
      Type.String({
        description: 'When the membership of the group or segment ends; `null`: never, or there is none.',
      }),
    ),
  },
  closed,
);
export const ReachingGrantSchema = Type.Object(
  {
    ...GrantSchema.properties,
    through: Type.Array(ThroughSchema, {
      description:
        'Through what the grant reaches the customer: itself, one of its users or instances, or, for a group or segment, whoever is a member of it; at most 20 are named.',
    }),
  },
  closed,
);
export type ApiReachingGrant = Static<typeof ReachingGrantSchema>;
export const ReachingGrantPageSchema = pageOf(ReachingGrantSchema);
