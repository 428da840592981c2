import type { SourcePlace } from '@pennon/engine/catalog/issue';
import { type CatalogFile, type ParseOptions, parseCatalog } from '@pennon/engine/catalog/parse-catalog';
import type { Catalog } from '@pennon/engine/model/catalog';
import type { CompileOutput } from '@pennon/engine/snapshot/compile-snapshot';
import { itemId, type StoredItem } from '../store/catalog-rows.js';
import { toFaultItem } from './catalog-fault.js';
import { catalogOf } from './catalog-items.js';
import { type CandidateVerdict, checkCandidate } from './check-candidate.js';
import { type LiveItems, mergeDocument } from './merge-document.js';
import { planItem } from './plan-item.js';
import type {
  DocumentEdit,
  ItemConflict,
  NamedItem,
  PlannedChange,
  PlanRequest,
  PublishPlan,
  Refusal,
} from './publish-plan.js';
import type { FaultItem } from './service-error.js';

/** What an edit does to the head before anything is asked of the outcome. */
export interface EditOutcome {
  readonly changes: readonly PlannedChange[];
  readonly errors: readonly FaultItem[];
  readonly refusal: Refusal | null;
  readonly warnings: readonly FaultItem[];
  readonly conflicts: readonly ItemConflict[];
  readonly lacking: readonly NamedItem[];
  /** Where each item was written, for findings about it. */
  readonly positions?: ReadonlyMap<string, SourcePlace>;
}

export interface PlanningState {
  readonly headRevision: number;
  readonly head: LiveItems;
  /** The items at the revision that the edit carries, where that is not the head. */
  readonly base: ReadonlyMap<string, StoredItem> | null;
  /** One environment of a candidate; what stayed since the last compilation is taken over from it. */
  readonly compile: (catalog: Catalog, environment: string) => CompileOutput;
  readonly readRetired: (items: readonly NamedItem[]) => Promise<readonly StoredItem[]>;
}

/**
 * Everything about a publish that needs no transaction: reads the edit, lays it on the head, and asks of the outcome whatever a
 * publish must hold. Pure but for `readRetired`; runs in the worker thread.
 */
export async function planEdit(request: PlanRequest, state: PlanningState): Promise<PublishPlan> {
  const outcome = edit(request, state);
  const refused = outcome.refusal !== null || outcome.conflicts.length > 0;
  const verdict: CandidateVerdict =
    refused || outcome.changes.length === 0
      ? { errors: [], refusal: null, warnings: [], diff: [], effectiveHashes: [] }
      : await checkCandidate(request, state, outcome);
  return {
    headRevision: state.headRevision,
    changes: outcome.changes,
    conflicts: outcome.conflicts,
    lacking: outcome.lacking,
    errors: [...outcome.errors, ...verdict.errors],
    refusal: outcome.refusal ?? (outcome.conflicts.length > 0 ? 'conflict' : verdict.refusal),
    warnings: [...outcome.warnings, ...verdict.warnings],
    diff: verdict.diff,
    effectiveHashes: verdict.effectiveHashes,
  };
}

function edit(request: PlanRequest, state: PlanningState): EditOutcome {
  return request.edit.type === 'document'
    ? planDocument(request, request.edit, state)
    : planItem(request, request.edit, state.head);
}

function planDocument(request: PlanRequest, edit_: DocumentEdit, state: PlanningState): EditOutcome {
  const known = catalogOf(edit_.prune ? keptByPrune(edit_.files, state.head) : state.head.values());
  const options: ParseOptions = { known, environments: request.environments };
  const parsed = parseCatalog(edit_.files, options);
  const errors = parsed.issues.filter((issue) => issue.severity === 'error').map(toFaultItem);
  const warnings = parsed.issues.filter((issue) => issue.severity !== 'error').map(toFaultItem);
  const nothing = { changes: [], conflicts: [], lacking: [], warnings };
  if (parsed.catalog === null) return { ...nothing, errors, refusal: 'invalid-document' };
  const foreign = foreignProduct(parsed.catalog, request);
  if (foreign !== null) {
    const place = parsed.positions.get(itemId({ kind: 'product', key: parsed.catalog.product?.key ?? '' }));
    return { ...nothing, errors: [{ ...foreign, ...place }], refusal: 'invalid-document' };
  }
  const merge = mergeDocument(parsed.catalog, state.head, state.base, edit_.prune, request.product);
  return { ...merge, errors: [], refusal: null, warnings, positions: parsed.positions };
}

/** What a pruning document leaves standing, so that its references are checked against what will be there. */
function keptByPrune(files: readonly CatalogFile[], head: LiveItems) {
  const draft = parseCatalog(files, { partial: true }).catalog;
  if (draft === null) return head.values();
  return [...head.values()].filter((item) => item.kind === 'product');
}

function foreignProduct(catalog: Catalog, request: PlanRequest): FaultItem | null {
  const key = catalog.product?.key;
  if (key === undefined || key === request.product.key) return null;
  return {
    code: 'OTHER_PRODUCT',
    message: `The document is of the product \`${key}\` and was sent to \`${request.product.key}\`; send it to the product that it names, or correct \`product.key\`.`,
    pointer: '/product/key',
  };
}
