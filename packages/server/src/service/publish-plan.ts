import type { CatalogFile } from '@pennon/engine/catalog/parse-catalog';
import type { ItemKind } from '@pennon/engine/model/catalog';
import type { JsonValue } from '@pennon/engine/model/json';
import type { ItemWrite } from '../store/catalog-rows.js';
import type { Precondition } from './precondition.js';
import type { FaultItem } from './service-error.js';

/* What the publishing side and the worker thread say to each other: plain values that can be cloned. */

/** The kinds that have REST resources of their own; the others change with whole documents. */
export const RESOURCE_KINDS = ['feature', 'flag', 'plan', 'addon', 'group', 'segment'] as const;
export type ResourceKind = (typeof RESOURCE_KINDS)[number];

export interface DocumentEdit {
  readonly type: 'document';
  readonly files: readonly CatalogFile[];
  /** The revision that the author began with; `null`: whatever is there. */
  readonly base: number | null;
  readonly prune: boolean;
}

export interface ItemEdit {
  readonly type: 'item';
  readonly kind: ResourceKind;
  /** `null`: a new item whose body says its key. */
  readonly key: string | null;
  /** `patch` is a JSON merge patch (RFC 7396). */
  readonly method: 'create' | 'replace' | 'patch' | 'delete';
  /** JSON or YAML; empty for `delete`. */
  readonly file: CatalogFile;
  readonly precondition: Precondition;
}

export type CatalogEdit = DocumentEdit | ItemEdit;

export interface PlanRequest {
  readonly product: { readonly id: string; readonly key: string };
  readonly edit: CatalogEdit;
  /** Those that will move to the new revision. */
  readonly move: readonly { readonly id: string; readonly key: string }[];
  /** Keys of all environments: rules may name only these. */
  readonly environments: readonly string[];
  /** Milliseconds since the epoch: what has expired by then is reported. */
  readonly now: number;
  /** Reads the head anew instead of advancing the one that the thread holds. */
  readonly fresh?: boolean;
}

export interface NamedItem {
  readonly kind: ItemKind;
  readonly key: string;
}

/** An item that both sides changed: as the author sent it, and as it is now. `null`: removed. */
export interface ItemConflict extends NamedItem {
  readonly mine: JsonValue | null;
  readonly theirs: JsonValue | null;
  readonly theirHash: string | null;
}

export interface PlannedChange extends ItemWrite {
  readonly document: JsonValue | null;
  readonly previous: JsonValue | null;
}

/** What publishing would do on top of `headRevision`; nothing of it has happened yet. */
export interface PublishPlan {
  readonly headRevision: number;
  readonly changes: readonly PlannedChange[];
  /** The change in the words of a person. */
  readonly diff: readonly string[];
  /** Whatever forbids it, located; empty when it may be published. */
  readonly errors: readonly FaultItem[];
  /** Which law the errors break, for the status. */
  readonly refusal: Refusal | null;
  readonly warnings: readonly FaultItem[];
  readonly conflicts: readonly ItemConflict[];
  /** Items of the head that the document does not have; removed only with `prune`. */
  readonly lacking: readonly NamedItem[];
  readonly effectiveHashes: readonly { readonly environmentId: string; readonly hash: string }[];
}

export type Refusal =
  | 'invalid-document'
  | 'not-found'
  | 'exists'
  | 'precondition-required'
  | 'conflict'
  | 'in-use'
  | 'frozen'
  | 'assertion';
