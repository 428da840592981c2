/** Why a text is not an expression that may be published. */
export type CelIssueCode =
  | 'SYNTAX'
  | 'TOO_LONG'
  | 'TOO_LARGE'
  | 'TOO_DEEP'
  | 'TOO_COSTLY'
  | 'COMPREHENSION_TOO_DEEP'
  | 'INVALID_LITERAL'
  | 'INVALID_MACRO'
  | 'INVALID_PATTERN'
  | 'PATTERN_NOT_LITERAL'
  | 'ARGUMENT_NOT_LITERAL'
  | 'INVALID_ARGUMENT'
  | 'UNKNOWN_VARIABLE'
  | 'UNKNOWN_ATTRIBUTE'
  | 'UNKNOWN_FUNCTION'
  | 'WRONG_TYPE'
  | 'WRONG_ARGUMENTS'
  | 'FORBIDDEN'
  | 'UNSUPPORTED';

/** A stretch of the text: UTF-16 offsets `[offset, end)`; line and column count from 1, columns in UTF-16 code units. */
export interface CelPosition {
  readonly offset: number;
  readonly end: number;
  readonly line: number;
  readonly column: number;
}

export interface CelIssue extends CelPosition {
  readonly code: CelIssueCode;
  readonly message: string;
  /** The name that was probably meant. */
  readonly suggestion?: string;
}

export function positionAt(source: string, offset: number, end: number): CelPosition {
  let line = 1;
  let lineStart = 0;
  for (
    let index = source.indexOf('\n');
    index !== -1 && index < offset;
    index = source.indexOf('\n', index + 1)
  ) {
    line += 1;
    lineStart = index + 1;
  }
  return { offset, end, line, column: offset - lineStart + 1 };
}

/** Collects issues of one text: at most `limit`, in any order, none twice at one place. */
export class IssueCollector {
  readonly #source: string;
  readonly #limit: number;
  readonly #issues: CelIssue[] = [];
  readonly #seen = new Set<string>();

  constructor(source: string, limit: number) {
    this.#source = source;
    this.#limit = limit;
  }

  add(code: CelIssueCode, message: string, start: number, end: number, suggestion?: string): void {
    const identity = `${code} ${start}`;
    if (this.#issues.length >= this.#limit || this.#seen.has(identity)) return;
    this.#seen.add(identity);
    const hint = suggestion === undefined ? '' : `; did you mean \`${suggestion}\`?`;
    this.#issues.push({
      code,
      message: `${message}${hint}`,
      ...positionAt(this.#source, start, end),
      ...(suggestion === undefined ? {} : { suggestion }),
    });
  }

  get empty(): boolean {
    return this.#issues.length === 0;
  }

  /** In the order of the text. */
  list(): CelIssue[] {
    return [...this.#issues].sort((one, other) => one.offset - other.offset || one.end - other.end);
  }
}
