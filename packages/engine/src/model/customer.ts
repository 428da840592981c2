import type { EntitlementValue } from './catalog.js';
import type { JsonObject, JsonValue } from './json.js';

/** An instant: milliseconds since 1970-01-01T00:00:00Z. Spans are half-open, `[startsAt, endsAt)`; `null` has no end. */
export type Instant = number;

export interface Span {
  readonly startsAt: Instant;
  readonly endsAt: Instant | null;
}

export function inForce(span: Span, now: Instant): boolean {
  return span.startsAt <= now && (span.endsAt === null || now < span.endsAt);
}

export const LICENSE_STATUSES = ['trialing', 'active', 'past_due', 'paused', 'canceled', 'ended'] as const;
export type LicenseStatus = (typeof LICENSE_STATUSES)[number];

export const LICENSE_KINDS = ['trial', 'paid', 'contract'] as const;
export type LicenseKind = (typeof LICENSE_KINDS)[number];

export interface LicenseAddon {
  readonly addon: string;
  readonly version: number;
  readonly quantity: number;
}

/** What a license was to before its plan changed, until that instant. */
export interface EarlierPlan {
  readonly plan: string;
  readonly planVersion: number;
  readonly until: Instant;
}

/** What a license will be to from an instant on, by the clock: nothing has to run then. */
export interface NextPlan {
  readonly plan: string;
  readonly planVersion: number;
  readonly at: Instant;
  /** The license's own, or a new one that starts there: then usage begins again. */
  readonly anchor: string;
  readonly sku: string | null;
}

/** A customer's dated right to a plan version of one product. */
export interface License extends Span {
  readonly id: string;
  /** The product's key. */
  readonly product: string;
  readonly plan: string;
  readonly planVersion: number;
  readonly quantity: number;
  readonly kind: LicenseKind;
  readonly status: LicenseStatus;
  /** `past_due` keeps its rights until then. */
  readonly graceEndsAt: Instant | null;
  /** RFC 9557 text, the original anchor of every period (law 9): `2027-01-31T10:00:00[America/New_York]`. */
  readonly anchor: string;
  /** When the anchor was last moved: the period that ran then ended there, and one began. `null`: it never was. */
  readonly anchorSince?: Instant | null;
  readonly timeZone: string | null;
  /** The billing key that the license was sold under (P-2). */
  readonly sku: string | null;
  readonly addons: readonly LicenseAddon[];
  /** The plans that it was to before, oldest first: what a lowered limit is lowered from. */
  readonly earlier?: readonly EarlierPlan[];
  /** `plan`, `planVersion`, `anchor` and `sku` hold until this one's instant. */
  readonly next?: NextPlan | null;
}

export const TARGET_KINDS = ['user', 'instance', 'customer', 'group', 'segment'] as const;
/** In the order of nearness (DESIGN: the order of decisions). */
export type TargetKind = (typeof TARGET_KINDS)[number];

export const GRANT_KINDS = ['demo', 'beta', 'contract', 'support', 'voucher'] as const;
export type GrantKind = (typeof GRANT_KINDS)[number];

export type GrantEffect =
  | {
      readonly type: 'flag';
      readonly flag: string;
      readonly variant: string;
      /** `respect` leaves the gate standing: the required features are not given along. */
      readonly requires?: 'grant' | 'respect';
      /** Limits of required metered and limit features, by feature key. */
      readonly limits?: Readonly<Record<string, number | 'unlimited'>>;
    }
  | { readonly type: 'set'; readonly feature: string; readonly value: EntitlementValue }
  | { readonly type: 'add'; readonly feature: string; readonly amount: number }
  /** `factor` is a decimal text of at most four decimals, for example `1.5`. */
  | { readonly type: 'multiply'; readonly feature: string; readonly factor: string }
  | { readonly type: 'unlimited'; readonly feature: string }
  | { readonly type: 'deny'; readonly feature: string }
  /** Makes a lot of a metered feature, for a user, an instance or a customer; the grant's span is the lot's. */
  | {
      readonly type: 'topUp';
      readonly feature: string;
      readonly amount: number;
      /** 0 … 100, lower first; `DEFAULT_LOT_PRIORITY`. */
      readonly priority?: number;
      /** `topup` where it is left out; what a voucher gives is promotional unless it says otherwise. */
      readonly lot?: 'promotional' | 'topup';
    };

export interface Grant extends Span {
  readonly id: string;
  /** The product's key. */
  readonly product: string;
  readonly target: { readonly kind: TargetKind; readonly key: string };
  readonly kind: GrantKind;
  readonly effect: GrantEffect;
}

export interface GroupMembership extends Span {
  readonly group: string;
}

export const MEMBER_KINDS = ['customer', 'team', 'user', 'instance'] as const;
export type MemberKind = (typeof MEMBER_KINDS)[number];

export interface SegmentMembership extends Span {
  readonly segment: string;
  readonly member: { readonly kind: MemberKind; readonly key: string };
}

/** `topup`: paid for. `promotional`: given. `rollover`: left of an earlier period. */
export const LOT_KINDS = ['promotional', 'rollover', 'topup'] as const;
export type LotKind = (typeof LOT_KINDS)[number];

/** An amount that may be used besides what a period allows, for its span. One that was voided is no more among them. */
export interface CreditLot extends Span {
  readonly id: string;
  readonly kind: LotKind;
  /** 0 … 100: lower ones are used first. What a period allows has `DEFAULT_LOT_PRIORITY`. */
  readonly priority: number;
  readonly amount: number;
  /** 0 … `amount`. */
  readonly remaining: number;
  readonly createdAt: Instant;
}

/** An amount that a reservation holds until it is settled, released or ended by the clock. */
export interface Hold {
  readonly endsAt: Instant;
  readonly amount: number;
}

/** One account's last known balance. `scope` is empty for `per: customer`, else the instance's or user's key. */
export interface AccountState {
  /** The product's key; absent where a state holds accounts of one product only. */
  readonly product?: string;
  readonly feature: string;
  readonly scope: string;
  /** The period that `used` and `reserved` belong to; `null` for `reset: never`. */
  readonly periodStart: Instant | null;
  readonly used: number;
  readonly reserved: number;
  /** As it was when the period was opened; it may have ended earlier. */
  readonly periodEnd?: Instant | null;
  /** So much of `used` was taken out of lots; 0 where it is left out. */
  readonly covered?: number;
  /** Not ended and not voided; absent: none. */
  readonly lots?: readonly CreditLot[];
  /** Those of `reserved` that end first, soonest first; what of them has ended does not count any more. Absent: none is known. */
  readonly holds?: readonly Hold[];
}

export interface InstanceState {
  readonly id: string;
  readonly key: string;
  readonly metadata: JsonObject;
}

/**
 * Everything known of one customer of one environment that a decision may read: the second argument of every decision.
 * It holds the grants and memberships of the customer, of its instances, and of the users and teams that were asked
 * about, as well as every group and segment grant that could reach it; the engine decides which apply.
 */
export interface CustomerState {
  /** `null`: a customer that is not registered. Grants and memberships may name it all the same. */
  readonly id: string | null;
  /** Empty where no customer was named: then the state holds what the named user, instance and team have of their own. */
  readonly key: string;
  /** Raised by any change of the customer, its licenses, memberships and grants; not by usage. */
  readonly version: number;
  /** `null` for one that is not registered: its periods follow the calendar. */
  readonly createdAt: Instant | null;
  readonly timeZone: string | null;
  readonly attributes: Readonly<Record<string, JsonValue>>;
  readonly licenses: readonly License[];
  readonly groups: readonly GroupMembership[];
  readonly memberships: readonly SegmentMembership[];
  readonly grants: readonly Grant[];
  readonly accounts: readonly AccountState[];
}
