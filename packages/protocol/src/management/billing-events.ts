import { BILLING_STATUSES } from '@pennon/engine/model/billing';
import { LIMITS } from '@pennon/engine/model/limits';
import { type Static, Type } from 'typebox';
import { BillingProblemSchema } from './billing.js';
import { IdSchema, KeySchema, pageOf, ReasonSchema, TimeSchema } from './common.js';
import { DataKeySchema, orNull } from './customers.js';
import { LicenseSchema } from './licenses.js';

/** What is told of subscriptions by whoever calls: contracts that were signed by hand, and providers without an adapter. */

const closed = { additionalProperties: false } as const;

export const BillingReferenceSchema = Type.String({
  minLength: 1,
  maxLength: LIMITS.billingReference.value,
  pattern: '^[^\\u0000-\\u001f]+$',
});
const VersionSchema = Type.Integer({ minimum: 0, maximum: 2_147_483_647 });
const QuantitySchema = Type.Integer({ minimum: 0, maximum: LIMITS.billingQuantity.value });

const EventItemSchema = Type.Object(
  {
    id: Type.Optional(BillingReferenceSchema),
    price: Type.Optional(BillingReferenceSchema),
    lookupKey: Type.Optional(BillingReferenceSchema),
    providerProduct: Type.Optional(BillingReferenceSchema),
    product: Type.Optional(KeySchema),
    plan: Type.Optional(KeySchema),
    planVersion: Type.Optional(VersionSchema),
    addons: Type.Optional(
      Type.Array(
        Type.Object(
          {
            addon: KeySchema,
            version: Type.Optional(VersionSchema),
            quantity: Type.Optional(Type.Integer({ minimum: 1, maximum: LIMITS.billingQuantity.value })),
          },
          closed,
        ),
        { minItems: 1, maxItems: 50 },
      ),
    ),
    quantity: Type.Optional(QuantitySchema),
    periodStart: Type.Optional(TimeSchema),
    periodEnd: Type.Optional(TimeSchema),
  },
  {
    ...closed,
    description:
      'What is bought. Either names that the connection’s mapping in the catalog knows (`price`, `lookupKey`, `providerProduct`), or what it gives: `plan` and `addons` of `product`.',
  },
);
export type BillingEventItem = Static<typeof EventItemSchema>;
const ItemsSchema = Type.Array(EventItemSchema, { maxItems: 100 });

export const BillingEventSchema = Type.Object(
  {
    connection: Type.String({ ...KeySchema, description: 'A connection of the provider `api`.' }),
    subscription: Type.String({
      ...BillingReferenceSchema,
      description: 'The number of the contract, or the provider’s id. Its newest state counts.',
    }),
    sequence: Type.Integer({
      minimum: 0,
      maximum: Number.MAX_SAFE_INTEGER,
      description:
        'Rises with every change of the subscription: the greatest counts, in whatever order they arrive.',
    }),
    customer: Type.Optional(DataKeySchema),
    billingCustomer: Type.Optional(
      Type.String({
        ...BillingReferenceSchema,
        description: 'The provider’s customer; default: `customer`.',
      }),
    ),
    status: Type.Enum([...BILLING_STATUSES]),
    items: ItemsSchema,
    occurredAt: Type.Optional(TimeSchema),
    startsAt: TimeSchema,
    anchorAt: Type.Optional(TimeSchema),
    trialEndsAt: Type.Optional(TimeSchema),
    validUntil: Type.Optional(TimeSchema),
    endedAt: Type.Optional(TimeSchema),
    next: Type.Optional(
      Type.Object(
        { at: TimeSchema, items: ItemsSchema },
        { ...closed, description: 'What is bought from then on.' },
      ),
    ),
    reason: ReasonSchema,
  },
  {
    ...closed,
    description:
      'The whole state of one subscription. What is not said is not so: an event without `validUntil` takes an earlier one back.',
  },
);
export type BillingEvent = Static<typeof BillingEventSchema>;

export const BillingEventToSchema = Type.Object(
  { environment: KeySchema, ...BillingEventSchema.properties },
  {
    ...closed,
    description: 'The same for senders with one fixed address: the environment is named beside it.',
  },
);

export const BillingEventResultSchema = Type.Object(
  {
    id: IdSchema,
    outcome: Type.Enum(['applied', 'unlinked', 'stale', 'known'], {
      description:
        '`stale`: a greater sequence was told before, and nothing changed. `known`: this one was told before. `unlinked`: kept until somebody says whose it is.',
    }),
    customer: orNull(Type.String()),
    licenses: Type.Array(LicenseSchema, { description: 'What the subscription gives now.' }),
    problems: Type.Array(BillingProblemSchema),
  },
  closed,
);
export type BillingEventResult = Static<typeof BillingEventResultSchema>;

export const BillingLinkSchema = Type.Object(
  {
    connection: Type.String(),
    billingCustomer: Type.String({ description: 'The provider’s customer.' }),
    customer: Type.String(),
    linkedAt: TimeSchema,
  },
  closed,
);
export type ApiBillingLink = Static<typeof BillingLinkSchema>;
export const BillingLinkPageSchema = pageOf(BillingLinkSchema);
export const BillingLinkPutSchema = Type.Object({ customer: DataKeySchema, reason: ReasonSchema }, closed);
export type BillingLinkPut = Static<typeof BillingLinkPutSchema>;
