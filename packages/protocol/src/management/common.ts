import { KEY_PATTERN, LIMITS } from '@pennon/engine/model/limits';
import { type Static, Type } from 'typebox';

/** Shapes that every resource of the management API shares. Unknown members are refused: every object is closed. */

export const KeySchema = Type.String({
  pattern: KEY_PATTERN.source,
  maxLength: LIMITS.keyLength.value,
  description: 'A stable name that people chose.',
});

export const ID_PATTERN = '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$';

export const IdSchema = Type.String({
  pattern: ID_PATTERN,
  description: 'A UUIDv7 that the server made.',
});

export const ReasonSchema = Type.String({
  minLength: 1,
  maxLength: LIMITS.textLength.value,
  // Spaces alone are no reason.
  pattern: '\\S',
  description: 'Why. It stands in the audit trail.',
});

export const ReasonQuerySchema = Type.Object({ reason: ReasonSchema }, { additionalProperties: false });

export const TIME_PATTERN = '^\\d{4}-\\d{2}-\\d{2}T\\d{2}:\\d{2}:\\d{2}(\\.\\d{1,3})?(Z|[+-]\\d{2}:\\d{2})$';

export const TimeSchema = Type.String({
  pattern: TIME_PATTERN,
  description: 'RFC 3339, answered in UTC with milliseconds.',
});

export const PageQuerySchema = Type.Object(
  {
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: LIMITS.page.value, default: 50 })),
    // The cursor of a search carries a key and a word, in any script.
    cursor: Type.Optional(Type.String({ minLength: 1, maxLength: 4096 })),
  },
  { additionalProperties: false },
);
export type PageQuery = Static<typeof PageQuerySchema>;

/** `If-Match` and `If-None-Match` of a call that changes an existing item. */
export const PreconditionHeadersSchema = Type.Object({
  'if-match': Type.Optional(Type.String({ maxLength: 512 })),
  'if-none-match': Type.Optional(Type.String({ maxLength: 512 })),
});

/** Of every mutating call; read by the router itself, so that no route declares it. */
export const IdempotencyKeySchema = Type.String({
  minLength: 1,
  maxLength: LIMITS.idempotencyKeyLength.value,
  pattern: '^[\\x21-\\x7e]+$',
  description: `A new value for each thing to be done. Within ${LIMITS.idempotencyDays.value} days a repeat with the same key and the same request gets the answer of the first, with \`Idempotency-Replayed: true\`; with another request it is 422.`,
});

export const FaultItemSchema = Type.Object({
  code: Type.String(),
  message: Type.String(),
  pointer: Type.Optional(Type.String()),
  file: Type.Optional(Type.String()),
  line: Type.Optional(Type.Integer()),
  column: Type.Optional(Type.Integer()),
  suggestion: Type.Optional(Type.String()),
});

/** RFC 9457, served as `application/problem+json`. Members beyond these belong to the code. */
export const ProblemSchema = Type.Object(
  {
    type: Type.String({ format: 'uri' }),
    title: Type.String(),
    status: Type.Integer(),
    code: Type.String(),
    detail: Type.String(),
    requestId: Type.String(),
    errors: Type.Optional(Type.Array(FaultItemSchema)),
  },
  { additionalProperties: true },
);

/** What a list of items answers. */
export function pageOf<Item extends Parameters<typeof Type.Array>[0]>(item: Item) {
  return Type.Object({
    items: Type.Array(item),
    nextCursor: Type.Union([Type.String(), Type.Null()]),
  });
}
