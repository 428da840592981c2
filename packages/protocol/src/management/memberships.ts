import { MEMBER_KINDS } from '@pennon/engine/model/customer';
import { LIMITS } from '@pennon/engine/model/limits';
import { type Static, Type } from 'typebox';
import { KeySchema, PageQuerySchema, pageOf, ReasonSchema, TimeSchema } from './common.js';
import { DataKeySchema, orNull } from './customers.js';

const closed = { additionalProperties: false } as const;
const MemberKindSchema = Type.Enum([...MEMBER_KINDS]);

export const MembershipSchema = Type.Object(
  {
    product: Type.String(),
    container: Type.Object(
      { kind: Type.Union([Type.Literal('group'), Type.Literal('segment')]), key: Type.String() },
      closed,
    ),
    member: Type.Object({ kind: MemberKindSchema, key: Type.String() }, closed),
    startsAt: TimeSchema,
    endsAt: orNull(TimeSchema),
    reason: Type.String(),
    version: Type.Integer(),
    createdAt: TimeSchema,
  },
  closed,
);
export type ApiMembership = Static<typeof MembershipSchema>;
export const MembershipPageSchema = pageOf(MembershipSchema);

export const MembershipWriteSchema = Type.Object(
  {
    startsAt: Type.Optional(TimeSchema),
    endsAt: Type.Optional(orNull(TimeSchema)),
    reason: ReasonSchema,
  },
  closed,
);
export type MembershipWrite = Static<typeof MembershipWriteSchema>;

const MemberSentenceSchema = Type.Object(
  {
    kind: MemberKindSchema,
    key: DataKeySchema,
    startsAt: Type.Optional(TimeSchema),
    endsAt: Type.Optional(orNull(TimeSchema)),
    reason: Type.Optional(ReasonSchema),
  },
  closed,
);
export type MemberSentence = Static<typeof MemberSentenceSchema>;

const most = { maxItems: LIMITS.membersPerCall.value };

/** Many members at once, all of them or none; `reason` stands for those that say none of their own. */
export const MembersChangeSchema = Type.Object(
  {
    put: Type.Optional(Type.Array(MemberSentenceSchema, most)),
    remove: Type.Optional(
      Type.Array(Type.Object({ kind: MemberKindSchema, key: DataKeySchema }, closed), most),
    ),
    reason: ReasonSchema,
  },
  closed,
);
export type MembersChange = Static<typeof MembersChangeSchema>;

const count = (description: string) => Type.Integer({ minimum: 0, description });

const outcome = {
  created: count('Members that are new.'),
  replaced: count('Members that were in already, with another start, end or reason.'),
  unchanged: count('Members that were in already, just like that.'),
  removed: count('Members that were taken out.'),
  absent: count('Members that were to be taken out and were not in.'),
};
export const MembersOutcomeSchema = Type.Object(outcome, closed);
export type MembersOutcome = Static<typeof MembersOutcomeSchema>;

export const MembersImportQuerySchema = Type.Object(
  {
    reason: ReasonSchema,
    mode: Type.Optional(
      Type.Union([Type.Literal('put'), Type.Literal('remove')], {
        description: '`put` (the default) puts every line in, `remove` takes every line out.',
      }),
    ),
  },
  closed,
);
export type MembersImportQuery = Static<typeof MembersImportQuerySchema>;

export const MembersImportOutcomeSchema = Type.Object(
  {
    ...outcome,
    refused: count('Lines that were refused; all others stand.'),
    faults: Type.Array(
      Type.Object(
        { line: Type.Integer({ minimum: 1 }), code: Type.String(), message: Type.String() },
        closed,
      ),
      { description: 'The first lines that were refused, and why.' },
    ),
  },
  closed,
);
export type MembersImportOutcome = Static<typeof MembersImportOutcomeSchema>;

export const ContainerParamsSchema = Type.Object(
  { environment: Type.String({ minLength: 1 }), product: Type.String({ minLength: 1 }), key: KeySchema },
  closed,
);
export const GroupMemberParamsSchema = Type.Object(
  { ...ContainerParamsSchema.properties, kind: Type.Literal('customer'), member: DataKeySchema },
  closed,
);
export const SegmentMemberParamsSchema = Type.Object(
  { ...ContainerParamsSchema.properties, kind: MemberKindSchema, member: DataKeySchema },
  closed,
);
export const MembershipListQuerySchema = Type.Object(
  { ...PageQuerySchema.properties, kind: Type.Optional(MemberKindSchema) },
  closed,
);
export type MembershipListQuery = Static<typeof MembershipListQuerySchema>;
