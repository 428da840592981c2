import { MEMBER_KINDS } from '@pennon/engine/model/customer';
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
