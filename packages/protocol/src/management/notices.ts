import { type Static, Type } from 'typebox';
import { IdSchema, PageQuerySchema, pageOf, TimeSchema } from './common.js';
import { orNull } from './customers.js';

const closed = { additionalProperties: false } as const;
const Key = Type.String({ minLength: 1, maxLength: 256, pattern: '^[^\\u0000]*$' });

export const NoticeTypeSchema = Type.Union([
  Type.Literal('limit.warned', {
    description: 'Usage came to a percentage that the feature names in `warnAt`.',
  }),
  Type.Literal('limit.reached', { description: 'All of the limit is used.' }),
  Type.Literal('limit.exceeded', { description: 'More than the limit is used.' }),
  Type.Literal('limit.reset', {
    description: 'A period began, and something was told of the last one that was used.',
  }),
]);

export const NoticeListQuerySchema = Type.Object(
  {
    ...PageQuerySchema.properties,
    order: Type.Optional(
      Type.Union([Type.Literal('newest'), Type.Literal('oldest')], {
        description:
          '`newest` (the default) ends with the oldest notice. `oldest` is for whoever follows: it answers a `nextCursor` always, which asks for what was written since, and passes nothing over.',
      }),
    ),
    customer: Type.Optional(Key),
    product: Type.Optional(Key),
    feature: Type.Optional(Key),
    type: Type.Optional(NoticeTypeSchema),
    from: Type.Optional(TimeSchema),
    to: Type.Optional(TimeSchema),
  },
  closed,
);
export type NoticeListQuery = Static<typeof NoticeListQuerySchema>;

const PeriodSchema = Type.Object({ start: orNull(TimeSchema), end: orNull(TimeSchema) }, closed);

export const NoticeSchema = Type.Object(
  {
    id: IdSchema,
    type: NoticeTypeSchema,
    occurredAt: TimeSchema,
    customer: Type.String(),
    product: Type.String(),
    feature: Type.String(),
    scope: Type.String({
      description:
        'Whose account it is where the feature counts per user or instance; empty for the customer’s.',
    }),
    level: orNull(Type.Integer({ description: 'Percent of the limit; `null` for a reset.' })),
    used: Type.Integer({ description: 'After the change that is told. What is held does not count.' }),
    reserved: Type.Integer(),
    limit: orNull(Type.Integer({ description: 'In force then; `null`: none.' })),
    percent: orNull(Type.Integer({ description: 'Of the limit that is used, rounded down.' })),
    overage: Type.Integer(),
    enforcement: Type.Union([Type.Literal('hard'), Type.Literal('soft'), Type.Literal('observe')]),
    wouldHaveDenied: Type.Boolean({
      description: 'Only observed: a hard limit would have denied what exceeded it.',
    }),
    period: orNull(PeriodSchema),
    previous: orNull(
      Type.Object(
        { ...PeriodSchema.properties, used: Type.Integer() },
        { ...closed, description: 'Of a reset: the last period that was used.' },
      ),
    ),
  },
  closed,
);
export type ApiNotice = Static<typeof NoticeSchema>;
export const NoticePageSchema = pageOf(NoticeSchema);
