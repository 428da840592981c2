import {
  type ExpressionFrame,
  type ExpressionLayer,
  expressionEnvironment,
} from '../catalog/expression-environment.js';
import { readSkuPattern, type SkuPattern } from '../catalog/sku-pattern.js';
import { compileExpression } from '../cel/compile-expression.js';
import type { CelEnvironment } from '../cel/types.js';
import {
  type Catalog,
  type Feature,
  type Flag,
  type ItemKind,
  type Segment,
  versionedKey,
} from '../model/catalog.js';
import type { CompileContext } from './compile-context.js';
import { compileFeature, largestNumbers, unlimitedNumber } from './compile-feature.js';
import { compileFlag } from './compile-flag.js';
import { changedDeclarations, declarationsOf, ItemCompiler, type ItemPlan } from './compile-items.js';
import { compileAddon, compileGroup, compilePlan, compileSegment } from './compile-offers.js';
import { BrokenItem } from './compile-rule.js';
import { type Condition, readsOfExpression } from './condition.js';
import { chain, fingerprint } from './fingerprint.js';
import { linkGates } from './link-gates.js';
import { NO_READS } from './reads.js';
import type { CompiledFeature, CompiledFlag, CompiledPlan, CompiledSegment, Snapshot } from './snapshot.js';
import { sortInSlices } from './sorted-keys.js';
import { unusableChains } from './unusable-chains.js';

export interface CompileInput {
  readonly catalog: Catalog;
  readonly environment: string;
  readonly revision: number;
  readonly productId: string;
  /** The snapshot of an earlier revision of the same environment: what did not change is taken over from it. */
  readonly previous?: Snapshot;
}

export interface DisabledItem {
  readonly kind: ItemKind;
  readonly key: string;
  readonly message: string;
}

export interface CompileOutput {
  readonly snapshot: Snapshot;
  /** Items that cannot be used, which only data that went past the validator holds. Everything else works. */
  readonly disabled: readonly DisabledItem[];
}

function contextOf(catalog: Catalog, environment: string): CompileContext {
  const environments = new Map<ExpressionLayer, CelEnvironment<ExpressionFrame>>();
  const compiled = new Map<string, Condition>();
  return {
    catalog,
    environment,
    condition(text, layer) {
      const known = compiled.get(`${layer} ${text}`);
      if (known !== undefined) return known;
      let declarations = environments.get(layer);
      if (declarations === undefined) {
        declarations = expressionEnvironment({ catalog, layer });
        environments.set(layer, declarations);
      }
      const result = compileExpression(text, declarations);
      if (!result.ok) throw new BrokenItem(result.issues[0]?.message ?? 'The expression cannot be read.');
      const condition = {
        text,
        expression: result.expression,
        reads: readsOfExpression(result.expression.reads),
      };
      compiled.set(`${layer} ${text}`, condition);
      return condition;
    },
  };
}

function skuPatternOf(catalog: Catalog): SkuPattern | null {
  const text = catalog.product?.sku;
  if (text === undefined) return null;
  const pattern = readSkuPattern(text);
  return pattern.ok ? pattern : null;
}

/** Of each plan the highest offered version, else the highest one. */
function currentPlansOf(plans: Iterable<CompiledPlan>): ReadonlyMap<string, CompiledPlan> {
  const current = new Map<string, CompiledPlan>();
  for (const plan of plans) {
    const best = current.get(plan.key);
    const better =
      best === undefined || (plan.offered === best.offered ? plan.version > best.version : plan.offered);
    if (better) current.set(plan.key, plan);
  }
  return current;
}

function segmentsByFeature(
  segments: Iterable<CompiledSegment>,
): ReadonlyMap<string, readonly CompiledSegment[]> {
  const byFeature = new Map<string, CompiledSegment[]>();
  for (const segment of segments) {
    for (const feature of segment.entitlements.keys()) {
      const list = byFeature.get(feature);
      if (list === undefined) byFeature.set(feature, [segment]);
      else list.push(segment);
    }
  }
  return byFeature;
}

/**
 * A compiled expression keeps the declarations of its day in memory. After so many compilations that built on one another everything is
 * compiled anew, so that a server which publishes for years does not keep a catalog for each day.
 */
const MAX_GENERATIONS = 64;

/** The snapshot to build on: of the same environment, against the same declared context, and not built upon for too long. */
function baseOf({ previous, environment }: CompileInput, contextHash: string): Snapshot | undefined {
  if (previous === undefined || previous.environment !== environment) return undefined;
  return previous.contextHash === contextHash && previous.generation < MAX_GENERATIONS ? previous : undefined;
}

/**
 * Compiles one environment of one revision, yielding between slices so that ten thousand flags never hold the process for
 * longer than five milliseconds; the caller drives it. `compileSnapshot` is the same in one go.
 */
export function* compileSnapshotInSlices(input: CompileInput): Generator<void, CompileOutput> {
  const { catalog, environment } = input;
  const product = catalog.product;
  const context = contextOf(catalog, environment);
  const contextHash = fingerprint(JSON.stringify([catalog.context ?? null, product?.sku ?? null]));
  const base = baseOf(input, contextHash);
  const declarations = yield* declarationsOf(catalog);
  const changed =
    base === undefined ? new Set<string>() : yield* changedDeclarations(base.declarations, declarations);
  const compiler = new ItemCompiler(environment, base, changed);
  const largest = largestNumbers(catalog);
  yield;
  const features = yield* compiler.all(featurePlan(catalog, largest, context));
  const plans = yield* compiler.all({
    kind: 'plan',
    sources: catalog.plans,
    keyOf: versioned,
    compile: compilePlan,
  });
  const addons = yield* compiler.all({
    kind: 'addon',
    sources: catalog.addons,
    keyOf: versioned,
    placeOf: place,
    compile: compileAddon,
  });
  const groups = yield* compiler.all({
    kind: 'group',
    sources: catalog.groups,
    keyOf: bare,
    placeOf: place,
    compile: compileGroup,
  });
  const segments = yield* compiler.all(segmentPlan(catalog, context));
  const flags = yield* compiler.all(flagPlan(catalog, context));
  const endless = [...(yield* endSegmentChains(segments)), ...(yield* endFlagChains(flags))];
  yield* linkGates(flags, features, base);
  const keys = yield* sortInSlices([...features.keys(), ...flags.keys()]);
  const currentPlans = currentPlansOf(plans.values());
  const settings = [product?.key, product?.defaultPlan, product?.timeZone, contextHash];
  const snapshot: Snapshot = {
    productId: input.productId,
    productKey: product?.key ?? '',
    productName: product?.name ?? null,
    environment,
    revision: input.revision,
    hash: withUndecided(chain(compiler.hash, JSON.stringify(settings)), catalog),
    timeZone: product?.timeZone ?? null,
    sku: skuPatternOf(catalog),
    defaultPlan: currentPlans.get(product?.defaultPlan ?? '') ?? null,
    flags,
    features,
    featureList: [...features.values()],
    plans,
    currentPlans,
    addons,
    groups,
    segments,
    segmentsByFeature: segmentsByFeature(segments.values()),
    keys,
    items: compiler.items,
    declarations,
    contextHash,
    generation: base === undefined ? 0 : base.generation + 1,
  };
  return { snapshot, disabled: [...compiler.disabled, ...endless] };
}

/** Takes the conditions of segments that ask for segments without end. */
function* endSegmentChains(segments: Map<string, CompiledSegment>): Generator<void, DisabledItem[]> {
  const asks = new Map<string, ReadonlySet<string>>();
  for (const [key, { condition }] of segments) {
    if (condition !== null && condition.reads.segments.size > 0) asks.set(key, condition.reads.segments);
  }
  const disabled: DisabledItem[] = [];
  for (const [key, message] of yield* unusableChains(asks)) {
    const segment = segments.get(key);
    if (segment !== undefined)
      segments.set(key, { ...segment, condition: null, trusted: false, broken: message });
    disabled.push({ kind: 'segment', key, message });
  }
  return disabled;
}

/** Takes the reads of flags that ask for flags without end. One that is switched off asks for nobody. */
function* endFlagChains(flags: Map<string, CompiledFlag>): Generator<void, DisabledItem[]> {
  const asks = new Map<string, ReadonlySet<string>>();
  let seen = 0;
  for (const [key, { enabled, reads }] of flags) {
    if (enabled && reads.flags.size > 0) asks.set(key, reads.flags);
    seen += 1;
    if (seen % 1024 === 0) yield;
  }
  const disabled: DisabledItem[] = [];
  for (const [key, message] of yield* unusableChains(asks)) {
    const flag = flags.get(key);
    if (flag !== undefined) flags.set(key, { ...flag, rules: [], broken: message, reads: NO_READS });
    disabled.push({ kind: 'flag', key, message });
  }
  return disabled;
}

function versioned({ key, version }: { readonly key: string; readonly version?: number }): string {
  return versionedKey(key, version);
}

function bare({ key }: { readonly key: string }): string {
  return key;
}

function place(_source: object, index: number): string {
  return `${index}`;
}

function featurePlan(
  catalog: Catalog,
  largest: ReadonlyMap<string, number>,
  context: CompileContext,
): ItemPlan<Feature, CompiledFeature> {
  const unlimited = ({ key }: Feature): number => unlimitedNumber(largest.get(key));
  return {
    kind: 'feature',
    sources: catalog.features,
    keyOf: bare,
    placeOf: (feature, index) => `${index} ${unlimited(feature)}`,
    compile: (feature, index) =>
      compileFeature(feature, { index, unlimitedNumber: unlimited(feature) }, context),
    brokenOf: ({ broken }) => broken,
  };
}

function segmentPlan(catalog: Catalog, context: CompileContext): ItemPlan<Segment, CompiledSegment> {
  return {
    kind: 'segment',
    sources: catalog.segments,
    keyOf: bare,
    placeOf: place,
    compile: (segment, index) => compileSegment(segment, index, context),
    brokenOf: ({ broken }) => broken,
    readsOf: ({ condition }) => condition?.reads ?? null,
  };
}

function flagPlan(catalog: Catalog, context: CompileContext): ItemPlan<Flag, CompiledFlag> {
  return {
    kind: 'flag',
    sources: catalog.flags,
    keyOf: bare,
    compile: (flag) => compileFlag(flag, context),
    brokenOf: ({ broken, rules }) => broken ?? rules.find((rule) => rule.broken !== null)?.broken ?? null,
    readsOf: ({ reads }) => reads,
  };
}

/** One environment of one revision, compiled in one go. */
export function compileSnapshot(input: CompileInput): CompileOutput {
  const slices = compileSnapshotInSlices(input);
  for (;;) {
    const step = slices.next();
    if (step.done === true) return step.value;
  }
}

/**
 * No decision reads what prices mean or how long somebody is past due, but an environment stands at the revision that it read last: a
 * catalog that changes only those must move it. Where neither is said, the hash is what it was before there were any.
 */
function withUndecided(hash: string, { billing, product }: Catalog): string {
  const days = product?.pastDueGraceDays;
  if (days !== undefined) return chain(hash, JSON.stringify([billing, days]));
  return billing.length === 0 ? hash : chain(hash, JSON.stringify(billing));
}
