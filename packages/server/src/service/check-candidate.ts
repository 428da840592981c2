import { runAssertions } from '@pennon/engine/assertions/run-assertions';
import { parseItems } from '@pennon/engine/catalog/parse-catalog';
import type { Catalog, ItemKind } from '@pennon/engine/model/catalog';
import { LIMITS } from '@pennon/engine/model/limits';
import type { CompileOutput, DisabledItem } from '@pennon/engine/snapshot/compile-snapshot';
import type { Snapshot } from '@pennon/engine/snapshot/snapshot';
import { itemId } from '../store/catalog-rows.js';
import { diffOf, frozenFaults, lintFaults } from './candidate-rules.js';
import { toFaultItem } from './catalog-fault.js';
import { catalogOf, type LiveItem } from './catalog-items.js';
import type { EditOutcome, PlanningState } from './plan-edit.js';
import type { PlannedChange, PlanRequest, Refusal } from './publish-plan.js';
import type { FaultItem } from './service-error.js';

/** What the head would be after the changes must hold, and what it would mean in each environment. */
export interface CandidateVerdict {
  readonly errors: readonly FaultItem[];
  readonly refusal: Refusal | null;
  readonly warnings: readonly FaultItem[];
  readonly diff: readonly string[];
  readonly effectiveHashes: readonly { readonly environmentId: string; readonly hash: string }[];
}

export async function checkCandidate(
  request: PlanRequest,
  state: PlanningState,
  outcome: EditOutcome,
): Promise<CandidateVerdict> {
  const { changes } = outcome;
  const items = candidateItems(state, changes);
  const candidate = catalogOf(items.values());
  const diff = diffOf(state.head, items, changes);
  const broken = [...tooMany(items, changes), ...brokenReferences(request, state, items, candidate, changes)];
  if (broken.length > 0) return refused(broken.some(isInUse) ? 'in-use' : 'invalid-document', broken, diff);
  const frozen = await frozenFaults(state, items, changes);
  if (frozen.length > 0) return refused('frozen', frozen, diff);
  const lint = lintFaults(request, candidate, outcome);
  if (lint.errors.length > 0)
    return { ...refused('invalid-document', lint.errors, diff), warnings: lint.warnings };
  const compiled = new Map<string, CompileOutput>();
  const compile = (environment: string): CompileOutput => {
    const known = compiled.get(environment) ?? state.compile(candidate, environment);
    compiled.set(environment, known);
    return known;
  };
  const unusable = request.move.flatMap(({ key }) => compile(key).disabled.map(toUnusable));
  if (unusable.length > 0) return refused('invalid-document', unusable, diff);
  const failed = assertionFaults(request, candidate, (environment) => compile(environment).snapshot);
  if (failed.length > 0) return { ...refused('assertion', failed, diff), warnings: lint.warnings };
  const effectiveHashes = request.move.map(({ id, key }) => ({
    environmentId: id,
    hash: compile(key).snapshot.hash,
  }));
  return { errors: [], refusal: null, warnings: lint.warnings, diff, effectiveHashes };
}

/** What the parser accepted and the compiler cannot use must not reach anyone. */
function toUnusable(disabled: DisabledItem): FaultItem {
  return { code: 'NOT_USABLE', message: `The ${disabled.kind} \`${disabled.key}\`: ${disabled.message}` };
}

/** the catalog's own assertions, asked of what would be served. */
function assertionFaults(
  request: PlanRequest,
  candidate: Catalog,
  snapshotOf: (environment: string) => Snapshot,
): FaultItem[] {
  return runAssertions(candidate, { now: request.now, snapshotOf }).flatMap(({ name, failures }) =>
    failures.map((failure) => ({
      code: 'ASSERTION_FAILED',
      message: `The assertion \`${name}\` does not hold: ${failure.message}`,
      pointer: `/test/${name}/expect/${failure.key}`,
    })),
  );
}

function refused(refusal: Refusal, errors: readonly FaultItem[], diff: readonly string[]): CandidateVerdict {
  return { errors, refusal, warnings: [], diff, effectiveHashes: [] };
}

function candidateItems(
  state: PlanningState,
  changes: readonly PlannedChange[],
): ReadonlyMap<string, LiveItem> {
  const items = new Map(state.head);
  for (const change of changes) {
    if (change.after === null) items.delete(itemId(change));
    else {
      const { kind, key, after } = change;
      const document = change.document as object;
      items.set(itemId(change), { kind, key, ...after, fromRevision: state.headRevision + 1, document });
    }
  }
  return items;
}

const LIMIT_OF_KIND: Readonly<Partial<Record<ItemKind, (typeof LIMITS)[keyof typeof LIMITS]>>> = {
  feature: LIMITS.features,
  flag: LIMITS.flags,
  plan: LIMITS.plans,
  addon: LIMITS.addons,
  group: LIMITS.groups,
  segment: LIMITS.segments,
  test: LIMITS.assertions,
};

/** counted when something is published, so that no reader ever finds more than it can hold. */
function tooMany(items: ReadonlyMap<string, LiveItem>, changes: readonly PlannedChange[]): FaultItem[] {
  const counts = new Map<ItemKind, number>();
  for (const item of items.values()) counts.set(item.kind, (counts.get(item.kind) ?? 0) + 1);
  return [...new Set(changes.map((change) => change.kind))].flatMap((kind) => {
    const limit = LIMIT_OF_KIND[kind];
    const count = counts.get(kind) ?? 0;
    if (limit === undefined || count <= limit.value) return [];
    const message = `The catalog would have ${count} ${limit.unit}, and at most ${limit.value} are allowed: ${limit.reason}`;
    return [{ code: 'TOO_MANY', message }];
  });
}

/** Items that nobody edited may rest on what was: they are read again wherever they name something that changed. */
function brokenReferences(
  request: PlanRequest,
  state: PlanningState,
  items: ReadonlyMap<string, LiveItem>,
  candidate: Catalog,
  changes: readonly PlannedChange[],
): FaultItem[] {
  const written = new Set(changes.filter((change) => change.after !== null).map(itemId));
  const others = [...items.values()].filter((item) => !written.has(itemId(item)));
  const again = dependents(others, changes);
  // Merged with what others did since: then the edited items stand beside other neighbours than when they were read.
  if (state.base !== null) again.push(...[...items.values()].filter((item) => written.has(itemId(item))));
  if (again.length === 0) return [];
  const texts = again.map(({ kind, key, text }) => ({ kind, name: `${kind} ${key}`, text }));
  const parsed = parseItems(texts, { known: candidate, environments: request.environments });
  const removed = changes.filter((change) => change.after === null);
  return parsed.issues
    .filter((issue) => issue.severity === 'error')
    .map((issue) => {
      const fault = toFaultItem(issue);
      const used = removed.find((change) => issue.message.includes(`\`${nameIn(change)}\``));
      if (issue.code !== 'UNKNOWN_REFERENCE' || used === undefined || issue.item === undefined) return fault;
      const message = `The ${used.kind} \`${used.key}\` is still named by the ${issue.item.kind} \`${issue.item.key}\`; change that one first, or both at once in a document.`;
      return { ...fault, code: IN_USE, message };
    });
}

export const IN_USE = 'STILL_IN_USE';

function isInUse(fault: FaultItem): boolean {
  return fault.code === IN_USE;
}

/** How other items name it: plans and add-ons without their version. */
function nameIn(change: { readonly kind: ItemKind; readonly key: string }): string {
  return change.kind === 'plan' || change.kind === 'addon' ? change.key.replace(/@\d+$/, '') : change.key;
}

const COMPARISONS_WORTH_IT = 2_000_000;

function dependents(others: readonly LiveItem[], changes: readonly PlannedChange[]): LiveItem[] {
  const sweeping = changes.some((change) => change.kind === 'product' || change.kind === 'context');
  if (sweeping || others.length * changes.length > COMPARISONS_WORTH_IT) return [...others];
  const names = [...new Set(changes.map(nameIn))];
  return others.filter((item) => names.some((name) => item.text.includes(name)));
}
