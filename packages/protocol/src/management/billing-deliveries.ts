import { LICENSE_STATUSES } from '@pennon/engine/model/customer';
import { LIMITS } from '@pennon/engine/model/limits';
import { type Static, Type } from 'typebox';
import { IdSchema, PageQuerySchema, pageOf, ReasonSchema, TimeSchema } from './common.js';
import { orNull } from './customers.js';

/** What came over a connection, what could not be taken in, and where billing and licenses differ. */

const closed = { additionalProperties: false } as const;
const TextOrNull = orNull(Type.String());

const DeliveryStateSchema = Type.Enum(['waiting', 'done', 'ignored', 'dead'], {
  description:
    '`dead`: it failed for good, or is of another mode or account. `ignored`: it changes nothing here.',
});

const delivery = {
  id: IdSchema,
  eventId: Type.String({ description: 'The provider’s.' }),
  type: Type.String(),
  account: Type.String(),
  billingCustomer: TextOrNull,
  state: DeliveryStateSchema,
  attempts: Type.Integer(),
  problem: TextOrNull,
  occurredAt: TimeSchema,
  receivedAt: TimeSchema,
  dueAt: orNull(Type.String({ ...TimeSchema, description: 'When it is tried next.' })),
} as const;

export const BillingDeliverySchema = Type.Object(delivery, closed);
export type ApiBillingDelivery = Static<typeof BillingDeliverySchema>;
export const BillingDeliveryPageSchema = pageOf(BillingDeliverySchema);

export const BillingDeliveryBodySchema = Type.Object(
  { ...delivery, body: orNull(Type.String({ description: 'As it came; `null` where it was no text.' })) },
  closed,
);
export type ApiBillingDeliveryBody = Static<typeof BillingDeliveryBodySchema>;

export const BillingDeliveryQuerySchema = Type.Object(
  { ...PageQuerySchema.properties, state: Type.Optional(DeliveryStateSchema) },
  closed,
);
export type BillingDeliveryQuery = Static<typeof BillingDeliveryQuerySchema>;

export const BillingReplaySchema = Type.Object(
  {
    deliveries: Type.Optional(
      Type.Array(IdSchema, {
        minItems: 1,
        maxItems: LIMITS.webhookReplay.value,
        description: 'Default: every dead letter of the connection.',
      }),
    ),
    reason: ReasonSchema,
  },
  closed,
);
export type BillingReplay = Static<typeof BillingReplaySchema>;
export const BillingReplayedSchema = Type.Object({ replayed: Type.Integer() }, closed);
export type BillingReplayed = Static<typeof BillingReplayedSchema>;

const DifferenceSchema = Type.Object(
  {
    member: Type.String({ description: 'Of the license.' }),
    billed: Type.Unknown(),
    licensed: Type.Unknown(),
  },
  closed,
);

export const BillingDriftSchema = Type.Object(
  {
    subscription: Type.String(),
    billingCustomer: Type.String(),
    customer: TextOrNull,
    kind: Type.Enum(['UNLINKED', 'UNRESOLVED', 'NOT_LICENSED', 'NOT_BILLED', 'DIFFERENT'], {
      description:
        '`UNLINKED`: nobody knows whose it is. `UNRESOLVED`: an item means nothing, so that what was had is kept. `NOT_LICENSED`: billed, and there is no license in force. `NOT_BILLED`: a license stands that nothing bills any more. `DIFFERENT`: people changed the license.',
    }),
    billedStatus: Type.String({ description: 'What the provider says of the subscription.' }),
    licenseStatus: orNull(Type.Enum([...LICENSE_STATUSES])),
    license: orNull(IdSchema),
    product: TextOrNull,
    differences: Type.Array(DifferenceSchema),
  },
  closed,
);
export type ApiBillingDrift = Static<typeof BillingDriftSchema>;

export const BillingDriftPageSchema = Type.Object({
  ...pageOf(BillingDriftSchema).properties,
  looked: Type.Integer({ description: 'So many subscriptions were compared for this page.' }),
  reconciledAt: orNull(
    Type.String({ ...TimeSchema, description: 'When everything was last asked of the provider.' }),
  ),
});
export type ApiBillingDriftPage = Static<typeof BillingDriftPageSchema>;
