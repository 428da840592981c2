import { type Static, Type } from 'typebox';
import { RemedySchema } from '../oep/remedy.js';
import { OepOverLimit } from '../oep/schemas.js';

/* The plain endpoints: what a customer has, for an application that speaks neither OFREP nor OEP (F-2, C-2). */

const named = {
  customer: Type.Optional(
    Type.String({ description: 'The customer’s key. With a server key; a customer token names its own.' }),
  ),
  user: Type.Optional(Type.String({ description: 'The key of the user who acts.' })),
  instance: Type.Optional(Type.String({ description: 'The key or id of the customer’s instance.' })),
};

export const FeatureFlagsQuerySchema = Type.Object(
  {
    product_id: Type.Optional(Type.String({ description: 'The product, by id or key. Without it 400.' })),
    ...named,
  },
  { additionalProperties: false },
);

export const FeatureFlagsSchema = Type.Object(
  {
    data: Type.Object(
      {
        product_id: Type.String({ format: 'uuid' }),
        featureFlags: Type.Record(Type.String(), Type.Boolean(), {
          description: 'Every boolean feature and boolean flag, false included, sorted by key.',
        }),
        featureFlagSource: Type.Union(
          [
            Type.Literal('user'),
            Type.Literal('customer_group'),
            Type.Literal('plan_default_group'),
            Type.Literal('plan'),
            Type.Literal('none'),
          ],
          { description: 'The highest source that took part.' },
        ),
        featureFlagGroup: Type.Union([Type.String(), Type.Null()], {
          description: 'The highest group that applied.',
        }),
      },
      { additionalProperties: false },
    ),
  },
  {
    additionalProperties: false,
    examples: [
      {
        data: {
          product_id: '01990a2b-7c3d-7e4f-8a5b-6c7d8e9f0a1b',
          featureFlags: { new_dashboard: true, old_dashboard: false },
          featureFlagSource: 'customer_group',
          featureFlagGroup: 'beta',
        },
      },
    ],
  },
);

export const CapabilitiesQuerySchema = Type.Object(
  {
    product_id: Type.Optional(
      Type.String({ description: 'The product, by id or key; needed where the key is not for one product.' }),
    ),
    ...named,
    include: Type.Optional(
      Type.Literal('features', {
        description: 'Adds the state and the remedy of boolean and config features, for locked previews.',
      }),
    ),
  },
  { additionalProperties: false },
);

const StateSchema = Type.Union([Type.Literal('enabled'), Type.Literal('locked'), Type.Literal('hidden')], {
  description: 'What a UI should do: offer it, show it locked with its remedy, or not show it.',
});

export const CapabilityLimitSchema = Type.Object(
  {
    used: Type.Union([Type.Integer(), Type.Null()], {
      description: 'null for a static limit, whose use is not counted here.',
    }),
    limit: Type.Integer({ description: '9007199254740991 when unlimited.' }),
    unlimited: Type.Boolean(),
    resetsAt: Type.Union([Type.String({ format: 'date-time' }), Type.Null()]),
    over: Type.Integer({
      minimum: 0,
      description: 'What is used and held above what is granted for good.',
    }),
    overLimit: Type.Union([Type.Null(), OepOverLimit], {
      description: 'What follows from a limit that fell below what is used; null where nothing does.',
    }),
    state: StateSchema,
    remedy: RemedySchema,
  },
  { additionalProperties: false },
);

export const CapabilitiesSchema = Type.Object(
  {
    plan: Type.Union([Type.String(), Type.Null()], {
      description: 'The key of the plan that speaks for the customer; null without one.',
    }),
    flags: Type.Record(Type.String(), Type.Union([Type.Boolean(), Type.Number()]), {
      description: 'Booleans and numbers as declared, never derived from what is used up, sorted by key.',
    }),
    limits: Type.Record(Type.String(), CapabilityLimitSchema),
    features: Type.Optional(
      Type.Record(
        Type.String(),
        Type.Object({ state: StateSchema, remedy: RemedySchema }, { additionalProperties: false }),
        { description: 'With `include=features` only.' },
      ),
    ),
  },
  {
    additionalProperties: false,
    examples: [
      {
        plan: 'pro',
        flags: { can_create_professionals: true, max_professionals: 3 },
        limits: {
          max_professionals: {
            used: 3,
            limit: 3,
            unlimited: false,
            resetsAt: null,
            over: 0,
            overLimit: null,
            state: 'locked',
            remedy: {
              kind: 'upgrade',
              at: null,
              options: [
                {
                  plan: 'business',
                  version: 0,
                  name: 'Business',
                  limit: 25,
                  unlimited: false,
                  price: { amount: 4900, currency: 'USD', every: 'month', source: 'list' },
                },
              ],
            },
          },
        },
      },
    ],
  },
);

export type ApiFeatureFlags = Static<typeof FeatureFlagsSchema>;
export type ApiCapabilities = Static<typeof CapabilitiesSchema>;
export type ApiCapabilityLimit = Static<typeof CapabilityLimitSchema>;
