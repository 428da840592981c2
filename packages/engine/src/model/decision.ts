import type {
  DowngradePolicy,
  Enforcement,
  EntitlementValue,
  FeatureType,
  FlagType,
  StoreAwayPolicy,
} from './catalog.js';
import type { Instant } from './customer.js';
import type { JsonObject, JsonValue } from './json.js';
import type { Remedy } from './remedy.js';

/** OpenFeature's words for why a flag has its value. */
export type FlagReason = 'STATIC' | 'TARGETING_MATCH' | 'SPLIT' | 'DEFAULT' | 'DISABLED' | 'ERROR';

/** Our closed code for the step that decided a flag (DESIGN: the order of decisions). */
export const FLAG_CAUSES = [
  'DISABLED',
  'GRANT',
  'NOT_ENTITLED',
  'PREREQUISITE',
  'RULE',
  'ROLLOUT',
  'NO_RULE_MATCHED',
  'NO_RULES',
  'ENTITLEMENT',
] as const;
export type FlagCause = (typeof FLAG_CAUSES)[number];

export type FlagErrorCode =
  | 'FLAG_NOT_FOUND'
  | 'TARGETING_KEY_MISSING'
  | 'CUSTOMER_STATE_UNAVAILABLE'
  | 'GENERAL';

/** Why a rule was skipped although its place came (never random, always named). */
export type RuleFaultCode =
  | 'ATTRIBUTE_MISSING'
  | 'EXPRESSION_ERROR'
  | 'BUCKET_ATTRIBUTE_MISSING'
  | 'COST_LIMIT'
  | 'CUSTOMER_STATE_UNAVAILABLE';

export interface RuleFault {
  readonly ruleIndex: number;
  readonly code: RuleFaultCode;
  readonly message: string;
}

export interface Bucket {
  readonly by: string;
  readonly seed: string;
  readonly total: number;
  readonly number: number;
}

/** The source of a step of an entitlement or of a granted flag, in the words of OEP. */
export type SourceType =
  | 'plan'
  | 'addon'
  | 'default_group'
  | 'group'
  | 'segment'
  | 'trial'
  | 'grant'
  | 'voucher'
  | 'topup'
  | 'default';

export type SourceEffect =
  | 'set'
  | 'add'
  | 'max'
  | 'override'
  | 'multiply'
  | 'prorate'
  | 'unlimited'
  | 'deny'
  | 'replace'
  | 'overlay';

export interface Source {
  readonly type: SourceType;
  /** `pro@3`, a group's or segment's key, a grant's id. */
  readonly key: string;
  readonly effect: SourceEffect;
  readonly value: EntitlementValue | string | null;
  readonly until: Instant | null;
}

interface DecisionStamp {
  readonly revision: number;
  readonly customerVersion: number;
  /** When this answer may change by time alone; `null` when it never does. */
  readonly validUntil: Instant | null;
  readonly customerNotProven: boolean;
  /** The SKU that was sent, or a license in force, names no plan (`PLAN_NOT_FOUND`): it gives facts and no entitlements. */
  readonly planNotFound?: true;
}

export interface FlagAnswer extends DecisionStamp {
  readonly kind: 'answer';
  readonly key: string;
  readonly type: FlagType;
  /** `null` when switched off with `off: code-default`: then there is no value either. */
  readonly variant: string | null;
  readonly value: JsonValue | null;
  readonly reason: Exclude<FlagReason, 'ERROR'>;
  readonly cause: FlagCause;
  readonly ruleIndex: number | null;
  readonly bucket: Bucket | null;
  /** The keys of what decided: a grant's id, the missing feature, the prerequisite flag. */
  readonly sources: readonly string[];
  readonly faults: readonly RuleFault[];
  /** Of a metered feature that is read as a flag: more is used than is granted for good. */
  readonly overLimit?: true;
}

export interface FlagError extends DecisionStamp {
  readonly kind: 'error';
  readonly key: string;
  readonly errorCode: FlagErrorCode;
  readonly message: string;
}

export type FlagDecision = FlagAnswer | FlagError;

export type Limit = { readonly kind: 'unlimited' } | { readonly kind: 'finite'; readonly value: number };

/** One span of a reset period with how it was computed; `null` where nothing resets. */
export interface Period {
  readonly start: Instant;
  readonly end: Instant;
  /** ISO 8601, for example `P1M`. */
  readonly interval: string;
  /** RFC 9557 text of the original anchor. */
  readonly anchor: string;
  readonly timeZone: string;
}

export const ACCESS_REASONS = [
  'PLAN',
  'GROUP',
  'ADDON',
  'TRIAL',
  'GRANT',
  'VOUCHER',
  'UNLIMITED',
  'SOFT_LIMIT_EXCEEDED',
  'OBSERVE_ONLY',
  'FALLBACK',
  'CACHED',
] as const;
export const DENIAL_REASONS = [
  'LIMIT_REACHED',
  'NOT_ENTITLED',
  'NO_LICENSE',
  'PAST_DUE',
  'EXPIRED',
  'REVOKED',
  'DISABLED',
] as const;
export type EntitlementReason = (typeof ACCESS_REASONS)[number] | (typeof DENIAL_REASONS)[number];

/**
 * What a customer may do with a feature at an instant: derived, never stored as truth. `granted` is the right itself,
 * whatever is used up; `hasAccess` also means room for the amount that was asked about.
 */
export interface EntitlementDecision extends DecisionStamp {
  readonly kind: 'entitlement';
  readonly key: string;
  readonly type: FeatureType;
  readonly granted: boolean;
  readonly hasAccess: boolean;
  readonly reason: EntitlementReason;
  /** Boolean and config features: the granted value. */
  readonly value: boolean | JsonObject | null;
  /** Limit and metered features, also when nothing is granted (finite 0). */
  readonly limit: Limit | null;
  readonly enforcement: Enforcement;
  /** How far a soft limit may be exceeded; `null` where nothing bounds it, and for other enforcements. */
  readonly overageAllowance: { readonly percent: number } | { readonly amount: number } | null;
  /** Metered features only. */
  readonly usage: number;
  readonly reserved: number;
  readonly balance: number;
  readonly overage: number;
  /** Of `limit` what a period allows, where lots add to it; the rest is what they cover and what remains of them. */
  readonly allowance?: number;
  readonly period: Period | null;
  /** The account that counts: empty for `per: customer`, else the instance's or user's key. */
  readonly scope: string;
  readonly sources: readonly Source[];
  readonly whenDenied: 'locked' | 'hidden';
  /** Only where somebody looked for one; `omitted`: the answer it is part of had tried enough. */
  readonly remedy?: Remedy | 'omitted' | null;
  /** Present where use is above what is granted, or where an earlier limit still stands. `overOf` tells by how much. */
  readonly downgrade?: Downgrade;
  /** Present where a consume was answered without the store. */
  readonly fallback?: Fallback;
}

/** Answered without the store: kept in a journal of the process, and counted when the store is back. */
export interface Fallback {
  readonly policy: Exclude<StoreAwayPolicy, 'closed'>;
  /** When it was answered, by the clock of the process. */
  readonly at: Instant;
}

/** A limit that was lowered, below what is in use or while the one before it stands for a time. */
export interface Downgrade {
  /** What is granted for good; `EntitlementDecision.limit` is larger while the earlier limit stands. */
  readonly limit: number;
  readonly policy: DowngradePolicy;
  /** When the licenses came to give less; `null` where it is not they that do. */
  readonly since: Instant | null;
  /** Until when the earlier limit stands; `null`: it does not. */
  readonly standsUntil: Instant | null;
}

export type EntitlementErrorCode =
  | 'ENTITLEMENT_NOT_FOUND'
  | 'TYPE_MISMATCH'
  | 'TARGETING_KEY_MISSING'
  | 'CUSTOMER_STATE_UNAVAILABLE';

/** An accident, not a denial: the question could not be answered. */
export interface EntitlementError extends DecisionStamp {
  readonly kind: 'error';
  readonly key: string;
  readonly errorCode: EntitlementErrorCode;
  readonly message: string;
}

export type ConsumptionMode = 'all' | 'upTo';

export const RESERVATION_STATES = ['held', 'settled', 'released', 'expired'] as const;
export type ReservationState = (typeof RESERVATION_STATES)[number];

/** An amount held for a time. All states but `held` are final; it is held in `[made, expiresAt)`. */
export interface Reservation {
  readonly id: string;
  readonly state: ReservationState;
  /** What it holds or held. */
  readonly amount: number;
  /** What became usage; `null` until it is settled. */
  readonly settled: number | null;
  readonly expiresAt: Instant;
}

/** One decided attempt to take an amount (law 4: a denial is an answer). */
export interface ConsumptionDecision {
  readonly key: string;
  readonly allowed: boolean;
  /** INVARIANT: never one with access where `allowed` is false. */
  readonly reason: EntitlementReason;
  readonly requested: number;
  readonly consumed: number;
  readonly usedBefore: number;
  /** `usedBefore + consumed`, and where nothing bounds usage at most what JSON carries exactly. */
  readonly usedAfter: number;
  readonly reservedAfter: number;
  /** `null`: unlimited, or no limit was asked because nothing could be taken (a holder that claims again). */
  readonly limitAtDecision: number | null;
  readonly enforcement: Enforcement;
  /** Observe mode records what a hard limit would have said. */
  readonly wouldHaveDenied: boolean;
  /**
   * All or nothing: the number (from 0) of the item that was refused, where this one alone would have fitted. `reason` is then why that
   * item was refused. `null`: the attempt was decided by itself.
   */
  readonly refusedBy: number | null;
  readonly entitlement: EntitlementDecision;
  /** The reservation that this made or ended, as it then was; absent where the attempt was none of one. */
  readonly reservation?: Reservation;
}

/**
 * One step of an explanation. The steps come from the functions that decide, which are given a recorder: there is no second
 * algorithm that explains.
 */
export interface ExplanationStep {
  readonly step: ExplanationStepCode;
  /** The flag, feature or segment that the step belongs to. */
  readonly subject: string;
  readonly outcome: 'applied' | 'skipped' | 'decided';
  /** A whole sentence for a person. */
  readonly message: string;
  readonly data: JsonObject;
}

export const EXPLANATION_STEPS = [
  'subject',
  'flag-lookup',
  'environment',
  'flag-grant',
  'requires',
  'prerequisite',
  'rule',
  'rollout',
  'flag-default',
  'license',
  'plan-version',
  'default-plan',
  'default-group',
  'combine',
  'downgrade',
  'group',
  'segment',
  'addon',
  'grant',
  'credits',
  'effective',
  'usage',
  'consumption',
] as const;
export type ExplanationStepCode = (typeof EXPLANATION_STEPS)[number];

export interface Recorder {
  record(step: ExplanationStep): void;
}
