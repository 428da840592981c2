import { type Static, Type } from 'typebox';
import { TimeSchema } from '../management/common.js';
import { orNull } from '../management/customers.js';
import { GrantSchema } from '../management/grants.js';
import { LicenseSchema } from '../management/licenses.js';
import { MembershipSchema } from '../management/memberships.js';
import { NoticeSchema } from '../management/notices.js';
import { TopUpSchema } from '../management/top-ups.js';
import { RedemptionSchema } from '../management/vouchers.js';
import { CustomerStateProperties, EntitlementGivenSchema } from './states.js';

/* What webhooks tell: the `data` of each type of event. */

const closed = { additionalProperties: false } as const;

const whose = {
  environment: Type.String({ description: 'Its key.' }),
  product: orNull(Type.String({ description: 'Its key.' })),
  customer: orNull(
    Type.String({
      description: 'Its key; `null`: it concerns no single one. After an erasure a word that names nobody.',
    }),
  ),
};

/** Of an object that somebody changed, or that the clock began or ended. */
const changed = {
  ...whose,
  action: Type.String({
    description: 'As the audit trail names it: `license.create`, `grant.revoke`.',
  }),
  customerVersion: orNull(
    Type.Integer({
      description:
        'Of the customer after the change. Of two events the one with the higher version is newer.',
    }),
  ),
};

/** Of what a customer may do, worked out after what it rests on changed. */
const stated = {
  ...whose,
  customerVersion: Type.Integer({ description: 'Of the customer, as it was worked out from.' }),
  revision: Type.Integer({ description: 'Of the catalog, as it was worked out by.' }),
};

const {
  used,
  reserved,
  limit,
  percent,
  overage,
  enforcement,
  wouldHaveDenied,
  period,
  previous,
  level,
  scope,
} = NoticeSchema.properties;
const noticed = {
  ...whose,
  feature: Type.String(),
  scope,
  used,
  reserved,
  limit,
  percent,
  overage,
  enforcement,
  period,
};
const LevelNoticeSchema = Type.Object({ ...noticed, level, wouldHaveDenied }, closed);

const PlanSchema = Type.Object({ plan: Type.String(), planVersion: Type.Integer() }, closed);

/** What a revoked one keeps names accounts of users: that is for whoever asks for it. */
const { kept: _kept, ...redeemed } = RedemptionSchema.properties;

/** The `data` of each type. What can be listened to is what stands here. */
export const HOOK_EVENTS = {
  'license.changed': Type.Object({ ...changed, license: LicenseSchema }, closed),
  'plan.changed': Type.Object(
    {
      ...changed,
      license: Type.String({ description: 'Its id.' }),
      before: PlanSchema,
      after: PlanSchema,
    },
    closed,
  ),
  'grant.changed': Type.Object({ ...changed, grant: GrantSchema }, closed),
  'membership.changed': Type.Object({ ...changed, membership: MembershipSchema, id: Type.String() }, closed),
  'voucher.changed': Type.Object({ ...changed, redemption: Type.Object(redeemed, closed) }, closed),
  'top-up.changed': Type.Object({ ...changed, topUp: TopUpSchema }, closed),
  'entitlement.changed': Type.Object(
    {
      ...stated,
      feature: Type.String(),
      before: orNull(EntitlementGivenSchema),
      after: orNull(EntitlementGivenSchema),
    },
    closed,
  ),
  'customer.state_changed': Type.Object({ ...stated, ...CustomerStateProperties }, closed),
  'limit.warned': LevelNoticeSchema,
  'limit.reached': LevelNoticeSchema,
  'limit.exceeded': LevelNoticeSchema,
  'limit.reset': Type.Object({ ...noticed, previous }, closed),
  'ends.soon': Type.Object(
    {
      ...whose,
      kind: Type.Enum(['license', 'grant', 'membership', 'top-up']),
      id: Type.String(),
      target: Type.Object({ kind: Type.String(), key: Type.String() }, closed),
      endsAt: TimeSchema,
      days: Type.Integer({ description: 'How many days before it is told: 7, and again 1.' }),
    },
    closed,
  ),
  'catalog.published': Type.Object({ ...whose, revision: Type.Integer() }, closed),
} as const;

export type HookEventType = keyof typeof HOOK_EVENTS;
export const HOOK_EVENT_TYPES = Object.keys(HOOK_EVENTS) as readonly HookEventType[];
export type HookEventData<Type extends HookEventType> = Static<(typeof HOOK_EVENTS)[Type]>;

export function isHookEventType(text: string): text is HookEventType {
  return Object.hasOwn(HOOK_EVENTS, text);
}

/** CloudEvents 1.0 in structured JSON. */
export const CloudEventSchema = Type.Object(
  {
    specversion: Type.Literal('1.0'),
    id: Type.String({ description: 'The same however often it is delivered; also the `webhook-id`.' }),
    source: Type.String({ description: '`/environments/{key}`, and `/products/{key}` behind it.' }),
    type: Type.String(),
    subject: Type.String({ description: 'What it is about: `license/{id}`, `feature/{key}`.' }),
    time: TimeSchema,
    datacontenttype: Type.Literal('application/json'),
    sequence: Type.String({
      pattern: '^\\d{16}$',
      description:
        'Counts the events of one customer, or of the environment where `data.customer` is `null`; padded with zeros, so that its order is that of texts. A test has none but zeros.',
    }),
    data: Type.Unknown({ description: 'As its type says.' }),
  },
  closed,
);
