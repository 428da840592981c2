import { type Static, Type } from 'typebox';
import { IdSchema, KeySchema, PageQuerySchema, pageOf, ReasonSchema, TimeSchema } from './common.js';
import { DataKeySchema, orNull } from './customers.js';
import { ReferenceSchema } from './grants.js';
import { BoughtOrGivenSchema, LotAmountSchema, LotPrioritySchema } from './lots.js';

const closed = { additionalProperties: false } as const;

const HolderSchema = Type.Object(
  { kind: Type.Enum(['user', 'instance']), key: DataKeySchema },
  { ...closed, description: 'Of a feature that counts per user or instance: whose quota it is.' },
);

export const TopUpCreateSchema = Type.Object(
  {
    product: Type.Optional(Type.String({ minLength: 1, maxLength: 128 })),
    feature: KeySchema,
    amount: Type.Optional(LotAmountSchema),
    pack: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 128,
        description:
          'Instead of `amount`: a key of the feature’s `topUps`, which says how much it is, until when, and its priority.',
      }),
    ),
    quantity: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 1_000_000, description: 'Of the pack. Default: 1.' }),
    ),
    target: Type.Optional(HolderSchema),
    kind: Type.Optional(BoughtOrGivenSchema),
    priority: Type.Optional(LotPrioritySchema),
    startsAt: Type.Optional(TimeSchema),
    endsAt: Type.Optional(orNull(TimeSchema)),
    source: Type.Optional(orNull(ReferenceSchema)),
    reason: ReasonSchema,
  },
  closed,
);
export type TopUpCreate = Static<typeof TopUpCreateSchema>;

export const TOP_UP_STATES = ['scheduled', 'open', 'used-up', 'ended', 'voided'] as const;

export const TopUpSchema = Type.Object(
  {
    id: IdSchema,
    customer: Type.String(),
    product: Type.String(),
    feature: Type.String(),
    target: Type.Object({ kind: Type.String(), key: Type.String() }, closed),
    kind: Type.String({ description: '`topup`, `promotional`, or `rollover`: left of an earlier period.' }),
    priority: Type.Integer(),
    amount: Type.Integer(),
    remaining: Type.Integer({ description: 'What of it was not used; when it ended or was voided, then.' }),
    state: Type.Enum([...TOP_UP_STATES]),
    startsAt: TimeSchema,
    endsAt: orNull(TimeSchema),
    source: orNull(Type.String()),
    reason: Type.String(),
    grant: orNull(Type.String({ description: 'The grant that made it, by its id.' })),
    voidedAt: orNull(TimeSchema),
    voidReason: orNull(Type.String()),
    version: Type.Integer({ description: 'Raised by use too.' }),
    createdAt: TimeSchema,
  },
  closed,
);
export type ApiTopUp = Static<typeof TopUpSchema>;
export const TopUpPageSchema = pageOf(TopUpSchema);

export const TopUpListQuerySchema = Type.Object(
  {
    ...PageQuerySchema.properties,
    product: Type.Optional(Type.String({ minLength: 1 })),
    feature: Type.Optional(KeySchema),
    closed: Type.Optional(
      Type.Boolean({ description: 'Those too that ended, were voided or are used up for good.' }),
    ),
  },
  closed,
);
export type TopUpListQuery = Static<typeof TopUpListQuerySchema>;

export const TopUpParamsSchema = Type.Object(
  {
    environment: Type.String({ minLength: 1 }),
    customer: DataKeySchema,
    topUp: Type.String({ minLength: 1 }),
  },
  closed,
);
