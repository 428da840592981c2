import type { BillingMapping } from './billing.js';
import type { JsonObject, JsonValue } from './json.js';

/*
 * The authored catalog document (spec: the catalog document). One shape in YAML files, in REST bodies and in the database.
 * Members are kept as the author wrote them: defaults are filled in by the snapshot compiler, never here, so that
 * `export` gives back what was applied.
 */

export const FEATURE_TYPES = ['boolean', 'limit', 'metered', 'config'] as const;
export type FeatureType = (typeof FEATURE_TYPES)[number];

export const FLAG_TYPES = ['boolean', 'string', 'integer', 'float', 'object'] as const;
export type FlagType = (typeof FLAG_TYPES)[number];

export const FEATURE_CATEGORIES = ['subscription', 'limit', 'ux', 'experimental'] as const;
export type FeatureCategory = (typeof FEATURE_CATEGORIES)[number];

export const FLAG_CATEGORIES = [...FEATURE_CATEGORIES, 'release', 'ops', 'kill-switch'] as const;
export type FlagCategory = (typeof FLAG_CATEGORIES)[number];

export const INTERVALS = ['hour', 'day', 'week', 'month', 'quarter', 'year'] as const;
export type Interval = (typeof INTERVALS)[number];

export const ENFORCEMENTS = ['hard', 'soft', 'observe'] as const;
export type Enforcement = (typeof ENFORCEMENTS)[number];

/** What happens to use above a limit that a change of plan has lowered. */
export const DOWNGRADE_POLICIES = ['refuse-new', 'grace', 'read-only', 'until-reset'] as const;
export type DowngradePolicy = (typeof DOWNGRADE_POLICIES)[number];

/** What a change of plan in the middle of a period does to the use and the limit of that period. */
export const PLAN_CHANGE_POLICIES = ['carry', 'reset', 'prorate'] as const;
export type PlanChangePolicy = (typeof PLAN_CHANGE_POLICIES)[number];

export type UsageScope = 'customer' | 'instance' | 'user';

/**
 * How usage adds up within a period. `sum` and `count` can be asked for room before they happen, and so limited hard; `unique`, `max`
 * and `latest` are only known once they have happened, and are recorded.
 */
export const AGGREGATIONS = ['sum', 'count', 'unique', 'max', 'latest'] as const;
export type Aggregation = (typeof AGGREGATIONS)[number];

/** What becomes of an event that is told later than its own period accepts events. */
export const LATE_POLICIES = ['current', 'refuse'] as const;
export type LatePolicy = (typeof LATE_POLICIES)[number];

/** The product of a document; what is left out keeps what the product has. */
export interface ProductDocument {
  readonly key: string;
  readonly name?: string;
  /** How a billing key is split into `plan.*` facts (P-2), for example `{country}-{tier}-{product}-{payment:int}-v{version:int}`. */
  readonly sku?: string;
  /** The plan of customers without a license and of unknown ones: a plan key; its highest offered version counts. */
  readonly defaultPlan?: string;
  readonly timeZone?: string;
  /** How long a license that is `past_due` keeps its rights where nobody says otherwise; `DEFAULT_PAST_DUE_DAYS`. */
  readonly pastDueGraceDays?: number;
  readonly lint?: Readonly<Record<string, LintSeverity>>;
}

export type LintSeverity = 'off' | 'info' | 'warning' | 'error';

/** What every feature and flag may say of itself (C-1, C-5, C-10). */
export interface Governed {
  readonly key: string;
  readonly name?: string;
  readonly description?: string;
  readonly owner?: string;
  readonly purpose?: string;
  readonly removal?: string;
  readonly expires?: string;
  readonly rollback?: string;
  readonly tags?: readonly string[];
  readonly clientVisible?: boolean;
}

export interface ResetDocument {
  readonly every: Interval;
  /** n-fold intervals: every 2 weeks is `{ every: week, count: 2 }`. */
  readonly count?: number;
  readonly anchor?: 'license' | 'calendar';
  readonly timeZone?: string;
}

/** What is left of a period's allowance and may be used in later ones. */
export interface RolloverDocument {
  /** So much of one period at most. */
  readonly maximum: number;
  /** So much of one period at least, whatever was left. */
  readonly minimum?: number;
  /** It ends with the so-manieth period after the one it is left of; 1 unless said otherwise. */
  readonly periods?: number;
}

export const SETTLE_MORE = ['refuse', 'all', 'upTo'] as const;
/** What becomes of the part that was not held: refused, taken whole or not at all, or taken as far as it fits. */
export type SettleMore = (typeof SETTLE_MORE)[number];
export const SETTLE_LATE = ['refuse', 'consume'] as const;
/** A reservation that ended: nothing is settled any more, or it is tried as a consume. */
export type SettleLate = (typeof SETTLE_LATE)[number];

export const STORE_AWAY_POLICIES = ['closed', 'open', 'lastKnown'] as const;
/** A consume while the store cannot be reached: none, all that is asked, or as far as the last known balance allows. */
export type StoreAwayPolicy = (typeof STORE_AWAY_POLICIES)[number];

export interface SettlePolicy {
  readonly more?: SettleMore;
  readonly late?: SettleLate;
}

/** An amount of a metered feature that can be bought besides what periods allow: what a top-up is made of. */
export interface TopUpPack {
  readonly key: string;
  readonly name?: string;
  readonly description?: string;
  readonly amount: number;
  /** It ends so many days of 24 hours after it was made; without: never. */
  readonly validDays?: number;
  /** 0 … 100, lower first; `DEFAULT_LOT_PRIORITY`. */
  readonly priority?: number;
  /** Whose plan is one of them; every customer where it is left out. */
  readonly plans?: readonly string[];
  /** Paid once. */
  readonly price?: Price;
  readonly offered?: boolean;
}

export interface Feature extends Governed {
  readonly type: FeatureType;
  readonly category?: FeatureCategory;
  readonly whenDenied?: 'locked' | 'hidden';
  readonly unit?: { readonly one: string; readonly other: string };
  readonly per?: UsageScope;
  readonly reset?: ResetDocument | 'never';
  readonly enforcement?: Enforcement;
  readonly overage?: { readonly percent: number } | { readonly amount: number };
  readonly warnAt?: readonly number[];
  /** `grace` alone lasts `DEFAULT_GRACE_DAYS`. */
  readonly onDowngrade?: DowngradePolicy | { readonly grace: { readonly days: number } };
  readonly onPlanChange?: PlanChangePolicy;
  readonly rollover?: RolloverDocument;
  readonly topUps?: readonly TopUpPack[];
  /** What of a reservation may be settled that was not held, and whether one that ended still may be. Default: refuse both. */
  readonly settle?: SettlePolicy;
  /** Soft and observed limits only: a hard one is always closed (law 2). Default `closed`. */
  readonly onStoreAway?: StoreAwayPolicy;
  /** CEL over the attributes of a usage, giving an integer: the amount when the caller sends none (K-9). */
  readonly measure?: string;
  /** Default `sum`. */
  readonly aggregation?: Aggregation;
  /** The attribute whose different values `aggregation: unique` counts. */
  readonly uniqueBy?: string;
  /** A period accepts events for `days` after its end; default `DEFAULT_LATE_DAYS`, then into the current period. */
  readonly lateEvents?: { readonly days?: number; readonly after?: LatePolicy };
  /** Attributes by which the history of usage is kept apart. */
  readonly dimensions?: readonly string[];
  /** JSON Schema of a config feature's value. */
  readonly schema?: JsonObject;
  /** How several licenses combine; by default boolean any, numbers max, config last. */
  readonly combine?: 'any' | 'max' | 'sum' | 'last';
}

/** `unlimited` is a kind of its own, never null or −1. */
export type EntitlementValue = boolean | number | 'unlimited' | JsonObject;

export interface Split {
  readonly by: string;
  readonly seed?: string;
  readonly values: readonly { readonly value: EntitlementValue; readonly weight: number }[];
}

export interface PlanEntitlement {
  readonly feature: string;
  readonly value?: EntitlementValue;
  readonly split?: Split;
}

export interface Price {
  readonly amount: number;
  readonly currency: string;
  readonly every?: Interval | 'once';
  readonly source?: string;
}

export interface Plan {
  readonly key: string;
  readonly version?: number;
  readonly name?: string;
  readonly description?: string;
  readonly rank?: number;
  readonly offered?: boolean;
  readonly price?: Price;
  readonly defaultGroup?: string;
  readonly entitlements: readonly PlanEntitlement[];
}

/** Exactly one of `add`, `max` and `override`. */
export interface AddonEntitlement {
  readonly feature: string;
  readonly add?: number;
  readonly max?: number | 'unlimited';
  readonly override?: EntitlementValue;
}

export interface Addon {
  readonly key: string;
  readonly version?: number;
  readonly name?: string;
  readonly description?: string;
  readonly plans?: readonly string[];
  readonly maxQuantity?: number;
  readonly price?: Price;
  readonly offered?: boolean;
  readonly entitlements: readonly AddonEntitlement[];
}

export interface SetEntitlement {
  readonly feature: string;
  readonly value: EntitlementValue;
}

export interface Group {
  readonly key: string;
  readonly name?: string;
  readonly description?: string;
  readonly mode?: 'replace' | 'overlay';
  readonly entitlements: readonly SetEntitlement[];
}

export interface Segment {
  readonly key: string;
  readonly name?: string;
  readonly description?: string;
  /** CEL; without one, only stored members are in the segment. Both may stand: either makes a member. */
  readonly condition?: string;
  readonly entitlements?: readonly SetEntitlement[];
}

/**
 * A list walked in its written order. The parser turns the shorthand map into it, because objects reorder
 * integer-like keys.
 */
export interface Weight {
  readonly variant: string;
  readonly weight: number;
}

export interface RampStep {
  readonly at: string;
  readonly weights?: readonly Weight[];
  readonly percentage?: number;
}

/** Exactly one of `weights`, `percentage` (booleans) and `ramp`. */
export interface Rollout {
  readonly by?: string;
  readonly percentage?: number;
  readonly weights?: readonly Weight[];
  readonly ramp?: readonly RampStep[];
}

/** Serves exactly one of a variant and a rollout. `true` and `false` name the variants `on` and `off`. */
export interface Rule {
  readonly name?: string;
  readonly if?: string;
  readonly serve?: string | boolean;
  readonly rollout?: Rollout;
}

export interface FlagEnvironment {
  readonly enabled?: boolean;
  readonly rules?: readonly Rule[];
  readonly default?: string | boolean;
}

export interface Prerequisite {
  readonly flag: string;
  readonly variant: string | boolean;
}

export interface Flag extends Governed {
  readonly type: FlagType;
  readonly category?: FlagCategory;
  readonly requires?: readonly string[];
  readonly prerequisites?: readonly Prerequisite[];
  readonly seed?: string;
  readonly variants?: Readonly<Record<string, JsonValue>>;
  /** A variant, or `code-default`. Booleans: `off` unless said otherwise; other types must say. */
  readonly off?: string | boolean;
  readonly default?: string | boolean;
  readonly rules?: readonly Rule[];
  readonly environments?: Readonly<Record<string, FlagEnvironment>>;
}

export interface CatalogAssertion {
  readonly name: string;
  readonly given: {
    readonly plan?: string;
    readonly at?: string;
    readonly environment?: string;
    readonly [part: string]: JsonValue | undefined;
  };
  readonly expect: Readonly<Record<string, JsonValue>>;
}

export interface Catalog {
  readonly product?: ProductDocument;
  /** JSON Schemas of the context's parts, by part. */
  readonly context?: Readonly<Record<string, JsonObject>>;
  readonly features: readonly Feature[];
  readonly plans: readonly Plan[];
  readonly addons: readonly Addon[];
  readonly groups: readonly Group[];
  readonly segments: readonly Segment[];
  readonly flags: readonly Flag[];
  /** What prices of billing providers mean, by connection. */
  readonly billing: readonly BillingMapping[];
  readonly tests: readonly CatalogAssertion[];
}

/** The kinds of rows a catalog is stored as. A plan's or add-on's item key is `key@version`. */
export const ITEM_KINDS = [
  'product',
  'context',
  'feature',
  'plan',
  'addon',
  'group',
  'segment',
  'flag',
  'billing',
  'test',
] as const;
export type ItemKind = (typeof ITEM_KINDS)[number];

/** `pro@1`: the one way a plan version (or an add-on version) is named in text. */
export function versionedKey(key: string, version: number | undefined): string {
  return `${key}@${version ?? 0}`;
}
