import { type Static, Type } from 'typebox';
import { OepAttributes, OepHolder, OepMetadata } from './schemas.js';

/* The wire of recorded usage: CloudEvents in, a result for each of them out. */

const Part = Type.Union([Type.String(), Type.Object({ key: Type.String() }, { additionalProperties: true })]);

export const OepUsageEvent = Type.Object(
  {
    specversion: Type.Literal('1.0'),
    id: Type.String({ description: 'With `source`, which event it is: told again, it counts once.' }),
    source: Type.String(),
    type: Type.String(),
    subject: Type.String({ description: 'The key of the customer.' }),
    time: Type.Optional(
      Type.String({ format: 'date-time', description: 'When it happened; absent: when it arrives.' }),
    ),
    datacontenttype: Type.Optional(Type.String()),
    data: Type.Object(
      {
        key: Type.String({ description: 'The key of a metered feature.' }),
        amount: Type.Optional(
          Type.Integer({
            description:
              'Absent: the feature’s measure of the attributes, else 1. Below 0 only where `corrects` stands.',
          }),
        ),
        attributes: Type.Optional(OepAttributes),
        user: Type.Optional(Part),
        instance: Type.Optional(Part),
        holder: Type.Optional(OepHolder),
        corrects: Type.Optional(
          Type.String({
            description:
              'The `id` of an earlier event of the same `source`, from which `amount` is taken or to which it is added. Without an `amount` all of it is taken back.',
          }),
        ),
      },
      { additionalProperties: true },
    ),
  },
  { additionalProperties: true, description: 'A CloudEvent 1.0.' },
);

export const OepUsageRequest = Type.Union([OepUsageEvent, Type.Array(OepUsageEvent)]);

export const OepUsageResult = Type.Object({
  source: Type.Union([Type.String(), Type.Null()]),
  id: Type.Union([Type.String(), Type.Null()]),
  status: Type.Union([Type.Literal('accepted'), Type.Literal('duplicate'), Type.Literal('refused')]),
  period: Type.Optional(
    Type.Union([Type.Literal('earlier'), Type.Literal('moved')], {
      description:
        'Told late: `earlier` counted into the period in which it happened, `moved` into the current one, because its own takes no more.',
    }),
  ),
  errorCode: Type.Optional(Type.String()),
  errorDetails: Type.Optional(Type.String()),
});

export const OepUsageAnswer = Type.Object({
  accepted: Type.Integer(),
  duplicates: Type.Integer(),
  refused: Type.Integer(),
  items: Type.Array(OepUsageResult, { description: 'One for each event, in their order.' }),
  metadata: OepMetadata,
});

export type OepUsageResult = Static<typeof OepUsageResult>;
export type OepUsageAnswer = Static<typeof OepUsageAnswer>;
