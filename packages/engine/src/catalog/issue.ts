import type { ItemKind } from '../model/catalog.js';

/** Everything that can be wrong with a catalog document. */
export const CATALOG_ISSUE_CODES = [
  'SYNTAX',
  'YAML_VERSION',
  'ANCHOR',
  'TAG',
  'DUPLICATE_MEMBER',
  'BAD_NUMBER',
  'DOCUMENT_TOO_LARGE',
  'DOCUMENT_TOO_DEEP',
  'UNKNOWN_MEMBER',
  'WRONG_TYPE',
  'MISSING_MEMBER',
  'BAD_VALUE',
  'BAD_KEY',
  'OUT_OF_RANGE',
  'TOO_LONG',
  'TOO_MANY',
  'ONE_OF',
  'BAD_DATE',
  'DUPLICATE_DEFINITION',
  'UNKNOWN_REFERENCE',
  'CYCLE',
  'DEPENDENCY_DEPTH',
  'UNKNOWN_VARIANT',
  'VARIANT_TYPE',
  'ENTITLEMENT_VALUE',
  'NOT_FOR_TYPE',
  'HARD_IS_CLOSED',
  'ROLLOUT_TOTAL',
  'RAMP_ORDER',
  'PERCENTAGE_DECIMALS',
  'UX_NOT_TRUSTED',
  'SEGMENT_FORGEABLE',
  'SPLIT_BY',
  'SKU_PATTERN',
  'BILLING_MAPPING',
  'BAD_SCHEMA',
  'SCHEMA_KEYWORD',
  'SCHEMA_MISMATCH',
  'EXPRESSION',
  'BARE_EXPRESSION',
  'EXPRESSION_LAYER',
  'EXPRESSION_WARNING',
] as const;
export type CatalogIssueCode = (typeof CATALOG_ISSUE_CODES)[number];

export type IssueSeverity = 'error' | 'warning' | 'info';

/** `line` and `column` count from 1, columns in UTF-16 units as editors do. */
export interface SourcePlace {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

export interface ItemReference {
  readonly kind: ItemKind;
  readonly key: string;
}

export interface CatalogIssue extends SourcePlace {
  readonly code: CatalogIssueCode;
  readonly severity: IssueSeverity;
  /** A whole sentence that names the thing in backticks and says what to do. */
  readonly message: string;
  /** A JSON pointer from the root of the (YAML) document, for example `/flags/3/rules/0/if`. */
  readonly path: string;
  readonly item?: ItemReference;
  /** What was probably meant: a text that may stand in place of the faulty one. */
  readonly suggestion?: string;
}
