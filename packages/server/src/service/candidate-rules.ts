import { diffCatalogs } from '@pennon/engine/catalog/diff';
import { frozenViolations, type RetiredKey } from '@pennon/engine/catalog/frozen';
import { lintCatalog } from '@pennon/engine/catalog/lint';
import type { Catalog, ItemKind } from '@pennon/engine/model/catalog';
import { itemId } from '../store/catalog-rows.js';
import { readStoredDocument } from './catalog-document.js';
import { catalogOf, type LiveItem } from './catalog-items.js';
import type { LiveItems } from './merge-document.js';
import type { EditOutcome, PlanningState } from './plan-edit.js';
import type { PlannedChange, PlanRequest } from './publish-plan.js';
import type { FaultItem } from './service-error.js';

const OFFERS: ReadonlySet<ItemKind> = new Set(['plan', 'addon']);

/** The change in words. Only what changed is compared, and all groups where their order matters. */
export function diffOf(head: LiveItems, next: LiveItems, changes: readonly PlannedChange[]): string[] {
  const changed = new Set(changes.map(itemId));
  const groups = changes.some((change) => change.kind === 'group');
  const part = (items: LiveItems): Catalog =>
    catalogOf(
      [...items.values()].filter((item) => changed.has(itemId(item)) || (groups && item.kind === 'group')),
    );
  const words = diffCatalogs(part(head), part(next)).map((change) => change.text);
  if (words.length > 0) return words;
  // What moved in its list without another content changes the order of answers, and no more.
  return changes.map((change) => `${change.kind} \`${change.key}\` moved to another place in its list`);
}

/** P-8, and keys that never return as something else; what is retired binds as what is live does. */
export async function frozenFaults(
  state: PlanningState,
  next: LiveItems,
  changes: readonly PlannedChange[],
): Promise<FaultItem[]> {
  const fresh = changes.filter((change) => change.before === null);
  const retired: LiveItem[] = [];
  for (const item of await state.readRetired(fresh)) {
    const read = readStoredDocument(item);
    if (read.ok) retired.push({ ...item, document: read.document });
  }
  const changed = new Set(changes.map(itemId));
  const part = (items: Iterable<LiveItem>): Catalog =>
    catalogOf([...items].filter((item) => OFFERS.has(item.kind) || changed.has(itemId(item))));
  const published = part([...state.head.values(), ...retired.filter((item) => OFFERS.has(item.kind))]);
  return frozenViolations(published, part(next.values()), retired.flatMap(retiredKey)).map((violation) => ({
    code: violation.code,
    message: violation.message,
    pointer: `/${violation.item.kind}/${violation.item.key}${violation.path}`,
    ...(violation.proposedVersion === undefined ? {} : { suggestion: String(violation.proposedVersion) }),
  }));
}

function retiredKey(item: LiveItem): RetiredKey[] {
  const { kind, key } = item;
  if (kind !== 'feature' && kind !== 'flag') return [];
  return [{ kind, key, type: String((item.document as { readonly type?: unknown }).type) }];
}

/** Findings about what was edited; those of error severity block (C-5). */
export function lintFaults(
  request: PlanRequest,
  candidate: Catalog,
  outcome: EditOutcome,
): { readonly errors: readonly FaultItem[]; readonly warnings: readonly FaultItem[] } {
  const changed = new Set(outcome.changes.map(itemId));
  const errors: FaultItem[] = [];
  const warnings: FaultItem[] = [];
  const positions = outcome.positions ?? new Map();
  for (const finding of lintCatalog(candidate, { now: request.now, positions })) {
    const own = finding.item !== undefined && changed.has(itemId(finding.item));
    if (!own && request.edit.type === 'item') continue;
    const fault = {
      code: finding.rule.toUpperCase().replaceAll('-', '_'),
      message: finding.message,
      pointer: finding.path,
      ...finding.place,
    };
    (finding.severity === 'error' ? errors : warnings).push(fault);
  }
  return { errors, warnings };
}
