import type { IssueCollector } from './issue.js';
import type { Punctuation, Token } from './lexer.js';

const WORD_HINTS: Readonly<Record<string, string>> = {
  and: 'write `&&` for «and»',
  or: 'write `||` for «or»',
  not: 'write `!` for «not»',
  is: 'write `==` for «is»',
};

/** The place in the text that a parser has come to, and what it says when something else stands there. */
export class TokenCursor {
  readonly source: string;
  readonly #tokens: readonly Token[];
  readonly #issues: IssueCollector;
  #position = 0;
  /** Offset of the last syntax issue: one place gives one issue. */
  #reportedAt = -1;

  constructor(source: string, tokens: readonly Token[], issues: IssueCollector) {
    this.source = source;
    this.#tokens = tokens;
    this.#issues = issues;
  }

  get token(): Token {
    return (
      this.#tokens[this.#position] ?? { kind: 'end', start: this.source.length, end: this.source.length }
    );
  }

  get atEnd(): boolean {
    return this.token.kind === 'end';
  }

  get previousEnd(): number {
    return this.#tokens[this.#position - 1]?.end ?? 0;
  }

  advance(): void {
    if (this.#position < this.#tokens.length - 1) this.#position += 1;
  }

  at(text: Punctuation): boolean {
    const token = this.token;
    return token.kind === 'punctuation' && token.text === text;
  }

  accept(text: Punctuation): boolean {
    const found = this.at(text);
    if (found) this.advance();
    return found;
  }

  syntax(message: string, token: Token): void {
    if (token.kind !== 'broken' && token.start !== this.#reportedAt) {
      this.#issues.add('SYNTAX', message, token.start, token.end);
    }
    this.#reportedAt = token.start;
  }

  unexpected(wanted: string): void {
    const token = this.token;
    const text = this.source.slice(token.start, token.end);
    const hint = Object.hasOwn(WORD_HINTS, text) ? `; ${WORD_HINTS[text]}` : '';
    const found = token.kind === 'end' ? 'The expression ends' : `\`${text}\` stands`;
    this.syntax(`${found} where ${wanted} was expected${hint}`, token);
  }

  /** To the next `,` or `closer` of this level. */
  skipTo(closer: ')' | ']' | '}'): void {
    let nested = 0;
    while (this.token.kind !== 'end') {
      if (nested === 0 && (this.at(closer) || this.at(','))) return;
      if (this.at('(') || this.at('[') || this.at('{')) nested += 1;
      else if ((this.at(')') || this.at(']') || this.at('}')) && nested > 0) nested -= 1;
      this.advance();
    }
  }

  close(closer: ')' | ']' | '}', open: Token): void {
    if (this.accept(closer)) return;
    if (this.token.kind === 'end') {
      const text = this.source.slice(open.start, open.end);
      this.syntax(`The expression ends before \`${text}\` is closed by \`${closer}\``, this.token);
      return;
    }
    this.unexpected(`\`${closer}\``);
    this.skipTo(closer);
    this.accept(closer);
  }

  /** Whatever follows is not looked at, and not reported. */
  skipAll(): void {
    this.#position = this.#tokens.length - 1;
    this.#reportedAt = this.token.start;
  }

  /** An issue was reported at this token already. */
  markReported(token: Token): void {
    this.#reportedAt = token.start;
  }
}
