import { type Static, Type } from 'typebox';
import { OepMetadata } from './schemas.js';

/* The wire of history: what was used of one feature over time, and how the balance stood. */

const Time = Type.String({ format: 'date-time' });

export const OepHistoryGroup = Type.Object({
  attributes: Type.Record(Type.String(), Type.Union([Type.String(), Type.Null()]), {
    description: 'Those named by `by`; null: it was not sent.',
  }),
  amount: Type.Integer(),
  events: Type.Integer(),
});

export const OepHistoryPoint = Type.Object({
  start: Time,
  end: Time,
  amount: Type.Integer({ description: 'What was used in `[start, end)`; with `where`, what passes it.' }),
  events: Type.Integer({ description: 'How many consumes, releases and events changed it.' }),
  usage: Type.Integer({ description: 'Of the period that runs at `end`, up to there.' }),
  limit: Type.Object({
    kind: Type.Union([Type.Literal('finite'), Type.Literal('unlimited')]),
    value: Type.Optional(Type.Integer({ description: 'Absent when unlimited.' })),
  }),
  balance: Type.Integer({
    description:
      '`limit` less `usage`, at least 0; 9007199254740991 when unlimited. Holds are not part of it.',
  }),
  overage: Type.Integer(),
  reset: Type.Boolean({ description: 'A period began in this window.' }),
  period: Type.Union([Type.Object({ start: Time, end: Time }), Type.Null()], {
    description: 'The one that runs at `end`; null where nothing resets.',
  }),
  groups: Type.Optional(Type.Array(OepHistoryGroup, { description: 'Where `by` was sent.' })),
});

export const OepHistory = Type.Object({
  targetingKey: Type.String(),
  key: Type.String(),
  window: Type.Union([Type.Literal('hour'), Type.Literal('day'), Type.Literal('month')]),
  timeZone: Type.String({ description: 'Of which days and months are: that of the feature’s periods.' }),
  aggregation: Type.String({ description: 'sum, count, unique, max or latest.' }),
  from: Time,
  to: Time,
  points: Type.Array(OepHistoryPoint, { description: 'Every window, empty ones too, up to now.' }),
  asOf: Time,
  revision: Type.Integer(),
  metadata: OepMetadata,
});

export const OepHistoryQuery = Type.Object({
  targetingKey: Type.Optional(Type.String({ description: 'The customer; a customer token names its own.' })),
  key: Type.String({ description: 'A metered feature.' }),
  from: Type.String({ format: 'date-time', description: 'Windows that hold an instant of `[from, to)`.' }),
  to: Type.Optional(Type.String({ format: 'date-time', description: 'Absent: now.' })),
  window: Type.Optional(
    Type.Union([Type.Literal('hour'), Type.Literal('day'), Type.Literal('month')], {
      description: 'Default day.',
    }),
  ),
  user: Type.Optional(Type.String({ description: 'Of a feature that counts per user.' })),
  instance: Type.Optional(Type.String({ description: 'Of a feature that counts per instance.' })),
  by: Type.Optional(
    Type.String({ description: 'Attributes to take amounts apart by, with commas between.' }),
  ),
  where: Type.Optional(
    Type.Union([Type.String(), Type.Array(Type.String())], {
      description: '`attribute=value`; several must all hold.',
    }),
  ),
});

export type OepHistory = Static<typeof OepHistory>;
export type OepHistoryPoint = Static<typeof OepHistoryPoint>;
