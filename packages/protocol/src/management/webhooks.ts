import { LIMITS } from '@pennon/engine/model/limits';
import { type Static, Type } from 'typebox';
import { HOOK_EVENT_TYPES } from '../webhooks/events.js';
import { IdSchema, PageQuerySchema, pageOf, ReasonSchema, TimeSchema } from './common.js';
import { orNull } from './customers.js';

const closed = { additionalProperties: false } as const;

const UrlSchema = Type.String({
  minLength: 1,
  maxLength: 2000,
  description: '`https://…`, without a name or password in it.',
});
const DescriptionSchema = Type.String({ maxLength: LIMITS.textLength.value });
const TypesSchema = Type.Array(Type.Enum([...HOOK_EVENT_TYPES]), {
  minItems: 1,
  uniqueItems: true,
  description: 'What is sent; `null`: everything, also types of later releases.',
});
const ProductSchema = Type.String({ minLength: 1, maxLength: LIMITS.keyLength.value });
const StateSchema = Type.Union([Type.Literal('enabled'), Type.Literal('disabled')]);

export const WebhookSchema = Type.Object(
  {
    id: IdSchema,
    url: Type.String(),
    description: Type.String(),
    product: orNull(Type.String({ description: '`null`: of all products, and of what belongs to none.' })),
    types: orNull(Type.Array(Type.Enum([...HOOK_EVENT_TYPES]))),
    state: Type.Union([Type.Literal('enabled'), Type.Literal('disabled')], {
      description: 'To a disabled one nothing is sent, and nothing new is put by for it.',
    }),
    stateReason: orNull(
      Type.String({ description: '`gone`: the listener answered 410. `null`: as somebody wants it.' }),
    ),
    failingSince: orNull(
      Type.String({
        format: 'date-time',
        description: 'Since then its listener has accepted nothing; `null`: it does, as far as is known.',
      }),
    ),
    version: Type.Integer(),
    createdAt: TimeSchema,
    changedAt: TimeSchema,
  },
  closed,
);
export type ApiWebhook = Static<typeof WebhookSchema>;
export const WebhookPageSchema = pageOf(WebhookSchema);

/** With the secret, which is in this answer only. */
export const CreatedWebhookSchema = Type.Object(
  {
    ...WebhookSchema.properties,
    secret: Type.String({ description: '`whsec_…`, as libraries of Standard Webhooks take it. Shown once.' }),
  },
  closed,
);
export type ApiCreatedWebhook = Static<typeof CreatedWebhookSchema>;

export const WebhookCreateSchema = Type.Object(
  {
    url: UrlSchema,
    description: Type.Optional(DescriptionSchema),
    product: Type.Optional(orNull(ProductSchema)),
    types: Type.Optional(orNull(TypesSchema)),
    reason: ReasonSchema,
  },
  closed,
);
export type WebhookCreate = Static<typeof WebhookCreateSchema>;

export const WebhookPatchSchema = Type.Object(
  {
    url: Type.Optional(UrlSchema),
    description: Type.Optional(DescriptionSchema),
    types: Type.Optional(orNull(TypesSchema)),
    state: Type.Optional(StateSchema),
    reason: ReasonSchema,
  },
  closed,
);
export type WebhookPatch = Static<typeof WebhookPatchSchema>;

export const WebhookRotateSchema = Type.Object(
  {
    overlapSeconds: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: LIMITS.webhookOverlapSeconds.value,
        default: 86_400,
        description: 'How long the old secret signs too.',
      }),
    ),
    reason: ReasonSchema,
  },
  closed,
);
export type WebhookRotate = Static<typeof WebhookRotateSchema>;

export const WebhookParamsSchema = Type.Object(
  { environment: Type.String({ minLength: 1 }), webhook: Type.String({ minLength: 1 }) },
  closed,
);

const OutcomeSchema = Type.Union(
  [Type.Literal('answered'), Type.Literal('refused'), Type.Literal('failed')],
  {
    description:
      '`answered`: a status came. `refused`: nothing was sent, because of where it would have gone. `failed`: no answer came.',
  },
);

export const WebhookTestSchema = Type.Object({ reason: ReasonSchema }, closed);
export const WebhookTestedSchema = Type.Object(
  {
    event: Type.String({ description: 'The `webhook-id` that was sent.' }),
    accepted: Type.Boolean(),
    outcome: OutcomeSchema,
    status: orNull(Type.Integer()),
    why: orNull(Type.String()),
  },
  closed,
);
export type ApiWebhookTested = Static<typeof WebhookTestedSchema>;

const DELIVERY_STATES = ['waiting', 'delivered', 'dead'] as const;
export const DeliverySchema = Type.Object(
  {
    event: Type.String({ description: 'The id of the event, and the `webhook-id` of every attempt.' }),
    type: Type.String(),
    occurredAt: TimeSchema,
    customer: orNull(Type.String()),
    sequence: orNull(Type.Integer()),
    state: Type.Enum([...DELIVERY_STATES]),
    attempts: Type.Integer({ description: 'Since it was put by, or replayed last.' }),
    nextAttemptAt: orNull(TimeSchema),
    endedAt: orNull(TimeSchema),
  },
  closed,
);
export type ApiDelivery = Static<typeof DeliverySchema>;
export const DeliveryPageSchema = pageOf(DeliverySchema);

export const DeliveryListQuerySchema = Type.Object(
  {
    ...PageQuerySchema.properties,
    state: Type.Optional(Type.Enum([...DELIVERY_STATES])),
    from: Type.Optional(TimeSchema),
    to: Type.Optional(TimeSchema),
  },
  closed,
);
export type DeliveryListQuery = Static<typeof DeliveryListQuerySchema>;

export const DeliveryParamsSchema = Type.Object(
  { ...WebhookParamsSchema.properties, event: Type.String({ minLength: 1 }) },
  closed,
);

export const DeliveryLogSchema = Type.Object(
  {
    ...DeliverySchema.properties,
    log: Type.Array(
      Type.Object(
        {
          attempt: Type.Integer(),
          attemptedAt: TimeSchema,
          outcome: OutcomeSchema,
          status: orNull(Type.Integer()),
          why: orNull(Type.String()),
          milliseconds: Type.Integer(),
        },
        closed,
      ),
      { description: 'The earliest first.' },
    ),
  },
  closed,
);
export type ApiDeliveryLog = Static<typeof DeliveryLogSchema>;

export const WebhookReplaySchema = Type.Object(
  {
    events: Type.Optional(
      Type.Array(IdSchema, {
        minItems: 1,
        maxItems: LIMITS.webhookReplay.value,
        description: 'These, whatever became of them.',
      }),
    ),
    from: Type.Optional(TimeSchema),
    to: Type.Optional(TimeSchema),
    dead: Type.Optional(
      Type.Boolean({
        default: true,
        description:
          'Of a span: only what was given up. `false`: everything that was told in it and that the webhook wants, delivered or not.',
      }),
    ),
    reason: ReasonSchema,
  },
  closed,
);
export type WebhookReplay = Static<typeof WebhookReplaySchema>;
export const WebhookReplayedSchema = Type.Object(
  {
    replayed: Type.Integer(),
    nextFrom: orNull(
      Type.String({ description: 'The span holds more than one call takes: call again with this `from`.' }),
    ),
  },
  closed,
);
export type ApiWebhookReplayed = Static<typeof WebhookReplayedSchema>;
