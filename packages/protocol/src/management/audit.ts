import { type Static, Type } from 'typebox';
import { IdSchema, PageQuerySchema, pageOf, TimeSchema } from './common.js';
import { orNull } from './customers.js';

const closed = { additionalProperties: false } as const;

export const AuditListQuerySchema = Type.Object(
  {
    ...PageQuerySchema.properties,
    objectKind: Type.Optional(
      Type.String({ minLength: 1, maxLength: 64, description: 'For example `customer`, `user`, `grant`.' }),
    ),
    objectId: Type.Optional(Type.String({ minLength: 1, maxLength: 256, pattern: '^[^\\u0000]*$' })),
  },
  closed,
);
export type AuditListQuery = Static<typeof AuditListQuerySchema>;

export const AuditEntrySchema = Type.Object(
  {
    id: IdSchema,
    occurredAt: TimeSchema,
    action: Type.String(),
    actor: Type.Object({ kind: Type.String(), id: Type.String(), onBehalfOf: orNull(Type.String()) }, closed),
    requestId: Type.String(),
    reason: Type.String(),
    object: Type.Object({ kind: Type.String(), id: Type.String(), version: Type.Integer() }, closed),
    productId: orNull(Type.String()),
    after: orNull(
      Type.Record(Type.String(), Type.Unknown(), {
        description: 'The whole object after the change; `null` when it was removed.',
      }),
    ),
    erased: Type.Array(Type.String(), {
      description:
        'JSON pointers into `after`: what stood there was erased. Members read `erased`, keys read `subject:` and an id.',
    }),
    sha256: Type.String({
      description: 'Of the bytes of the entry as they are stored. Erasing changes no byte.',
    }),
  },
  closed,
);
export type ApiAuditEntry = Static<typeof AuditEntrySchema>;
export const AuditPageSchema = pageOf(AuditEntrySchema);
