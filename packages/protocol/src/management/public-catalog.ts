import { type Static, Type } from 'typebox';

/* The plan catalog for pages: what a pricing page and an upgrade prompt need, and nothing else. Every object is closed. */

const closed = { additionalProperties: false } as const;
const Nullable = <Schema extends Parameters<typeof Type.Union>[0][number]>(schema: Schema) =>
  Type.Union([schema, Type.Null()]);

export const PublicCatalogQuerySchema = Type.Object(
  {
    product_id: Type.Optional(
      Type.String({ description: 'The product, by id or key; needed where the key is not for one product.' }),
    ),
    locale: Type.Optional(
      Type.String({
        maxLength: 35,
        description: 'How numbers and money are written in the texts, for example `de-CH`; default `en`.',
      }),
    ),
  },
  closed,
);

export const PublicPriceSchema = Type.Object(
  {
    amount: Type.Integer({ description: 'In minor units: 2000 is 20.00.' }),
    currency: Type.String(),
    every: Nullable(Type.String({ description: '`month`, `year`, …, `once`.' })),
    source: Nullable(Type.String({ description: 'Where the price comes from.' })),
    text: Type.String({ description: 'The amount as it is read, for example `$20`.' }),
  },
  closed,
);

const PeriodSchema = Type.Object({ every: Type.String(), count: Type.Integer({ minimum: 1 }) }, closed);

const PublicTopUpSchema = Type.Object(
  {
    key: Type.String(),
    name: Type.String(),
    description: Nullable(Type.String()),
    amount: Type.Integer(),
    validDays: Nullable(Type.Integer({ description: 'Of 24 hours; null: without an end.' })),
    price: Nullable(PublicPriceSchema),
    plans: Type.Array(Type.String(), { description: 'Keys of the offered plans that it may be had with.' }),
    text: Type.String({ description: 'For example `100 minutes`.' }),
  },
  closed,
);

export const PublicFeatureSchema = Type.Object(
  {
    key: Type.String(),
    name: Type.String(),
    description: Nullable(Type.String()),
    type: Type.String({ description: 'boolean, limit, metered or config.' }),
    unit: Nullable(Type.Object({ one: Type.String(), other: Type.String() }, closed)),
    per: Type.String({ description: 'Whose quota a metered feature is: customer, instance or user.' }),
    period: Type.Union([PeriodSchema, Type.Null()], { description: 'After which a quota is refilled.' }),
    topUps: Type.Optional(
      Type.Array(PublicTopUpSchema, {
        minItems: 1,
        description: 'Amounts of it that can be bought once; absent where there are none.',
      }),
    ),
  },
  closed,
);

const PublicPlanRowSchema = Type.Object(
  {
    feature: Type.String(),
    included: Type.Boolean(),
    limit: Type.Union([Type.Integer(), Type.Null()], {
      description:
        'What everybody gets; 9007199254740991 when unlimited, null for boolean and config features.',
    }),
    unlimited: Type.Boolean(),
    most: Type.Union([Type.Integer(), Type.Null()], {
      description: 'What some get, where the plan tries several limits; null where all get the same.',
    }),
    text: Type.String({ description: 'For example `3,000 minutes per month`.' }),
  },
  closed,
);

export const PublicPlanSchema = Type.Object(
  {
    key: Type.String(),
    version: Type.Integer(),
    name: Type.String(),
    description: Nullable(Type.String()),
    isDefault: Type.Boolean({ description: 'The plan of whoever has bought nothing.' }),
    price: Nullable(PublicPriceSchema),
    features: Type.Array(PublicPlanRowSchema, {
      description: 'One for each of `features`, in the same order.',
    }),
    addons: Type.Array(Type.String(), { description: 'Keys of the add-ons that may be had with it.' }),
  },
  closed,
);

export const PublicAddonSchema = Type.Object(
  {
    key: Type.String(),
    version: Type.Integer(),
    name: Type.String(),
    description: Nullable(Type.String()),
    price: Nullable(PublicPriceSchema),
    plans: Type.Array(Type.String(), { description: 'Keys of the offered plans that it may be had with.' }),
    maxQuantity: Nullable(Type.Integer()),
    features: Type.Array(
      Type.Object(
        {
          feature: Type.String(),
          effect: Type.Union([Type.Literal('add'), Type.Literal('max'), Type.Literal('override')]),
          limit: Nullable(Type.Integer()),
          unlimited: Type.Boolean(),
          text: Type.String(),
        },
        closed,
      ),
    ),
  },
  closed,
);

export const PublicCatalogSchema = Type.Object(
  {
    product: Type.Object(
      { id: Type.String({ format: 'uuid' }), key: Type.String(), name: Type.String() },
      closed,
    ),
    locale: Type.String(),
    plans: Type.Array(PublicPlanSchema, { description: 'Offered plans in the order of their rank.' }),
    features: Type.Array(PublicFeatureSchema, {
      description: 'What is sold and marked `clientVisible`, in the order of the catalog.',
    }),
    addons: Type.Array(PublicAddonSchema, { description: 'Offered add-ons in the order of the catalog.' }),
  },
  closed,
);

export type ApiPublicCatalog = Static<typeof PublicCatalogSchema>;
export type ApiPublicPlan = Static<typeof PublicPlanSchema>;
export type ApiPublicAddon = Static<typeof PublicAddonSchema>;
export type ApiPublicFeature = Static<typeof PublicFeatureSchema>;
export type ApiPublicPrice = Static<typeof PublicPriceSchema>;
