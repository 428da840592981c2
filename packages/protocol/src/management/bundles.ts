import { GRANT_KINDS, TARGET_KINDS } from '@pennon/engine/model/customer';
import { LIMITS } from '@pennon/engine/model/limits';
import { type Static, Type } from 'typebox';
import { IdSchema, KeySchema, PageQuerySchema, pageOf, ReasonSchema, TimeSchema } from './common.js';
import { DataKeySchema, orNull } from './customers.js';
import { GrantEffectSchema, MadeKindSchema, ReferenceSchema, TargetSchema } from './grants.js';

const closed = { additionalProperties: false } as const;
const TextSchema = Type.String({
  minLength: 1,
  maxLength: LIMITS.textLength.value,
  pattern: '^[^\\u0000]*$',
});
const DaysSchema = Type.Integer({ minimum: 1, maximum: 3660 });
const ProductSchema = Type.String({ minLength: 1, maxLength: 128 });

/** What a bundle says, but for its name in the path. */
export const BundleWriteSchema = Type.Object(
  {
    name: Type.Optional(TextSchema),
    description: Type.Optional(orNull(TextSchema)),
    kind: Type.Optional(MadeKindSchema),
    days: Type.Optional(orNull(DaysSchema)),
    owner: Type.Optional(orNull(ReferenceSchema)),
    effects: Type.Array(GrantEffectSchema, { minItems: 1, maxItems: LIMITS.effectsPerBundle.value }),
    reason: ReasonSchema,
  },
  closed,
);
export type BundleWrite = Static<typeof BundleWriteSchema>;

export const BundleSchema = Type.Object(
  {
    id: IdSchema,
    key: KeySchema,
    product: Type.String(),
    name: Type.String(),
    description: orNull(Type.String()),
    kind: Type.String({
      description: 'The kind of the grants that an application makes; `demo` where nothing was said.',
    }),
    days: orNull(Type.Integer({ description: 'How long an application lasts that says no end.' })),
    owner: orNull(Type.String()),
    effects: Type.Array(Type.Record(Type.String(), Type.Unknown())),
    version: Type.Integer(),
    createdAt: TimeSchema,
  },
  closed,
);
export type ApiBundle = Static<typeof BundleSchema>;
export const BundlePageSchema = pageOf(BundleSchema);

export const BundleParamsSchema = Type.Object(
  { environment: Type.String({ minLength: 1 }), bundle: KeySchema },
  closed,
);
/** Bundles belong to a product; without one the credential's is meant, else the default one. */
export const BundleQuerySchema = Type.Object({ product: Type.Optional(ProductSchema) }, closed);
export const BundleRemoveQuerySchema = Type.Object(
  { product: Type.Optional(ProductSchema), reason: ReasonSchema },
  closed,
);
export const BundleListQuerySchema = Type.Object(
  { ...PageQuerySchema.properties, product: Type.Optional(ProductSchema) },
  closed,
);
export type BundleListQuery = Static<typeof BundleListQuerySchema>;

export const BundleApplySchema = Type.Object(
  {
    target: TargetSchema,
    days: Type.Optional(DaysSchema),
    startsAt: Type.Optional(TimeSchema),
    endsAt: Type.Optional(orNull(TimeSchema)),
    owner: Type.Optional(orNull(ReferenceSchema)),
    contractReference: Type.Optional(orNull(ReferenceSchema)),
    source: Type.Optional(orNull(ReferenceSchema)),
    again: Type.Optional(
      Type.Boolean({
        description: 'Also where an application of this bundle to the same target is running.',
      }),
    ),
    reason: ReasonSchema,
  },
  closed,
);
export type BundleApply = Static<typeof BundleApplySchema>;

export const BundleApplicationSchema = Type.Object(
  {
    id: IdSchema,
    bundle: Type.String(),
    bundleVersion: Type.Integer({
      description: 'Of the bundle when it was applied; changing it changes no application.',
    }),
    product: Type.String(),
    target: Type.Object({ kind: Type.String(), key: Type.String() }, closed),
    kind: Type.String(),
    grants: Type.Array(
      Type.Object(
        {
          id: IdSchema,
          effect: Type.Record(Type.String(), Type.Unknown()),
          endsAt: orNull(TimeSchema),
          revokedAt: orNull(TimeSchema),
        },
        closed,
      ),
      { description: 'What it gave, in the order of the bundle; each is a grant like any other.' },
    ),
    startsAt: TimeSchema,
    endsAt: orNull(TimeSchema),
    reason: Type.String(),
    owner: orNull(Type.String()),
    contractReference: orNull(Type.String()),
    source: orNull(Type.String()),
    revokedAt: orNull(TimeSchema),
    revokeReason: orNull(Type.String()),
    version: Type.Integer(),
    createdAt: TimeSchema,
  },
  closed,
);
export type ApiBundleApplication = Static<typeof BundleApplicationSchema>;
export const BundleApplicationPageSchema = pageOf(BundleApplicationSchema);

export const BundleApplicationParamsSchema = Type.Object(
  { environment: Type.String({ minLength: 1 }), application: Type.String({ minLength: 1 }) },
  closed,
);
export const BundleExtendSchema = Type.Object(
  {
    days: Type.Optional(DaysSchema),
    endsAt: Type.Optional(orNull(TimeSchema)),
    reason: ReasonSchema,
  },
  closed,
);
export type BundleExtend = Static<typeof BundleExtendSchema>;

export const BundleApplicationListQuerySchema = Type.Object(
  {
    ...PageQuerySchema.properties,
    product: Type.Optional(ProductSchema),
    bundle: Type.Optional(KeySchema),
    kind: Type.Optional(Type.Enum([...GRANT_KINDS])),
    targetKind: Type.Optional(Type.Enum([...TARGET_KINDS])),
    targetKey: Type.Optional(DataKeySchema),
    revoked: Type.Optional(Type.Boolean({ description: 'Revoked and ended ones too.' })),
  },
  closed,
);
export type BundleApplicationListQuery = Static<typeof BundleApplicationListQuerySchema>;
