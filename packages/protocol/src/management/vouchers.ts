import { LIMITS } from '@pennon/engine/model/limits';
import { type Static, Type } from 'typebox';
import { IdSchema, KeySchema, PageQuerySchema, pageOf, ReasonSchema, TimeSchema } from './common.js';
import { DataKeySchema, orNull } from './customers.js';
import { GrantCreateSchema } from './grants.js';

const closed = { additionalProperties: false } as const;

export const VOUCHER_KINDS = ['FLAG_GRANT', 'ENTITLEMENT_BOOST', 'CONFIG_GRANT', 'COMPOSITE'] as const;
export type VoucherKind = (typeof VOUCHER_KINDS)[number];

/** `expired` and `exhausted` are told by the clock and the count; they are never stored. */
export const VOUCHER_STATES = ['draft', 'active', 'expired', 'exhausted', 'archived'] as const;
export type VoucherState = (typeof VOUCHER_STATES)[number];

export const VOUCHER_TARGETS = ['customer', 'instance', 'user'] as const;
export type VoucherTarget = (typeof VOUCHER_TARGETS)[number];

const CountSchema = Type.Integer({ minimum: 1, maximum: LIMITS.quantity.value });
const TextSchema = Type.String({
  minLength: 1,
  maxLength: LIMITS.textLength.value,
  pattern: '^[^\\u0000]*$',
});
const ReferenceSchema = Type.String({ minLength: 1, maxLength: 256, pattern: '^[^\\u0000-\\u001f]*$' });

/** What a person typed or pasted; how it is read is told in the reference. */
const CodeSchema = Type.String({
  minLength: 1,
  maxLength: LIMITS.keyLength.value,
  description: 'In any case, with or without hyphens and spaces.',
});

const TypedCodeSchema = Type.String({
  pattern: '^[A-Za-z0-9](?:[A-Za-z0-9_-]{0,62}[A-Za-z0-9])?$',
  description: `A code that a person chose, at least ${LIMITS.typedCodeCharacters.value} letters and digits. The voucher must have \`maxRedemptions\` and \`endsAt\`.`,
});

const LastsSchema = Type.Union(
  [
    Type.Object(
      {
        days: Type.Integer({
          minimum: 1,
          maximum: LIMITS.voucherDays.value,
          description: 'From the redemption on.',
        }),
      },
      closed,
    ),
    Type.Object({ until: TimeSchema }, closed),
    Type.Literal('forever', { description: 'Only with a `contractReference`.' }),
  ],
  { description: 'How long what it gives lasts.' },
);

const EffectsSchema = Type.Array(GrantCreateSchema.properties.effect, {
  minItems: 1,
  maxItems: LIMITS.voucherEffects.value,
  description: 'What a redemption gives: the effects of grants, without `deny`.',
});

const StackingSchema = Type.Union([Type.Literal('stackable'), Type.Literal('exclusive')]);

const terms = {
  name: Type.Optional(orNull(TextSchema)),
  startsAt: Type.Optional(TimeSchema),
  endsAt: Type.Optional(orNull(TimeSchema)),
  maxRedemptions: Type.Optional(orNull(CountSchema)),
  maxPerCustomer: Type.Optional(CountSchema),
  eligibility: Type.Optional(
    orNull(
      Type.String({
        minLength: 1,
        maxLength: LIMITS.expressionBytes.value,
        description: 'CEL over `customer`, `plan`, `license`, `instance`, `environment` and `now`.',
      }),
    ),
  ),
  plans: Type.Optional(
    orNull(
      Type.Array(Type.String({ minLength: 1, maxLength: LIMITS.keyLength.value + 16 }), {
        minItems: 1,
        maxItems: LIMITS.voucherPlans.value,
        description: '`pro` means every version, `pro@1` that one.',
      }),
    ),
  ),
  firstTimeOnly: Type.Optional(Type.Boolean()),
  stacking: Type.Optional(StackingSchema),
  stackingGroup: Type.Optional(orNull(KeySchema)),
};

export const VoucherCreateSchema = Type.Object(
  {
    product: Type.Optional(Type.String({ minLength: 1, maxLength: 128 })),
    key: KeySchema,
    kind: Type.Enum([...VOUCHER_KINDS]),
    effects: EffectsSchema,
    target: Type.Optional(Type.Enum([...VOUCHER_TARGETS])),
    lasts: LastsSchema,
    state: Type.Optional(Type.Union([Type.Literal('draft'), Type.Literal('active')])),
    ...terms,
    contractReference: Type.Optional(orNull(ReferenceSchema)),
    code: Type.Optional(TypedCodeSchema),
    reason: ReasonSchema,
  },
  closed,
);
export type VoucherCreate = Static<typeof VoucherCreateSchema>;

export const VoucherPatchSchema = Type.Object(
  {
    kind: Type.Optional(Type.Enum([...VOUCHER_KINDS])),
    effects: Type.Optional(EffectsSchema),
    target: Type.Optional(Type.Enum([...VOUCHER_TARGETS])),
    lasts: Type.Optional(LastsSchema),
    ...terms,
    contractReference: Type.Optional(orNull(ReferenceSchema)),
    reason: ReasonSchema,
  },
  closed,
);
export type VoucherPatch = Static<typeof VoucherPatchSchema>;

export const VoucherSchema = Type.Object(
  {
    id: IdSchema,
    product: Type.String(),
    key: Type.String(),
    name: orNull(Type.String()),
    kind: Type.String(),
    state: Type.Enum([...VOUCHER_STATES]),
    effects: Type.Array(Type.Record(Type.String(), Type.Unknown())),
    target: Type.String(),
    lasts: LastsSchema,
    startsAt: TimeSchema,
    endsAt: orNull(TimeSchema),
    maxRedemptions: orNull(Type.Integer()),
    maxPerCustomer: Type.Integer(),
    redeemed: Type.Integer({ description: 'Redemptions so far; those that were revoked count too.' }),
    eligibility: orNull(Type.String()),
    plans: orNull(Type.Array(Type.String())),
    firstTimeOnly: Type.Boolean(),
    stacking: StackingSchema,
    stackingGroup: orNull(Type.String()),
    contractReference: orNull(Type.String()),
    version: Type.Integer(),
    createdAt: TimeSchema,
  },
  closed,
);
export type ApiVoucher = Static<typeof VoucherSchema>;
export const VoucherPageSchema = pageOf(VoucherSchema);

export const VoucherParamsSchema = Type.Object(
  { environment: Type.String({ minLength: 1 }), voucher: Type.String({ minLength: 1 }) },
  closed,
);
export const VoucherCodeParamsSchema = Type.Object(
  { ...VoucherParamsSchema.properties, code: Type.String({ minLength: 1 }) },
  closed,
);
export const VoucherListQuerySchema = Type.Object(
  {
    ...PageQuerySchema.properties,
    product: Type.Optional(Type.String({ minLength: 1 })),
    state: Type.Optional(Type.Enum([...VOUCHER_STATES])),
  },
  closed,
);
export type VoucherListQuery = Static<typeof VoucherListQuerySchema>;

export const VoucherRevokedSchema = Type.Object(
  {
    voucher: VoucherSchema,
    revoked: Type.Integer({ description: 'Redemptions that this call took back.' }),
    remaining: Type.Integer({
      description: 'Those that are still to be taken back: call again until it is 0.',
    }),
  },
  closed,
);
export type ApiVoucherRevoked = Static<typeof VoucherRevokedSchema>;

/** Either so many generated codes, or one that a person chose. */
export const CodesCreateSchema = Type.Object(
  {
    count: Type.Optional(Type.Integer({ minimum: 1, maximum: LIMITS.voucherCodesAtOnce.value })),
    redemptionsPerCode: Type.Optional(orNull(CountSchema)),
    code: Type.Optional(TypedCodeSchema),
    reason: ReasonSchema,
  },
  closed,
);
export type CodesCreate = Static<typeof CodesCreateSchema>;

export const CodesCreatedSchema = Type.Object(
  {
    batch: IdSchema,
    redemptionsPerCode: orNull(Type.Integer()),
    codes: orNull(
      Type.Array(Type.String(), { description: 'Shown this once; `null` to a repeat of the call.' }),
    ),
  },
  closed,
);
export type ApiCodesCreated = Static<typeof CodesCreatedSchema>;

export const VoucherCodeSchema = Type.Object(
  {
    id: IdSchema,
    batch: IdSchema,
    kind: Type.Union([Type.Literal('generated'), Type.Literal('typed')]),
    hint: Type.String({ description: 'Its last characters.' }),
    redemptionsPerCode: orNull(Type.Integer()),
    redeemed: Type.Integer(),
    createdAt: TimeSchema,
    withdrawnAt: orNull(TimeSchema),
    withdrawReason: orNull(Type.String()),
    version: Type.Integer({ description: 'The `ETag`; redeeming a code leaves it.' }),
  },
  closed,
);
export type ApiVoucherCode = Static<typeof VoucherCodeSchema>;
export const VoucherCodePageSchema = pageOf(VoucherCodeSchema);
export const VoucherCodeListQuerySchema = Type.Object({ ...PageQuerySchema.properties }, closed);

/** A part of what was revoked that had been used, and therefore stays. */
const KeptSchema = Type.Object(
  {
    feature: Type.String(),
    scope: Type.String(),
    amount: Type.Integer(),
    until: orNull(TimeSchema),
    grant: IdSchema,
  },
  closed,
);

export const RedemptionSchema = Type.Object(
  {
    id: IdSchema,
    voucher: Type.String(),
    product: Type.String(),
    customer: Type.String(),
    target: Type.Object({ kind: Type.String(), key: Type.String() }, closed),
    codeHint: Type.String(),
    grants: Type.Array(
      Type.Object({ id: IdSchema, effect: Type.Record(Type.String(), Type.Unknown()) }, closed),
    ),
    redeemedAt: TimeSchema,
    endsAt: orNull(TimeSchema),
    revokedAt: orNull(TimeSchema),
    revokeReason: orNull(Type.String()),
    kept: Type.Array(KeptSchema, { description: 'What had been used when it was revoked, and stays.' }),
    version: Type.Integer(),
  },
  closed,
);
export type ApiRedemption = Static<typeof RedemptionSchema>;
export const RedemptionPageSchema = pageOf(RedemptionSchema);
export const RedemptionParamsSchema = Type.Object(
  { environment: Type.String({ minLength: 1 }), redemption: Type.String({ minLength: 1 }) },
  closed,
);
export const RedemptionListQuerySchema = Type.Object(
  {
    ...PageQuerySchema.properties,
    voucher: Type.Optional(Type.String({ minLength: 1, maxLength: LIMITS.keyLength.value })),
    customer: Type.Optional(DataKeySchema),
    revoked: Type.Optional(Type.Boolean({ description: 'Only those that were, or were not, revoked.' })),
  },
  closed,
);
export type RedemptionListQuery = Static<typeof RedemptionListQuerySchema>;

/** Who redeems, said by a backend. */
export const RedeemSchema = Type.Object(
  {
    code: CodeSchema,
    customer: DataKeySchema,
    user: Type.Optional(orNull(DataKeySchema)),
    instance: Type.Optional(orNull(DataKeySchema)),
    product: Type.Optional(Type.String({ minLength: 1, maxLength: 128 })),
    reason: Type.Optional(ReasonSchema),
  },
  closed,
);
export type Redeem = Static<typeof RedeemSchema>;

/** The customer, the user and the instance are those of the token. */
export const CustomerRedeemSchema = Type.Object({ code: CodeSchema }, closed);

export const RedemptionCheckSchema = Type.Object(
  {
    redeemable: Type.Boolean(),
    refusal: orNull(Type.Object({ code: Type.String(), message: Type.String() }, closed)),
    voucher: orNull(Type.String()),
    name: orNull(Type.String()),
    effects: Type.Array(Type.Record(Type.String(), Type.Unknown())),
    endsAt: orNull(TimeSchema),
  },
  closed,
);
export type ApiRedemptionCheck = Static<typeof RedemptionCheckSchema>;
