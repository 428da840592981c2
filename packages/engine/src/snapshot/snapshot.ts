import type { BucketSeed } from '../bucket/bucket.js';
import type { ExpressionFrame } from '../catalog/expression-environment.js';
import type { SkuPattern } from '../catalog/sku-pattern.js';
import type {
  Aggregation,
  DowngradePolicy,
  Enforcement,
  EntitlementValue,
  Feature,
  FeatureType,
  FlagType,
  LatePolicy,
  PlanChangePolicy,
  Price,
  ResetDocument,
  RolloverDocument,
  SettleLate,
  SettleMore,
  StoreAwayPolicy,
  UsageScope,
} from '../model/catalog.js';
import type { Instant } from '../model/customer.js';
import type { JsonValue } from '../model/json.js';
import type { NoticeLevel } from '../usage/notices.js';
import type { Condition } from './condition.js';
import type { Reads } from './reads.js';

/** A named value that a flag serves. */
export interface Variant {
  readonly name: string;
  readonly value: JsonValue;
}

/** One share of a rollout: buckets below `below` (and not below the share before it) get the variant. */
export interface Share {
  /** `null`: `code-default`, for those who are in no other share of a flag without an off variant. */
  readonly variant: Variant | null;
  readonly below: number;
}

export interface RolloutStep {
  /** From when the step holds; `-Infinity` for a rollout without a ramp. */
  readonly from: Instant;
  readonly total: number;
  /** In written order; the last one ends at `total`. */
  readonly shares: readonly Share[];
  /** The share that holds the whole weight: it needs no bucket. */
  readonly whole: Share | null;
}

/** Where a rollout's bucket value comes from. `null`: the subject, as it was sent. */
export interface AttributePath {
  readonly text: string;
  readonly part: string;
  readonly read: (frame: ExpressionFrame) => unknown;
}

export interface CompiledRollout {
  readonly by: AttributePath | null;
  readonly seed: BucketSeed;
  /** In order of time; more than one only for a ramp. */
  readonly steps: readonly RolloutStep[];
  /** The one step of a rollout without a ramp. */
  readonly always: RolloutStep | null;
}

export interface CompiledRule {
  readonly index: number;
  readonly name: string | null;
  /** `null`: no condition, always a match. */
  readonly condition: Condition | null;
  readonly serve: Variant | null;
  readonly rollout: CompiledRollout | null;
  /** Why the rule cannot be used, where a broken one was forced into the data. It is then skipped and named. */
  readonly broken: string | null;
}

/** A feature that a flag's gate asks for; `null`: it is not there, which closes the gate. */
export interface Requirement {
  readonly key: string;
  readonly feature: CompiledFeature | null;
  /** What an answer names where this is missing. */
  readonly sources: readonly string[];
}

export interface CompiledPrerequisite {
  readonly flag: string;
  readonly variant: string;
}

export interface CompiledFlag {
  readonly key: string;
  readonly type: FlagType;
  readonly clientVisible: boolean;
  readonly enabled: boolean;
  readonly variants: ReadonlyMap<string, Variant>;
  /** `null`: `code-default`, the value that stands in the caller's code. */
  readonly off: Variant | null;
  readonly fallback: Variant;
  readonly requires: readonly string[];
  /** The same with the features themselves, as they are in this snapshot. */
  readonly gate: readonly Requirement[];
  readonly prerequisites: readonly CompiledPrerequisite[];
  readonly rules: readonly CompiledRule[];
  /** Why reads of this flag are errors, where a broken one was forced into the data. The kill switch works all the same. */
  readonly broken: string | null;
  readonly reads: Reads;
}

export interface CompiledFeature {
  readonly key: string;
  /** The place in `Snapshot.featureList`. */
  readonly index: number;
  readonly type: FeatureType;
  readonly numeric: boolean;
  readonly clientVisible: boolean;
  readonly per: UsageScope;
  readonly reset: ResetDocument | 'never';
  readonly enforcement: Enforcement;
  readonly overage: Feature['overage'] | null;
  readonly combine: 'any' | 'max' | 'sum' | 'last';
  readonly whenDenied: 'locked' | 'hidden';
  /** What becomes of a limit that a change of plan lowers; days of grace are spans of 24 hours. */
  readonly onDowngrade: { readonly policy: DowngradePolicy; readonly graceMilliseconds: number };
  /** `carry` for what has no periods. */
  readonly onPlanChange: PlanChangePolicy;
  readonly rollover: Required<RolloverDocument> | null;
  readonly measure: Condition | null;
  readonly settle: { readonly more: SettleMore; readonly late: SettleLate };
  /** INVARIANT: `closed` for every hard limit (law 2). */
  readonly onStoreAway: StoreAwayPolicy;
  readonly aggregation: Aggregation;
  /** `null` but for `unique`. */
  readonly uniqueBy: string | null;
  /** For how long after its end a period accepts events, in spans of 24 hours, and what becomes of later ones. */
  readonly lateEvents: { readonly milliseconds: number; readonly after: LatePolicy };
  readonly dimensions: readonly string[];
  /** What is told as usage comes to it, in that order. */
  readonly noticeLevels: readonly NoticeLevel[];
  /** How unlimited reads over OFREP: 2^31−1, or 2^53−1 where the catalog holds a larger finite limit of this feature. */
  readonly unlimitedNumber: number;
  readonly document: Feature;
  readonly broken: string | null;
}

export interface CompiledSplit {
  readonly by: string;
  readonly seed: BucketSeed;
  readonly total: number;
  readonly values: readonly { readonly value: EntitlementValue; readonly below: number }[];
}

/** Words and price of a plan or an add-on. */
export interface OfferText {
  readonly name: string | null;
  readonly description: string | null;
  readonly price: Price | null;
}

export interface CompiledPlan {
  readonly key: string;
  readonly version: number;
  /** `pro@1`. */
  readonly name: string;
  readonly rank: number;
  readonly offered: boolean;
  /** What a pricing page says of it; it decides nothing. */
  readonly show: OfferText;
  readonly defaultGroup: string | null;
  /** By feature key: a value, or a split that gives one. */
  readonly entitlements: ReadonlyMap<string, EntitlementValue | CompiledSplit>;
}

export interface CompiledAddon {
  readonly key: string;
  readonly version: number;
  readonly name: string;
  /** The place in the catalog: of several overrides the last wins. */
  readonly order: number;
  readonly offered: boolean;
  readonly show: OfferText;
  /** Keys of the plans that it may be bought with; `null`: every plan. */
  readonly plans: readonly string[] | null;
  /** How many may be bought; `null`: any number. */
  readonly maxQuantity: number | null;
  readonly entitlements: ReadonlyMap<
    string,
    { readonly add?: number; readonly max?: number | 'unlimited'; readonly override?: EntitlementValue }
  >;
}

export interface CompiledGroup {
  readonly key: string;
  readonly order: number;
  readonly mode: 'replace' | 'overlay';
  readonly entitlements: ReadonlyMap<string, EntitlementValue>;
}

export interface CompiledSegment {
  readonly key: string;
  readonly order: number;
  readonly condition: Condition | null;
  /** Whether the condition rests on server facts only, so that it may give features and pass gates. */
  readonly trusted: boolean;
  readonly entitlements: ReadonlyMap<string, EntitlementValue>;
  readonly broken: string | null;
}

/**
 * One environment of one revision, compiled: the first argument of every decision. Immutable; items that did not change are
 * the very objects of the snapshot before.
 */
export interface Snapshot {
  readonly productId: string;
  readonly productKey: string;
  /** What people call it; it decides nothing. */
  readonly productName: string | null;
  readonly environment: string;
  readonly revision: number;
  /** What is effective in this environment: equal hashes decide equally. */
  readonly hash: string;
  readonly timeZone: string | null;
  readonly sku: SkuPattern | null;
  readonly defaultPlan: CompiledPlan | null;
  readonly flags: ReadonlyMap<string, CompiledFlag>;
  readonly features: ReadonlyMap<string, CompiledFeature>;
  readonly featureList: readonly CompiledFeature[];
  /** By `pro@1`. */
  readonly plans: ReadonlyMap<string, CompiledPlan>;
  /** By plan key: the highest offered version, else the highest. */
  readonly currentPlans: ReadonlyMap<string, CompiledPlan>;
  /** By `minutes-pack@0`. */
  readonly addons: ReadonlyMap<string, CompiledAddon>;
  readonly groups: ReadonlyMap<string, CompiledGroup>;
  readonly segments: ReadonlyMap<string, CompiledSegment>;
  /** By feature key: the segments that may carry it, in catalog order. */
  readonly segmentsByFeature: ReadonlyMap<string, readonly CompiledSegment[]>;
  /** Flags and features, sorted by code units: the order of every bulk answer. */
  readonly keys: readonly string[];
  /** For the compiler of the next revision: the source and result of every item. */
  readonly items: ReadonlyMap<string, CompiledItem>;
  readonly declarations: ReadonlyMap<string, string>;
  /** The declared context and SKU, which every expression is checked against. */
  readonly contextHash: string;
  /** How many compilations built on one another, since everything was compiled. */
  readonly generation: number;
}

/** One catalog item with what was made of it, so that the next compilation can tell what stayed. */
export interface CompiledItem {
  readonly source: unknown;
  readonly text: string;
  readonly place: string;
  readonly hash: string;
  readonly compiled: unknown;
  readonly broken: string | null;
}
