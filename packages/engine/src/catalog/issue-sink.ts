import { LIMITS } from '../model/limits.js';
import type { CatalogIssue, CatalogIssueCode, IssueSeverity, ItemReference } from './issue.js';
import { placeAt, pointerOf, type SourceFile, type SourceNode } from './source-node.js';

interface IssueExtras {
  readonly severity?: IssueSeverity;
  readonly suggestion?: string | undefined;
  /** Where to point instead of the node's start. */
  readonly offset?: number;
  readonly path?: string;
  /** The message already names the suggestion. */
  readonly hinted?: boolean;
}

/** More faults than a person reads are counted, not listed: a hostile document may hold millions. */
const MAXIMUM_ISSUES = 1000;

export function didYouMean(suggestion: string | undefined): string {
  return suggestion === undefined ? '' : ` Did you mean \`${suggestion}\`?`;
}

/** Collects every fault with its place, in whatever order the checks run; `sorted` gives them in reading order. */
export class IssueSink {
  readonly #issues: CatalogIssue[] = [];
  /** Warnings have a budget of their own, so that they never hide why a document was refused. */
  readonly #left = { error: MAXIMUM_ISSUES, warning: MAXIMUM_ISSUES, info: MAXIMUM_ISSUES };
  #hasErrors = false;
  #item: ItemReference | undefined;

  get hasErrors(): boolean {
    return this.#hasErrors;
  }

  /** Whose faults are being reported. */
  get item(): ItemReference | undefined {
    return this.#item;
  }

  /** Nothing more is listed; who reads a hostile text may stop looking. */
  get full(): boolean {
    return this.#left.error <= 0;
  }

  /** Guessing what was meant compares with every key; after this many faults nobody reads the guesses. */
  get guesses(): boolean {
    return this.#left.error > MAXIMUM_ISSUES - 100;
  }

  /** Everything reported inside `work` belongs to that item. */
  within(item: ItemReference | undefined, work: () => void): void {
    const outer = this.#item;
    this.#item = item;
    try {
      work();
    } finally {
      this.#item = outer;
    }
  }

  at(node: SourceNode, code: CatalogIssueCode, message: string, extras: IssueExtras = {}): void {
    this.atOffset(node.file, extras.offset ?? node.start, code, message, {
      ...extras,
      path: extras.path ?? pointerOf(node),
    });
  }

  atOffset(
    file: SourceFile,
    offset: number,
    code: CatalogIssueCode,
    message: string,
    extras: IssueExtras = {},
  ): void {
    const severity = extras.severity ?? 'error';
    if (severity === 'error') this.#hasErrors = true;
    this.#left[severity] -= 1;
    if (this.#left[severity] < 0) return;
    const place = placeAt(file, offset);
    const text = extras.hinted ? message : `${message}${didYouMean(extras.suggestion)}`;
    this.#issues.push({
      code,
      severity,
      message: text.length > LIMITS.textLength.value ? `${text.slice(0, LIMITS.textLength.value)}…` : text,
      ...place,
      path: extras.path ?? '',
      ...(this.#item === undefined ? {} : { item: this.#item }),
      ...(extras.suggestion === undefined ? {} : { suggestion: extras.suggestion }),
    });
  }

  /** In reading order: by file as given, then line and column. */
  sorted(files: readonly { readonly name: string }[]): CatalogIssue[] {
    const order = new Map(files.map((file, index) => [file.name, index]));
    return [...this.#issues].sort(
      (left, right) =>
        (order.get(left.file) ?? 0) - (order.get(right.file) ?? 0) ||
        left.line - right.line ||
        left.column - right.column,
    );
  }
}

/** A text quoted for a message: short, on one line. */
export function quoted(value: unknown): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? String(value));
  const line = text.replaceAll(/\s+/g, ' ');
  return `\`${line.length > 80 ? `${line.slice(0, 79)}…` : line}\``;
}
