import { suggestName } from '../cel/suggest.js';
import type { Catalog, Feature, Flag, ItemKind } from '../model/catalog.js';
import type { CatalogIssueCode } from './issue.js';
import { type IssueSink, quoted } from './issue-sink.js';
import type { SourceMap } from './schema-reader.js';
import type { SourceNode } from './source-node.js';

/** What the checks between items read and where they report. */
export class CheckScope {
  /** The documents, laid on what is known. */
  readonly catalog: Catalog;
  readonly features: ReadonlyMap<string, Feature>;
  readonly flags: ReadonlyMap<string, Flag>;
  readonly environments: readonly string[] | undefined;
  /** References that point nowhere are accepted: a part of a catalog is read without the rest. */
  readonly acceptUnknown: boolean;
  readonly issues: IssueSink;
  readonly #sources: SourceMap;
  readonly #keys: Readonly<Record<ReferenceKind, ReadonlySet<string>>>;
  /** Keys of items that have faults of their own: a reference to one is no second fault. */
  readonly #written: ReadonlyMap<ItemKind, ReadonlySet<string>>;

  constructor(options: {
    catalog: Catalog;
    environments: readonly string[] | undefined;
    acceptUnknown: boolean;
    issues: IssueSink;
    sources: SourceMap;
    written: ReadonlyMap<ItemKind, ReadonlySet<string>>;
  }) {
    const { catalog } = options;
    this.catalog = catalog;
    this.environments = options.environments;
    this.acceptUnknown = options.acceptUnknown;
    this.issues = options.issues;
    this.#sources = options.sources;
    this.#written = options.written;
    this.features = new Map(catalog.features.map((feature) => [feature.key, feature]));
    this.flags = new Map(catalog.flags.map((flag) => [flag.key, flag]));
    this.#keys = {
      feature: new Set(this.features.keys()),
      flag: new Set(this.flags.keys()),
      plan: new Set(catalog.plans.map((plan) => plan.key)),
      group: new Set(catalog.groups.map((group) => group.key)),
      segment: new Set(catalog.segments.map((segment) => segment.key)),
    };
  }

  /** The place of a member or element of a value that was read, else of the value. */
  nodeOf(value: object, segment?: string | number): SourceNode | undefined {
    return segment === undefined ? this.#sources.nodeOf(value) : this.#sources.memberNode(value, segment);
  }

  fault(
    value: object,
    segment: string | number | undefined,
    code: CatalogIssueCode,
    message: string,
    suggestion?: string,
  ): void {
    if (this.issues.full) return;
    const node = this.nodeOf(value, segment);
    if (node) this.issues.at(node, code, message, { suggestion });
  }

  warn(value: object, segment: string | number, code: CatalogIssueCode, message: string): void {
    const node = this.nodeOf(value, segment);
    if (node) this.issues.at(node, code, message, { severity: 'warning' });
  }

  /** A key that is not declared, and is no fault all the same. */
  accepts(kind: ReferenceKind, key: string): boolean {
    return this.acceptUnknown || this.#written.get(kind)?.has(key) === true;
  }

  /** An item of that key is written here, and may have faults of its own. */
  isWritten(kind: ItemKind, key: string): boolean {
    return this.#written.get(kind)?.has(key) === true;
  }

  /** True when the key is declared; else a fault with a suggestion (none in a part of a catalog). */
  refer(kind: ReferenceKind, key: string, value: object, segment: string | number): boolean {
    if (this.#keys[kind].has(key)) return true;
    if (this.accepts(kind, key) || this.issues.full) return false;
    const other = OTHER_KIND[kind];
    const elsewhere =
      other !== undefined && this.#keys[other.kind].has(key) ? ` It is a ${other.kind}: ${other.hint}` : '';
    const message = `There is no ${kind} ${quoted(key)}; declare it or correct the key.${elsewhere}`;
    this.fault(
      value,
      segment,
      'UNKNOWN_REFERENCE',
      message,
      this.issues.guesses ? suggestName(key, this.#keys[kind]) : undefined,
    );
    return false;
  }
}

export type ReferenceKind = 'feature' | 'flag' | 'plan' | 'group' | 'segment';

const OTHER_KIND: Partial<Record<ReferenceKind, { kind: ReferenceKind; hint: string }>> = {
  feature: { kind: 'flag', hint: 'flags stand in `prerequisites`.' },
  flag: { kind: 'feature', hint: 'features stand in `requires`.' },
  group: { kind: 'segment', hint: 'groups hold customers and are declared in `groups`.' },
  segment: { kind: 'group', hint: 'segments are declared in `segments`.' },
};
