import { LIMITS } from '@pennon/engine/model/limits';
import { type Static, Type } from 'typebox';
import { IdSchema, KeySchema, ReasonSchema, TimeSchema } from './common.js';
import {
  CustomerCreateSchema,
  DataKeySchema,
  InstanceWriteSchema,
  orNull,
  UserWriteSchema,
} from './customers.js';
import { ReferenceSchema } from './grants.js';
import { LotAmountSchema, LotPrioritySchema } from './lots.js';

/* Customers as lines of NDJSON: what an export writes is what an import takes. */

const closed = { additionalProperties: false } as const;

const { reason: _ofCustomer, ...customerMembers } = CustomerCreateSchema.properties;
const { reason: _ofUser, ...userMembers } = UserWriteSchema.properties;
const { reason: _ofInstance, ...instanceMembers } = InstanceWriteSchema.properties;
const maxItems = LIMITS.importMembers.value;

const TopUpLineSchema = Type.Object(
  {
    id: IdSchema,
    product: Type.String({ minLength: 1, maxLength: 128 }),
    feature: KeySchema,
    scope: Type.Optional(
      Type.Union([DataKeySchema, Type.Literal('')], {
        description: 'Of a feature that counts per user or instance: the key of that one.',
      }),
    ),
    kind: Type.Enum(['topup', 'promotional', 'rollover']),
    priority: LotPrioritySchema,
    amount: LotAmountSchema,
    remaining: Type.Integer({ minimum: 0, description: 'At most `amount`.' }),
    startsAt: TimeSchema,
    endsAt: orNull(TimeSchema),
    source: orNull(ReferenceSchema),
    reason: ReasonSchema,
    createdAt: TimeSchema,
  },
  closed,
);
export type TopUpLine = Static<typeof TopUpLineSchema>;

export const CustomerImportSchema = Type.Object(
  {
    ...customerMembers,
    archived: Type.Optional(Type.Boolean()),
    createdAt: Type.Optional(TimeSchema),
    users: Type.Optional(
      Type.Array(Type.Object({ key: DataKeySchema, ...userMembers }, closed), { maxItems }),
    ),
    instances: Type.Optional(
      Type.Array(Type.Object({ key: DataKeySchema, ...instanceMembers }, closed), { maxItems }),
    ),
    topUps: Type.Optional(
      Type.Array(TopUpLineSchema, {
        maxItems,
        description: 'Balances that are not over. One that is there already, by its `id`, stays as it is.',
      }),
    ),
  },
  closed,
);
export type CustomerImport = Static<typeof CustomerImportSchema>;

export const ImportQuerySchema = Type.Object(
  {
    mode: Type.Optional(
      Type.Union([Type.Literal('upsert'), Type.Literal('create')], {
        description: '`upsert` (the default) also changes customers that are there; `create` refuses them.',
      }),
    ),
    dryRun: Type.Optional(
      Type.Boolean({ description: 'Says what would be done, judging each line by what is stored now.' }),
    ),
    reason: ReasonSchema,
  },
  closed,
);
export type ImportQuery = Static<typeof ImportQuerySchema>;

/** What each line is answered by. */
export interface ImportOutcome {
  /** From 1. */
  readonly line: number;
  /** `null` where the line is no customer. */
  readonly key: string | null;
  readonly outcome: 'created' | 'updated' | 'unchanged' | 'refused';
  readonly code?: string;
  readonly detail?: string;
}
