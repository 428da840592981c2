import { LIMITS } from '@pennon/engine/model/limits';
import { type Static, Type } from 'typebox';
import { IdSchema, KeySchema, PageQuerySchema, pageOf, ReasonSchema, TimeSchema } from './common.js';
import { DataKeySchema, orNull } from './customers.js';

const closed = { additionalProperties: false } as const;

const VersionSchema = Type.Integer({ minimum: 0, maximum: 2_147_483_647 });
const PlanRefSchema = Type.Object({ plan: KeySchema, version: VersionSchema }, closed);

export const PLAN_MOVE_STATUSES = [
  'previewing',
  'draft',
  'running',
  'finished',
  'undoing',
  'undone',
  'discarded',
] as const;
export const PLAN_MOVE_ITEM_STATES = ['selected', 'applied', 'failed', 'skipped', 'undone'] as const;

export const PlanMoveCreateSchema = Type.Object(
  {
    product: Type.Optional(Type.String({ minLength: 1, maxLength: 128 })),
    from: PlanRefSchema,
    to: PlanRefSchema,
    selector: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: LIMITS.expressionBytes.value,
        description:
          'CEL over what the server knows of a customer: `customer`, `plan`, `license`, `segment("…")`.',
      }),
    ),
    customers: Type.Optional(
      Type.Array(DataKeySchema, {
        minItems: 1,
        maxItems: LIMITS.customersPerMove.value,
        description: 'Only these; all where it is left out.',
      }),
    ),
    at: Type.Optional(
      Type.Union([Type.Literal('now'), Type.Literal('period-end'), TimeSchema], {
        description:
          'When each license changes its plan, by the clock: when the move runs (default), at the end of the period that is paid for, or at an instant.',
      }),
    ),
    usage: Type.Optional(
      Type.Enum(['carry', 'reset'], {
        description: '`reset` begins the periods that follow a license again at its change. Default: carry.',
      }),
    ),
    reason: ReasonSchema,
  },
  closed,
);
export type PlanMoveCreate = Static<typeof PlanMoveCreateSchema>;

const CountSchema = Type.Integer({ minimum: 0 });

export const PlanMoveSchema = Type.Object(
  {
    id: IdSchema,
    product: Type.String(),
    from: PlanRefSchema,
    to: PlanRefSchema,
    selector: orNull(Type.String()),
    customers: orNull(Type.Array(Type.String())),
    at: Type.String({ description: '`now`, `period-end` or an instant.' }),
    usage: Type.Enum(['carry', 'reset']),
    reason: Type.String(),
    status: Type.Enum([...PLAN_MOVE_STATUSES], {
      description:
        'A move is `previewing` and then a `draft`: what it would do is counted and listed, and nothing is done. `running` it is `finished`; taken back it is `undone` or, never started, `discarded`.',
    }),
    preview: Type.Object(
      {
        examined: CountSchema,
        gaining: CountSchema,
        losing: CountSchema,
        over: Type.Integer({ minimum: 0, description: 'Those who would use more than they would have.' }),
      },
      closed,
    ),
    progress: Type.Object(
      {
        selected: CountSchema,
        applied: CountSchema,
        failed: CountSchema,
        skipped: CountSchema,
        undone: CountSchema,
      },
      closed,
    ),
    fault: orNull(Type.String({ description: 'Why the move does not go on, where it does not.' })),
    version: Type.Integer({
      description:
        'The `ETag`: raised by what a person does, and when the preview is complete; not by progress.',
    }),
    createdAt: TimeSchema,
    startedAt: orNull(TimeSchema),
    finishedAt: orNull(TimeSchema),
  },
  closed,
);
export type ApiPlanMove = Static<typeof PlanMoveSchema>;
export const PlanMovePageSchema = pageOf(PlanMoveSchema);

const ValueSchema = Type.Unknown({ description: 'The granted value; null where nothing is granted.' });
const FeatureChangeSchema = Type.Object(
  { feature: Type.String(), before: ValueSchema, after: ValueSchema },
  closed,
);

export const PlanMoveItemSchema = Type.Object(
  {
    customer: Type.String(),
    license: IdSchema,
    state: Type.Enum([...PLAN_MOVE_ITEM_STATES]),
    code: orNull(Type.String()),
    message: orNull(Type.String()),
    dueAt: orNull(
      Type.String({
        description: 'When the license changes its plan, or changed; until then it can be undone.',
      }),
    ),
    gains: Type.Array(FeatureChangeSchema),
    loses: Type.Array(FeatureChangeSchema),
    changes: Type.Array(FeatureChangeSchema),
    over: Type.Array(
      Type.Object(
        {
          feature: Type.String(),
          per: Type.Enum(['customer', 'instance', 'user']),
          accounts: Type.Integer({
            minimum: 1,
            description:
              'How many of the users or instances would be over; the figures are of the one furthest over.',
          }),
          usage: CountSchema,
          limit: CountSchema,
          over: CountSchema,
        },
        closed,
      ),
    ),
  },
  closed,
);
export type ApiPlanMoveItem = Static<typeof PlanMoveItemSchema>;
export const PlanMoveItemPageSchema = pageOf(PlanMoveItemSchema);

export const PlanMoveListParamsSchema = Type.Object({ environment: Type.String({ minLength: 1 }) }, closed);
export const PlanMoveParamsSchema = Type.Object(
  { environment: Type.String({ minLength: 1 }), move: Type.String({ minLength: 1 }) },
  closed,
);
export const PlanMoveItemQuerySchema = Type.Object(
  {
    ...PageQuerySchema.properties,
    state: Type.Optional(Type.Enum([...PLAN_MOVE_ITEM_STATES])),
    effect: Type.Optional(
      Type.Enum(['gains', 'loses', 'over'], { description: 'Only those who gain, lose, or would be over.' }),
    ),
  },
  closed,
);
export type PlanMoveItemQuery = Static<typeof PlanMoveItemQuerySchema>;
