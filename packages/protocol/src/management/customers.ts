import { LIMITS } from '@pennon/engine/model/limits';
import { type Static, Type } from 'typebox';
import { IdSchema, PageQuerySchema, pageOf, ReasonSchema, TimeSchema } from './common.js';

/**
 * A key of data: of a customer, user, team or instance. Other systems made them, so that mail addresses and ids with any
 * punctuation are welcome; control characters are not, nor white space at the ends, nor what a path cannot carry
 * safely: slashes, semicolons and percent signs.
 */
export const DATA_KEY_PATTERN =
  '^(?!\\.{1,2}$)[^\\u0000-\\u0020\\u007f-\\u009f/\\\\;%](?:[^\\u0000-\\u001f\\u007f-\\u009f/\\\\;%]*[^\\u0000-\\u0020\\u007f-\\u009f/\\\\;%])?$';

export const DataKeySchema = Type.String({
  minLength: 1,
  maxLength: LIMITS.keyLength.value,
  pattern: DATA_KEY_PATTERN,
  description: 'A stable name, as the application knows it.',
});

const TextSchema = Type.String({
  minLength: 1,
  maxLength: LIMITS.textLength.value,
  pattern: '^[^\\u0000]*$',
});
const ReferenceSchema = Type.String({ minLength: 1, maxLength: 256, pattern: '^[^\\u0000-\\u001f]*$' });
const MailSchema = Type.String({
  minLength: 3,
  maxLength: 320,
  pattern: '^[^\\u0000-\\u0020@]+@[^\\u0000-\\u0020@]+$',
});
export const TimeZoneSchema = Type.String({
  minLength: 1,
  maxLength: 64,
  description: 'A name of the IANA time zone database, for example `Europe/Berlin`.',
});
export const AttributesSchema = Type.Record(Type.String(), Type.Unknown(), {
  maxProperties: LIMITS.contextKeys.value,
  description: `JSON of at most ${LIMITS.attributesBytes.value} bytes.`,
});

export function orNull<Schema extends Parameters<typeof Type.Array>[0]>(schema: Schema) {
  return Type.Union([schema, Type.Null()]);
}

const closed = { additionalProperties: false } as const;

export const CustomerSchema = Type.Object(
  {
    id: IdSchema,
    key: Type.String(),
    externalId: orNull(Type.String()),
    name: orNull(Type.String()),
    email: orNull(Type.String()),
    timeZone: orNull(Type.String()),
    attributes: Type.Record(Type.String(), Type.Unknown()),
    version: Type.Integer({
      description: 'Raised by every change of the customer, its licenses, memberships and grants.',
    }),
    createdAt: TimeSchema,
    archivedAt: orNull(TimeSchema),
    erasedAt: orNull(TimeSchema),
  },
  closed,
);
export type ApiCustomer = Static<typeof CustomerSchema>;
export const CustomerPageSchema = pageOf(CustomerSchema);

const customerMembers = {
  externalId: Type.Optional(orNull(ReferenceSchema)),
  name: Type.Optional(orNull(TextSchema)),
  email: Type.Optional(orNull(MailSchema)),
  timeZone: Type.Optional(orNull(TimeZoneSchema)),
  attributes: Type.Optional(AttributesSchema),
};
export const CustomerWriteSchema = Type.Object({ ...customerMembers, reason: ReasonSchema }, closed);
export type CustomerWrite = Static<typeof CustomerWriteSchema>;
export const CustomerCreateSchema = Type.Object(
  { key: DataKeySchema, ...customerMembers, reason: ReasonSchema },
  closed,
);
export type CustomerCreate = Static<typeof CustomerCreateSchema>;
export const ReasonBodySchema = Type.Object({ reason: ReasonSchema }, closed);

export const EnvironmentParamsSchema = Type.Object({ environment: Type.String({ minLength: 1 }) }, closed);
export const CustomerParamsSchema = Type.Object(
  { environment: Type.String({ minLength: 1 }), customer: DataKeySchema },
  closed,
);
const SearchSchema = Type.String({
  minLength: 1,
  maxLength: 256,
  description:
    'Words, with spaces between them: each must be the beginning of the key, the external id, the mail, or of a word of the name. Case and accents do not matter. A page may hold fewer items than `limit` and still have a `nextCursor`.',
});
export const CustomerListQuerySchema = Type.Object(
  {
    ...PageQuerySchema.properties,
    search: Type.Optional(SearchSchema),
    archived: Type.Optional(Type.Boolean({ description: 'Archived customers instead of the others.' })),
  },
  closed,
);
export type CustomerListQuery = Static<typeof CustomerListQuerySchema>;

export const UserSchema = Type.Object(
  {
    id: IdSchema,
    key: Type.String(),
    customer: Type.String(),
    name: orNull(Type.String()),
    email: orNull(Type.String()),
    attributes: Type.Record(Type.String(), Type.Unknown()),
    version: Type.Integer(),
    createdAt: TimeSchema,
  },
  closed,
);
export type ApiUser = Static<typeof UserSchema>;
export const UserPageSchema = pageOf(UserSchema);
export const UserWriteSchema = Type.Object(
  {
    name: Type.Optional(orNull(TextSchema)),
    email: Type.Optional(orNull(MailSchema)),
    attributes: Type.Optional(AttributesSchema),
    reason: ReasonSchema,
  },
  closed,
);
export type UserWrite = Static<typeof UserWriteSchema>;
export const UserParamsSchema = Type.Object(
  { environment: Type.String({ minLength: 1 }), customer: DataKeySchema, user: DataKeySchema },
  closed,
);

export const InstanceSchema = Type.Object(
  {
    id: IdSchema,
    key: Type.String(),
    customer: Type.String(),
    name: orNull(Type.String()),
    metadata: Type.Record(Type.String(), Type.Unknown()),
    version: Type.Integer(),
    createdAt: TimeSchema,
  },
  closed,
);
export type ApiInstance = Static<typeof InstanceSchema>;
export const InstancePageSchema = pageOf(InstanceSchema);
export const SubjectSearchQuerySchema = Type.Object(
  { ...PageQuerySchema.properties, search: SearchSchema },
  closed,
);
export type SubjectSearchQuery = Static<typeof SubjectSearchQuerySchema>;
export const InstanceWriteSchema = Type.Object(
  {
    name: Type.Optional(orNull(TextSchema)),
    metadata: Type.Optional(AttributesSchema),
    reason: ReasonSchema,
  },
  closed,
);
export type InstanceWrite = Static<typeof InstanceWriteSchema>;
export const InstanceParamsSchema = Type.Object(
  { environment: Type.String({ minLength: 1 }), customer: DataKeySchema, instance: DataKeySchema },
  closed,
);

/** What is left of a person: an id that says nothing. */
export const ErasureSchema = Type.Object(
  {
    objectKind: Type.Union([Type.Literal('customer'), Type.Literal('user')]),
    objectId: IdSchema,
    key: Type.String({ description: 'What stands where the key stood.' }),
    version: Type.Integer(),
    erasedAt: TimeSchema,
  },
  closed,
);
export type ApiErasure = Static<typeof ErasureSchema>;
