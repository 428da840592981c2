import {
  type ExpressionFrame,
  type ExpressionLayer,
  expressionEnvironment,
} from '../catalog/expression-environment.js';
import { readSkuPattern, type SkuPattern } from '../catalog/sku-pattern.js';
import { compileExpression } from '../cel/compile-expression.js';
import type { CelEnvironment } from '../cel/types.js';
import { type Catalog, type ItemKind, versionedKey } from '../model/catalog.js';
import type { CompileContext } from './compile-context.js';
import { compileFeature, largestNumbers, unlimitedNumber } from './compile-feature.js';
import { compileFlag } from './compile-flag.js';
import { declarationsOf, ItemCompiler } from './compile-items.js';
import { compileAddon, compileGroup, compilePlan, compileSegment } from './compile-offers.js';
import { BrokenItem } from './compile-rule.js';
import { type Condition, readsOfExpression } from './condition.js';
import { chain, fingerprint } from './fingerprint.js';
import type {
  CompiledAddon,
  CompiledFeature,
  CompiledFlag,
  CompiledGroup,
  CompiledPlan,
  CompiledSegment,
  Snapshot,
} from './snapshot.js';
import { sortInSlices } from './sorted-keys.js';

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

/** The part of the declarations that compiled expressions rest on; another text means that flags and segments are compiled anew. */
function declarationsHash(catalog: Catalog): string {
  const entries = [...declarationsOf(catalog)].map(([key, kind]) => `${key} ${kind}`);
  return fingerprint(
    `${JSON.stringify(catalog.context ?? {})}\n${catalog.product?.sku ?? ''}\n${entries.join('\n')}`,
  );
}

/**
 * Compiles one environment of one revision, yielding between slices so that ten thousand flags never hold the process for
 * longer than five milliseconds; the caller drives it. `compileSnapshot` is the same in one go.
 */
export function* compileSnapshotInSlices(input: CompileInput): Generator<void, CompileOutput> {
  const { catalog, environment, previous } = input;
  const context = contextOf(catalog, environment);
  const declared = declarationsHash(catalog);
  const compiler = new ItemCompiler(environment, previous);
  yield;

  const largest = largestNumbers(catalog);
  const features = new Map<string, CompiledFeature>();
  for (const [index, feature] of catalog.features.entries()) {
    const place = { index, unlimitedNumber: unlimitedNumber(largest.get(feature.key)) };
    const compile = (): { compiled: CompiledFeature; broken: string | null } => {
      const compiled = compileFeature(feature, place, context);
      return { compiled, broken: compiled.broken };
    };
    features.set(feature.key, compiler.item('feature', feature.key, feature, JSON.stringify(place), compile));
    if (compiler.sliceDone()) yield;
  }

  const plans = new Map<string, CompiledPlan>();
  for (const plan of catalog.plans) {
    const key = versionedKey(plan.key, plan.version);
    plans.set(
      key,
      compiler.item('plan', key, plan, '', () => ({ compiled: compilePlan(plan), broken: null })),
    );
    if (compiler.sliceDone()) yield;
  }

  const addons = new Map<string, CompiledAddon>();
  for (const [order, addon] of catalog.addons.entries()) {
    const key = versionedKey(addon.key, addon.version);
    const compile = (): { compiled: CompiledAddon; broken: null } => ({
      compiled: compileAddon(addon, order),
      broken: null,
    });
    addons.set(key, compiler.item('addon', key, addon, `${order}`, compile));
    if (compiler.sliceDone()) yield;
  }

  const groups = new Map<string, CompiledGroup>();
  for (const [order, group] of catalog.groups.entries()) {
    const compile = (): { compiled: CompiledGroup; broken: null } => ({
      compiled: compileGroup(group, order),
      broken: null,
    });
    groups.set(group.key, compiler.item('group', group.key, group, `${order}`, compile));
    if (compiler.sliceDone()) yield;
  }

  const segments = new Map<string, CompiledSegment>();
  for (const [order, segment] of catalog.segments.entries()) {
    const compile = (): { compiled: CompiledSegment; broken: string | null } => {
      const compiled = compileSegment(segment, order, context);
      return { compiled, broken: compiled.broken };
    };
    segments.set(
      segment.key,
      compiler.item('segment', segment.key, segment, `${order} ${declared}`, compile),
    );
    if (compiler.sliceDone()) yield;
  }

  const flags = new Map<string, CompiledFlag>();
  for (const flag of catalog.flags) {
    const compile = (): { compiled: CompiledFlag; broken: string | null } => {
      const compiled = compileFlag(flag, context);
      return {
        compiled,
        broken: compiled.broken ?? compiled.rules.find((rule) => rule.broken !== null)?.broken ?? null,
      };
    };
    flags.set(flag.key, compiler.item('flag', flag.key, flag, declared, compile));
    if (compiler.sliceDone()) yield;
  }

  const keys = yield* sortInSlices([...features.keys(), ...flags.keys()]);
  const currentPlans = currentPlansOf(plans.values());
  const product = catalog.product;
  const snapshot: Snapshot = {
    productId: input.productId,
    productKey: product?.key ?? '',
    environment,
    revision: input.revision,
    hash: chain(
      compiler.hash,
      JSON.stringify([product?.key, product?.sku, product?.defaultPlan, product?.timeZone, declared]),
    ),
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
  };
  return { snapshot, disabled: compiler.disabled };
}

/** One environment of one revision, compiled in one go. */
export function compileSnapshot(input: CompileInput): CompileOutput {
  const slices = compileSnapshotInSlices(input);
  for (;;) {
    const step = slices.next();
    if (step.done === true) return step.value;
  }
}
