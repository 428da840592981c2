import { DEFAULT_RESERVATION_SECONDS, LIMITS } from '@pennon/engine/model/limits';
import { type Static, Type } from 'typebox';
import { RemedySchema } from './remedy.js';

/* The wire of the Open Entitlement Protocol, draft 0.1. Unknown members are ignored, as in OFREP. */

const Nullable = <Schema extends Parameters<typeof Type.Union>[0][number]>(schema: Schema) =>
  Type.Union([schema, Type.Null()]);

export const OepMetadata = Type.Record(
  Type.String(),
  Type.Union([Type.Boolean(), Type.String(), Type.Number()]),
);

export const OepContext = Type.Union([Type.Null(), Type.Record(Type.String(), Type.Unknown())], {
  description: '`targetingKey` is the customer, unless `customer`, `instance` or `user` say otherwise.',
});

export const OepAttributes = Type.Record(Type.String(), Type.Unknown(), {
  description: 'Dimensions of the usage; a feature’s `measure` computes the amount from them.',
});

export const OepAmount = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });

export const OepEvaluationRequest = Type.Union([
  Type.Null(),
  Type.Object(
    {
      context: Type.Optional(OepContext),
      amount: Type.Optional(OepAmount),
      attributes: Type.Optional(OepAttributes),
      consistency: Type.Optional(Type.Union([Type.Literal('cached'), Type.Literal('strong')])),
    },
    { additionalProperties: true },
  ),
]);

export const OepHolder = Type.String({
  minLength: 1,
  maxLength: LIMITS.holderLength.value,
  description: 'The thing that holds the unit, of features with `reset: never`: the same one takes it once.',
});

export const OepConsumeItem = Type.Object(
  {
    key: Type.String(),
    amount: Type.Optional(OepAmount),
    holder: Type.Optional(OepHolder),
    attributes: Type.Optional(OepAttributes),
  },
  { additionalProperties: true },
);

export const OepConsumeRequest = Type.Object(
  {
    context: Type.Optional(OepContext),
    key: Type.Optional(Type.String()),
    amount: Type.Optional(OepAmount),
    holder: Type.Optional(OepHolder),
    items: Type.Optional(Type.Array(OepConsumeItem)),
    mode: Type.Optional(Type.Union([Type.Literal('all'), Type.Literal('upTo')])),
    attributes: Type.Optional(OepAttributes),
  },
  { additionalProperties: true },
);

export const OepReleaseRequest = Type.Object(
  {
    context: Type.Optional(OepContext),
    key: Type.String(),
    amount: Type.Optional(OepAmount),
    holder: Type.Optional(OepHolder),
    attributes: Type.Optional(OepAttributes),
  },
  { additionalProperties: true },
);

export const OepReserveRequest = Type.Object(
  {
    context: Type.Optional(OepContext),
    key: Type.String(),
    amount: Type.Optional(OepAmount),
    mode: Type.Optional(Type.Union([Type.Literal('all'), Type.Literal('upTo')])),
    attributes: Type.Optional(OepAttributes),
    ttlSeconds: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: LIMITS.reservationSeconds.value,
        description: `How long it holds; default ${DEFAULT_RESERVATION_SECONDS}.`,
      }),
    ),
  },
  { additionalProperties: true },
);

export const OepSettleRequest = Type.Union([
  Type.Null(),
  Type.Object(
    {
      amount: Type.Optional(OepAmount),
      attributes: Type.Optional(OepAttributes),
    },
    {
      additionalProperties: true,
      description:
        'Without `amount`, the measure of the feature computes it from `attributes`, else all that is held.',
    },
  ),
]);

export const OepLimit = Type.Object({
  kind: Type.Union([Type.Literal('finite'), Type.Literal('unlimited')]),
  value: Type.Optional(Type.Integer({ description: 'Absent when unlimited.' })),
  enforcement: Type.Union([Type.Literal('hard'), Type.Literal('soft'), Type.Literal('observe')]),
});

export const OepPeriod = Type.Object({
  start: Type.String({ format: 'date-time' }),
  end: Type.String({ format: 'date-time' }),
  interval: Type.String(),
  anchor: Type.String(),
});

export const OepSource = Type.Object({
  type: Type.String(),
  key: Type.String(),
  effect: Type.String(),
  value: Type.Unknown(),
  until: Nullable(Type.String({ format: 'date-time' })),
});

export const OepOverLimit = Type.Object({
  limit: Type.Integer({ description: 'What is granted for good.' }),
  policy: Type.Union([
    Type.Literal('refuse-new'),
    Type.Literal('grace'),
    Type.Literal('read-only'),
    Type.Literal('until-reset'),
  ]),
  since: Nullable(Type.String({ format: 'date-time', description: 'When the licenses came to give less.' })),
  graceEndsAt: Nullable(
    Type.String({ format: 'date-time', description: 'Until then the earlier limit stands, and is `limit`.' }),
  ),
  readOnly: Type.Boolean({ description: 'What is there may be read and removed, and not changed.' }),
});

export const OepEntitlement = Type.Object({
  key: Type.String(),
  type: Type.String({ description: 'boolean, metered, limit or config.' }),
  hasAccess: Type.Boolean(),
  reason: Type.String(),
  value: Type.Unknown({ description: 'Boolean and config features: the granted value, else null.' }),
  limit: Nullable(OepLimit),
  usage: Type.Integer(),
  reserved: Type.Integer(),
  balance: Type.Integer({ description: 'What is left; 9007199254740991 when unlimited.' }),
  overage: Type.Integer({ description: 'What is used and held above `limit`.' }),
  state: Nullable(
    Type.Union([Type.Literal('within_limit'), Type.Literal('over_limit')], {
      description: 'Of metered features: how use stands to what is granted for good.',
    }),
  ),
  over: Type.Integer({ description: 'What is used and held above what is granted for good.' }),
  overLimit: Nullable(OepOverLimit),
  period: Nullable(OepPeriod),
  validUntil: Nullable(Type.String({ format: 'date-time' })),
  sources: Type.Array(OepSource),
  remedy: RemedySchema,
  asOf: Type.String({ format: 'date-time' }),
  revision: Type.Integer(),
  isFallback: Type.Boolean(),
  metadata: OepMetadata,
});

export const OepBulkEntitlements = Type.Object({
  entitlements: Type.Array(OepEntitlement),
  metadata: OepMetadata,
});

export const OepConsumedItem = Type.Object({
  key: Type.String(),
  allowed: Type.Boolean(),
  reason: Type.String(),
  consumed: Type.Integer(),
  refusedBy: Type.Optional(
    Type.Object(
      { item: Type.Integer({ minimum: 0 }), key: Type.String() },
      { description: 'This item would have fitted; it was not taken because that one was refused.' },
    ),
  ),
  entitlement: OepEntitlement,
});

export const OepConsumption = Type.Object({
  allowed: Type.Boolean(),
  reason: Type.Optional(Type.String()),
  consumed: Type.Optional(Type.Integer()),
  entitlement: Type.Optional(OepEntitlement),
  items: Type.Optional(Type.Array(OepConsumedItem)),
});

const reservation = {
  id: Type.String({ format: 'uuid' }),
  key: Type.String(),
  amount: Type.Integer({ description: 'What it holds or held.' }),
  settled: Nullable(Type.Integer({ description: 'What became usage; null until it is settled.' })),
  state: Type.Union([
    Type.Literal('held'),
    Type.Literal('settled'),
    Type.Literal('released'),
    Type.Literal('expired'),
  ]),
  expiresAt: Type.String({ format: 'date-time' }),
};

export const OepReservation = Type.Object(reservation);

export const OepReservationDecision = Type.Object({
  allowed: Type.Boolean(),
  reason: Type.String(),
  ...reservation,
  entitlement: OepEntitlement,
});

export const OepReservationDenial = Type.Object({
  allowed: Type.Boolean({ description: 'false: nothing is held.' }),
  reason: Type.String(),
  key: Type.String(),
  entitlement: OepEntitlement,
});

export const OepRelease = Type.Object({ released: Type.Integer(), entitlement: OepEntitlement });

export const OepFault = Type.Object({
  key: Type.Optional(Type.String()),
  errorCode: Type.String(),
  errorDetails: Type.String(),
  metadata: OepMetadata,
});

export const OepConfiguration = Type.Object({
  name: Type.String(),
  protocol: Type.String(),
  capabilities: Type.Record(Type.String(), Type.Boolean()),
  limits: Type.Record(Type.String(), Type.Integer()),
});

export type OepEntitlement = Static<typeof OepEntitlement>;
export type OepConsumedItem = Static<typeof OepConsumedItem>;
export type OepConsumption = Static<typeof OepConsumption>;
export type OepReservation = Static<typeof OepReservation>;
export type OepReservationDecision = Static<typeof OepReservationDecision>;
export type OepReservationDenial = Static<typeof OepReservationDenial>;
export type OepRelease = Static<typeof OepRelease>;
export type OepFault = Static<typeof OepFault>;
export type OepConfiguration = Static<typeof OepConfiguration>;
export type OepMetadata = Static<typeof OepMetadata>;
