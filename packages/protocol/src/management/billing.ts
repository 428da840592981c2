import { LIMITS } from '@pennon/engine/model/limits';
import { type Static, Type } from 'typebox';
import { IdSchema, KeySchema, pageOf, ReasonSchema, TimeSchema } from './common.js';

/** Connections to billing providers: an account of theirs, in one mode, bound to one environment. */

const closed = { additionalProperties: false } as const;
const orNull = <Schema extends ReturnType<typeof Type.String>>(schema: Schema) =>
  Type.Union([schema, Type.Null()]);

const SecretSchema = Type.String({
  minLength: 8,
  maxLength: 500,
  pattern: '^[!-~]+$',
  description: 'As the provider shows it. It signs what arrives, and no answer ever shows it again.',
});
const ApiKeySchema = Type.String({
  minLength: 8,
  maxLength: 500,
  pattern: '^[!-~]+$',
  description: 'With a key of the provider’s API, an event is a doorbell, and what it concerns is fetched.',
});
const AccountSchema = Type.String({
  maxLength: LIMITS.billingReference.value,
  pattern: '^[!-~]*$',
  description: 'Of a connected account; empty: the account that the endpoint belongs to.',
});

export const BillingProviderSchema = Type.Union([
  Type.Literal('stripe'),
  Type.Literal('paddle'),
  Type.Literal('standard'),
  Type.Literal('api'),
]);
const ModeSchema = Type.Union([Type.Literal('live'), Type.Literal('test')], {
  description: 'What comes in the other mode changes nothing.',
});

export const BillingConnectionSchema = Type.Object(
  {
    id: IdSchema,
    key: KeySchema,
    provider: BillingProviderSchema,
    mapping: Type.String({ description: 'The key of the `billing` entry in the catalogs.' }),
    mode: ModeSchema,
    account: Type.String(),
    hasApiKey: Type.Boolean(),
    webhookPath: orNull(Type.String({ description: 'Where the provider delivers to.' })),
    secrets: Type.Array(
      Type.Object(
        { id: IdSchema, hint: Type.String(), createdAt: TimeSchema, endsAt: orNull(TimeSchema) },
        closed,
      ),
      { description: 'Those that are active; while one is being replaced, two.' },
    ),
    version: Type.Integer(),
    createdAt: TimeSchema,
  },
  closed,
);
export type ApiBillingConnection = Static<typeof BillingConnectionSchema>;
export const BillingConnectionPageSchema = pageOf(BillingConnectionSchema);

const TextOrNull = orNull(Type.String());

export const BillingProblemSchema = Type.Object(
  {
    connection: Type.String(),
    subscription: Type.String({ description: 'The provider’s id.' }),
    code: Type.Enum([
      'CUSTOMER_NOT_LINKED',
      'NOT_MAPPED',
      'NOT_PUBLISHED',
      'ADDON_WITHOUT_PLAN',
      'ADDON_NOT_FOR_PLAN',
      'ADDON_QUANTITY',
      'TOO_MANY_LICENSES',
    ]),
    product: TextOrNull,
    name: orNull(
      Type.String({ description: 'The plan version, add-on, or customer there that it is about.' }),
    ),
    item: Type.Union([
      Type.Object(
        { price: TextOrNull, lookupKey: TextOrNull, product: TextOrNull, quantity: Type.Integer() },
        closed,
      ),
      Type.Null(),
    ]),
    isHeld: Type.Boolean({ description: 'What the customer had is kept until it is resolved.' }),
    since: TimeSchema,
  },
  closed,
);
export type ApiBillingProblem = Static<typeof BillingProblemSchema>;
export const BillingProblemPageSchema = pageOf(BillingProblemSchema);

export const BillingConnectionCreateSchema = Type.Object(
  {
    key: KeySchema,
    provider: BillingProviderSchema,
    mode: ModeSchema,
    mapping: Type.Optional(KeySchema),
    account: Type.Optional(AccountSchema),
    secret: Type.Optional(SecretSchema),
    apiKey: Type.Optional(ApiKeySchema),
    reason: ReasonSchema,
  },
  closed,
);
export type BillingConnectionCreate = Static<typeof BillingConnectionCreateSchema>;

export const BillingConnectionPatchSchema = Type.Object(
  {
    mapping: Type.Optional(KeySchema),
    account: Type.Optional(AccountSchema),
    apiKey: Type.Optional(orNull(ApiKeySchema)),
    reason: ReasonSchema,
  },
  closed,
);
export type BillingConnectionPatch = Static<typeof BillingConnectionPatchSchema>;

export const BillingSecretCreateSchema = Type.Object(
  {
    secret: SecretSchema,
    overlapSeconds: Type.Integer({
      minimum: 0,
      maximum: 30 * 86_400,
      description: 'For so long the secrets before are good too.',
    }),
    reason: ReasonSchema,
  },
  closed,
);
export type BillingSecretCreate = Static<typeof BillingSecretCreateSchema>;
