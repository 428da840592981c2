import { type Static, Type } from 'typebox';
import { PageQuerySchema, pageOf, TimeSchema } from './common.js';
import { orNull } from './customers.js';
import { WithinDaysSchema } from './grants.js';

const closed = { additionalProperties: false } as const;

const ENDING_TYPES = ['application', 'grace', 'grant', 'license', 'membership', 'voucher'] as const;

export const EndingQuerySchema = Type.Object(
  {
    ...PageQuerySchema.properties,
    withinDays: Type.Optional(WithinDaysSchema),
    type: Type.Optional(Type.Enum([...ENDING_TYPES])),
    kind: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 32,
        description: '`trial`, `contract`, `demo` … of what ends; `group` or `segment` for memberships.',
      }),
    ),
    product: Type.Optional(Type.String({ minLength: 1 })),
  },
  closed,
);
export type EndingQuery = Static<typeof EndingQuerySchema>;

export const EndingSchema = Type.Object(
  {
    type: Type.Enum([...ENDING_TYPES]),
    id: Type.String(),
    product: Type.String(),
    endsAt: TimeSchema,
    target: Type.Object({ kind: Type.String(), key: Type.String() }, closed),
    kind: orNull(
      Type.String({
        description: 'Of the grant, application, license or voucher; `group` or `segment` for memberships.',
      }),
    ),
    what: Type.String({
      description:
        'The feature or flag, the bundle, the plan version (`pro@1`), the group or segment, the voucher.',
    }),
    reason: orNull(Type.String()),
    owner: orNull(Type.String()),
    contractReference: orNull(Type.String()),
    path: Type.String({ description: 'Where it is read and changed.' }),
  },
  closed,
);
export type ApiEnding = Static<typeof EndingSchema>;
export const EndingPageSchema = pageOf(EndingSchema);
