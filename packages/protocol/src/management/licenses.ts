import { LICENSE_KINDS, LICENSE_STATUSES } from '@pennon/engine/model/customer';
import { LIMITS } from '@pennon/engine/model/limits';
import { type Static, Type } from 'typebox';
import { IdSchema, KeySchema, pageOf, ReasonSchema, TimeSchema } from './common.js';
import { DataKeySchema, orNull, TimeZoneSchema } from './customers.js';

const closed = { additionalProperties: false } as const;

const KindSchema = Type.Enum([...LICENSE_KINDS]);
const StatusSchema = Type.Enum([...LICENSE_STATUSES]);
const QuantitySchema = Type.Integer({ minimum: 1, maximum: LIMITS.quantity.value });
const VersionSchema = Type.Integer({ minimum: 0, maximum: 2_147_483_647 });
const SkuSchema = Type.String({ minLength: 1, maxLength: 256, pattern: '^[^\\u0000-\\u001f]*$' });
const ReferenceSchema = Type.String({ minLength: 1, maxLength: 256, pattern: '^[^\\u0000-\\u001f]*$' });

const LicenseAddonSchema = Type.Object(
  { addon: Type.String(), version: Type.Integer(), quantity: Type.Integer() },
  closed,
);

const UsageSchema = Type.Enum(['carry', 'reset'], {
  description: '`reset` begins the periods that follow the license again at the change; `carry` keeps them.',
});
const NextPlanSchema = Type.Object(
  {
    plan: Type.String(),
    planVersion: Type.Integer(),
    at: TimeSchema,
    usage: UsageSchema,
    move: orNull(IdSchema),
  },
  { ...closed, description: 'What the license will be to from an instant on, by the clock.' },
);
const EarlierPlanSchema = Type.Object(
  { plan: Type.String(), planVersion: Type.Integer(), until: TimeSchema },
  closed,
);
const BeforeCancelSchema = Type.Object(
  { status: StatusSchema, endsAt: orNull(TimeSchema) },
  { ...closed, description: 'What taking a cancellation back goes back to.' },
);

export const LicenseSchema = Type.Object(
  {
    id: IdSchema,
    customer: Type.String(),
    product: Type.String(),
    plan: Type.String(),
    planVersion: Type.Integer(),
    quantity: Type.Integer(),
    kind: KindSchema,
    status: StatusSchema,
    startsAt: TimeSchema,
    endsAt: orNull(TimeSchema),
    graceEndsAt: orNull(TimeSchema),
    anchor: Type.String({ description: 'RFC 9557; every reset period is counted from it.' }),
    anchorSince: orNull(
      Type.String({ description: 'When the anchor was last moved: the period that ran then ended there.' }),
    ),
    timeZone: orNull(Type.String()),
    sku: orNull(Type.String()),
    contractReference: orNull(Type.String()),
    addons: Type.Array(LicenseAddonSchema),
    nextPlan: orNull(NextPlanSchema),
    earlierPlans: Type.Array(EarlierPlanSchema, {
      description: 'What the license was to before; what a lowered limit is lowered from.',
    }),
    beforeCancel: orNull(BeforeCancelSchema),
    version: Type.Integer(),
    createdAt: TimeSchema,
  },
  closed,
);
export type ApiLicense = Static<typeof LicenseSchema>;
export const LicensePageSchema = pageOf(LicenseSchema);

/** What may be said of a license at any time; what is left out stays (PATCH) or gets its default (POST). */
const terms = {
  plan: Type.Optional(KeySchema),
  planVersion: Type.Optional(VersionSchema),
  quantity: Type.Optional(QuantitySchema),
  kind: Type.Optional(KindSchema),
  status: Type.Optional(StatusSchema),
  startsAt: Type.Optional(TimeSchema),
  endsAt: Type.Optional(orNull(TimeSchema)),
  graceEndsAt: Type.Optional(orNull(TimeSchema)),
  timeZone: Type.Optional(orNull(TimeZoneSchema)),
  sku: Type.Optional(orNull(SkuSchema)),
  contractReference: Type.Optional(orNull(ReferenceSchema)),
  addons: Type.Optional(
    Type.Array(
      Type.Object(
        { addon: KeySchema, version: Type.Optional(VersionSchema), quantity: Type.Optional(QuantitySchema) },
        closed,
      ),
      { maxItems: 100 },
    ),
  ),
};

const AnchorSchema = Type.String({
  minLength: 1,
  maxLength: 128,
  description: 'RFC 9557; the start, where it is left out.',
});

export const LicenseCreateSchema = Type.Object(
  {
    product: Type.Optional(Type.String({ minLength: 1, maxLength: 128 })),
    ...terms,
    anchor: Type.Optional(AnchorSchema),
    reason: ReasonSchema,
  },
  closed,
);
export type LicenseCreate = Static<typeof LicenseCreateSchema>;

export const LicensePatchSchema = Type.Object(
  {
    ...terms,
    anchor: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 128,
        description: 'RFC 9557. Another one ends the period that runs, and one begins now.',
      }),
    ),
    reason: ReasonSchema,
  },
  closed,
);
export type LicensePatch = Static<typeof LicensePatchSchema>;

export const LicenseParamsSchema = Type.Object(
  {
    environment: Type.String({ minLength: 1 }),
    customer: DataKeySchema,
    license: Type.String({ minLength: 1 }),
  },
  closed,
);

export const LicenseCancelSchema = Type.Object(
  {
    at: Type.Enum(['now', 'period-end'], {
      description: '`period-end`: rights are kept to the end of the period that is paid for.',
    }),
    reason: ReasonSchema,
  },
  closed,
);
export type LicenseCancel = Static<typeof LicenseCancelSchema>;

export const PlanChangeBodySchema = Type.Object(
  {
    plan: KeySchema,
    planVersion: Type.Optional(VersionSchema),
    at: Type.Optional(
      Type.Union([Type.Literal('now'), Type.Literal('period-end'), TimeSchema], {
        description: 'When the license changes its plan, by the clock; at once where it is left out.',
      }),
    ),
    usage: Type.Optional(UsageSchema),
    reason: ReasonSchema,
  },
  closed,
);
export type PlanChangeBody = Static<typeof PlanChangeBodySchema>;
