import type { IssueCollector } from './issue.js';
import { decodeBytes, decodeString } from './literals.js';

export type Punctuation =
  | '('
  | ')'
  | '['
  | ']'
  | '{'
  | '}'
  | '.'
  | ','
  | ':'
  | '?'
  | '!'
  | '-'
  | '+'
  | '*'
  | '/'
  | '%'
  | '<'
  | '<='
  | '>'
  | '>='
  | '=='
  | '!='
  | '&&'
  | '||';

export type Token = { readonly start: number; readonly end: number } & (
  | { readonly kind: 'punctuation'; readonly text: Punctuation }
  /** Keywords too; the parser knows them by name. */
  | { readonly kind: 'identifier'; readonly text: string }
  | { readonly kind: 'quoted'; readonly text: string }
  | { readonly kind: 'int' | 'uint' | 'double'; readonly text: string }
  | { readonly kind: 'string'; readonly value: string }
  | { readonly kind: 'bytes'; readonly value: Uint8Array }
  /** A literal or character that cannot be read; its issue was reported. */
  | { readonly kind: 'broken' }
  | { readonly kind: 'end' }
);

const BLANK = /[ \t\n\f\r]+|\/\/[^\n\r]*/y;
const NUMBER = /0[xX][0-9a-fA-F]+[uU]?|\d*\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\d+[uU]?/y;
const WORD = /[A-Za-z_][A-Za-z0-9_]*/y;
const QUOTED_FIELD = /`([A-Za-z0-9_.\-/ ]+)`/y;
const STRING_START = /([bB]?[rR]?|[rR][bB])("""|'''|"|')/y;
const TYPOGRAPHIC = /[“”‘’][^“”‘’\n]*[“”‘’]/y;
const PUNCTUATION = /&&|\|\||==|!=|<=|>=|[()[\]{}.,:?!\-+*/%<>]/y;

/** The whole text as tokens, ending with `end`. Linear: every expression above is deterministic at its place. */
export function tokenize(source: string, issues: IssueCollector): Token[] {
  const tokens: Token[] = [];
  let offset = 0;
  while (offset < source.length) {
    const blank = matchAt(BLANK, source, offset);
    if (blank !== undefined) {
      offset += blank[0].length;
      continue;
    }
    const token = readToken(source, offset, issues);
    tokens.push(token);
    offset = token.end;
  }
  tokens.push({ kind: 'end', start: source.length, end: source.length });
  return tokens;
}

function matchAt(pattern: RegExp, source: string, offset: number): RegExpExecArray | undefined {
  pattern.lastIndex = offset;
  return pattern.exec(source) ?? undefined;
}

function readToken(source: string, start: number, issues: IssueCollector): Token {
  const opening = matchAt(STRING_START, source, start);
  if (opening !== undefined) return readString(source, start, opening, issues);
  const number = matchAt(NUMBER, source, start)?.[0];
  if (number !== undefined) return readNumber(source, start, number, issues);
  const word = matchAt(WORD, source, start)?.[0];
  if (word !== undefined) return { kind: 'identifier', text: word, start, end: start + word.length };
  const quoted = matchAt(QUOTED_FIELD, source, start);
  if (quoted !== undefined) {
    return { kind: 'quoted', text: quoted[1] ?? '', start, end: start + quoted[0].length };
  }
  const punctuation = matchAt(PUNCTUATION, source, start)?.[0];
  if (punctuation !== undefined) {
    return { kind: 'punctuation', text: punctuation as Punctuation, start, end: start + punctuation.length };
  }
  return readBroken(source, start, issues);
}

function readNumber(source: string, start: number, text: string, issues: IssueCollector): Token {
  const end = start + text.length;
  const tail = matchAt(WORD, source, end)?.[0];
  if (tail !== undefined) {
    issues.add('SYNTAX', `A number cannot be followed by \`${tail}\``, start, end + tail.length);
    return { kind: 'broken', start, end: end + tail.length };
  }
  if (/[uU]$/.test(text)) return { kind: 'uint', text: text.slice(0, -1), start, end };
  const isDouble = !/^0[xX]/.test(text) && /[.eE]/.test(text);
  return { kind: isDouble ? 'double' : 'int', text, start, end };
}

function readString(source: string, start: number, opening: RegExpExecArray, issues: IssueCollector): Token {
  const prefix = (opening[1] ?? '').toLowerCase();
  const quote = opening[2] ?? '"';
  const raw = prefix.includes('r');
  const bodyStart = start + opening[0].length;
  const bodyEnd = findQuote(source, bodyStart, quote, raw);
  if (bodyEnd === undefined) {
    const line = quote.length === 1 ? lineEnd(source, bodyStart) : source.length;
    issues.add('SYNTAX', `This string is not closed; its closing ${quote} is missing`, start, line);
    return { kind: 'broken', start, end: line };
  }
  const end = bodyEnd + quote.length;
  const decoded = prefix.includes('b')
    ? decodeBytes(source, bodyStart, bodyEnd, raw)
    : decodeString(source, bodyStart, bodyEnd, raw);
  if (!decoded.ok) {
    issues.add('SYNTAX', decoded.message, decoded.start, decoded.end);
    return { kind: 'broken', start, end };
  }
  return typeof decoded.value === 'string'
    ? { kind: 'string', value: decoded.value, start, end }
    : { kind: 'bytes', value: decoded.value, start, end };
}

function findQuote(source: string, from: number, quote: string, raw: boolean): number | undefined {
  for (let index = from; index < source.length; index += 1) {
    const character = source[index];
    if (quote.length === 1 && (character === '\n' || character === '\r')) return undefined;
    if (!raw && character === '\\') index += 1;
    else if (source.startsWith(quote, index)) return index;
  }
  return undefined;
}

function lineEnd(source: string, from: number): number {
  const end = source.slice(from).search(/[\n\r]/);
  return end === -1 ? source.length : from + end;
}

const HINTS: Readonly<Record<string, string>> = {
  '=': 'Equality is written `==`',
  '&': '«And» is written `&&`',
  '|': '«Or» is written `||`',
  '“': 'Strings stand in straight quotes: `"`',
  '”': 'Strings stand in straight quotes: `"`',
  '‘': 'Strings stand in straight quotes: `"`',
  '’': 'Strings stand in straight quotes: `"`',
  '`': 'Backquotes enclose an attribute name after a dot: `` user.`first-name` ``',
  ';': 'An expression is one sentence without `;`',
};

function readBroken(source: string, start: number, issues: IssueCollector): Token {
  const character = String.fromCodePoint(source.codePointAt(start) ?? 0);
  // A text between typographic quotes is one fault.
  const quoted = matchAt(TYPOGRAPHIC, source, start)?.[0];
  const end = start + (quoted ?? character).length;
  const hint = Object.hasOwn(HINTS, character) ? HINTS[character] : undefined;
  issues.add('SYNTAX', hint ?? `The character ${JSON.stringify(character)} means nothing here`, start, end);
  return { kind: 'broken', start, end };
}
