import {
  Composer,
  type CST,
  type Document,
  isAlias,
  isMap,
  isPair,
  isScalar,
  isSeq,
  Lexer,
  type Node,
  type ParsedNode,
  Parser,
} from 'yaml';
import { LIMITS } from '../model/limits.js';
import { bareExpressionAt } from './bare-expression.js';
import type { IssueSink } from './issue-sink.js';
import { admitMember, checkNumber, tooDeepMessage } from './read-json.js';
import type {
  ArrayNode,
  ObjectNode,
  ScalarStyle,
  SourceFile,
  SourceMember,
  SourceNode,
} from './source-node.js';
import { placeAt } from './source-node.js';

/*
 * YAML 1.2 core without the parts that surprise: no anchors, aliases, tags, merge keys or 1.1 rules, so that a document means
 * what it shows and the same text is the same catalog to every reader.
 */

/**
 * Every document of the text, faults in `issues`; `null` for an empty one. The concrete tree is measured while it grows and before
 * anything recursive walks it, so that hostile nesting ends as a fault, and soon.
 */
export function readYaml(file: SourceFile, issues: IssueSink): (SourceNode | null)[] {
  const tokens: CST.Token[] = [];
  for (const token of concreteTree(file.text)) {
    const deep = typeof token === 'number' ? token : tooDeepOffset(token);
    if (deep !== null) {
      issues.atOffset(file, deep, 'DOCUMENT_TOO_DEEP', tooDeepMessage());
      return [];
    }
    if (typeof token !== 'number') tokens.push(token);
  }
  const composer = new Composer({
    version: '1.2',
    schema: 'core',
    merge: false,
    uniqueKeys: false,
    prettyErrors: false,
    logLevel: 'silent',
  });
  const documents = [...composer.compose(tokens, true, file.text.length)];
  return documents.map((document) => readDocument(file, document, issues));
}

/** The parser's tokens; an offset where what is open at once is nested too deep, and nothing after it. */
function* concreteTree(text: string): Generator<CST.Token | number> {
  const parser = new Parser();
  for (const lexeme of new Lexer().lex(text)) {
    yield* parser.next(lexeme);
    // Beside collections the stack holds the document and one scalar, so that it is rarely looked into.
    if (parser.stack.length <= LIMITS.documentDepth.value) continue;
    const tooDeep = parser.stack.filter((token) => 'items' in token)[LIMITS.documentDepth.value];
    if (tooDeep !== undefined) {
      yield tooDeep.offset;
      return;
    }
  }
  yield* parser.end();
}

function tooDeepOffset(token: CST.Token): number | null {
  const stack: { token: CST.Token; depth: number }[] = [{ token, depth: 0 }];
  for (let next = stack.pop(); next; next = stack.pop()) {
    const { depth } = next;
    if ('items' in next.token) {
      if (depth >= LIMITS.documentDepth.value) return next.token.offset;
      for (const item of next.token.items) {
        if (item.key) stack.push({ token: item.key, depth: depth + 1 });
        if (item.value) stack.push({ token: item.value, depth: depth + 1 });
      }
    } else if (next.token.type === 'document' && next.token.value) {
      stack.push({ token: next.token.value, depth });
    }
  }
  return null;
}

function readDocument(file: SourceFile, document: Document.Parsed, issues: IssueSink): SourceNode | null {
  if (document.directives.yaml.explicit && document.directives.yaml.version !== '1.2') {
    const offset = Math.max(file.text.lastIndexOf('%YAML', document.range[0]), 0);
    issues.atOffset(
      file,
      offset,
      'YAML_VERSION',
      `\`%YAML ${document.directives.yaml.version}\` reads words such as \`on\` and \`off\` as booleans; remove the line, documents are YAML 1.2.`,
    );
  }
  reportSyntax(file, document, issues);
  if (document.contents === null || document.errors.length > 0) return null;
  return new YamlReader(file, issues).node(document.contents, null, '');
}

/** A bare expression makes several faults in its line, of which the first says everything. */
function reportSyntax(file: SourceFile, document: Document.Parsed, issues: IssueSink): void {
  if (document.errors.length === 0) return;
  const faults = [...document.errors, ...document.warnings].sort((left, right) => left.pos[0] - right.pos[0]);
  const seen = new Set<number>();
  for (const { code, message, pos } of faults) {
    if (issues.full) return;
    const bare = bareExpressionAt(file, pos[0]);
    const { line } = placeAt(file, pos[0]);
    if (seen.has(bare === null ? -pos[0] - 1 : line) || seen.has(line)) continue;
    seen.add(bare === null ? -pos[0] - 1 : line);
    if (bare !== null) {
      const words = `The expression of \`${bare}\` is not quoted, and YAML reads parts of it as its own; put it in single quotes (and write a ' in it twice).`;
      issues.atOffset(file, pos[0], 'BARE_EXPRESSION', words);
    } else if (code !== 'TAG_RESOLVE_FAILED') {
      issues.atOffset(file, pos[0], 'SYNTAX', `YAML: ${message.replace(/\.?$/, '.')}`);
    }
  }
}

const STYLES: Record<string, ScalarStyle> = {
  PLAIN: 'plain',
  QUOTE_SINGLE: 'single',
  QUOTE_DOUBLE: 'double',
  BLOCK_LITERAL: 'block',
  BLOCK_FOLDED: 'block',
};

type Writable<Type> = { -readonly [Member in keyof Type]: Type[Member] };

class YamlReader {
  readonly #file: SourceFile;
  readonly #issues: IssueSink;

  constructor(file: SourceFile, issues: IssueSink) {
    this.#file = file;
    this.#issues = issues;
  }

  node(node: ParsedNode | Node, parent: SourceNode | null, segment: string | number): SourceNode {
    const [start, end] = node.range ?? [0, 0];
    const base = { file: this.#file, start, end, parent, segment };
    this.#refuseDecorations(node, start);
    if (isMap(node)) {
      const members: SourceMember[] = [];
      const result: Writable<ObjectNode> = { kind: 'object', ...base, members };
      this.#members(node.items, result, members);
      return result;
    }
    if (isSeq(node)) {
      const items: SourceNode[] = [];
      const result: Writable<ArrayNode> = { kind: 'array', ...base, items };
      for (const item of node.items) {
        const element = isPair(item) ? null : (item as Node | null);
        if (element) items.push(this.node(element, result, items.length));
        else
          items.push({
            kind: 'scalar',
            ...base,
            parent: result,
            segment: items.length,
            value: null,
            style: 'plain',
          });
      }
      return result;
    }
    if (isScalar(node)) {
      const value = node.value;
      const known =
        typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? value : null;
      const result = {
        kind: 'scalar',
        ...base,
        value: known,
        style: STYLES[node.type ?? 'PLAIN'] ?? 'plain',
      } as const;
      if (typeof value !== 'number') return result;
      return checkNumber(result, node.source ?? String(value), this.#issues)
        ? result
        : { ...result, faulty: true };
    }
    return { kind: 'scalar', ...base, value: null, style: 'plain', faulty: true };
  }

  #members(pairs: readonly unknown[], parent: ObjectNode, members: SourceMember[]): void {
    const seen = new Map<string, number>();
    for (const pair of pairs) {
      if (!isPair(pair)) continue;
      const key = pair.key as ParsedNode | null;
      const keyStart = key?.range[0] ?? parent.start;
      if (!isScalar(key) || (key as ParsedNode).range === undefined) {
        this.#issues.atOffset(
          this.#file,
          keyStart,
          'BAD_KEY',
          'The name of a member must be a single word or text.',
        );
        continue;
      }
      this.#refuseDecorations(key, keyStart);
      const name = key.source ?? String(key.value);
      const value = pair.value as ParsedNode | null;
      const child = value
        ? this.node(value, parent, name)
        : ({
            kind: 'scalar',
            file: this.#file,
            start: keyStart,
            end: keyStart,
            parent,
            segment: name,
            value: null,
            style: 'plain',
          } as const);
      if (admitMember(this.#file, seen, name, keyStart, this.#issues)) {
        members.push({ key: name, keyStart, value: child });
      }
    }
  }

  #refuseDecorations(node: ParsedNode | Node, start: number): void {
    if (isAlias(node)) {
      this.#issues.atOffset(
        this.#file,
        start,
        'ANCHOR',
        `The alias \`*${node.source}\` is not accepted; write the value out.`,
      );
      return;
    }
    if ('anchor' in node && node.anchor !== undefined) {
      const message = `The anchor \`&${node.anchor}\` is not accepted; write values out where they belong.`;
      this.#issues.atOffset(this.#file, this.#before(start, '&'), 'ANCHOR', message);
    }
    if (node.tag !== undefined) {
      const offset = this.#before(start, '!');
      const bare = bareExpressionAt(this.#file, offset);
      if (bare !== null) {
        const message = `The expression of \`${bare}\` begins with \`!\`, which YAML takes for a tag; put it in single quotes.`;
        this.#issues.atOffset(this.#file, offset, 'BARE_EXPRESSION', message);
      } else {
        const message = `The tag \`${node.tag}\` is not accepted; a value has the type that it shows.`;
        this.#issues.atOffset(this.#file, offset, 'TAG', message);
      }
    }
  }

  /** Where an anchor or a tag in front of a node begins. */
  #before(start: number, sign: string): number {
    let found = this.#file.text.lastIndexOf(sign, start);
    if (this.#file.text[found - 1] === sign) found -= 1;
    return found === -1 || start - found > 200 ? start : found;
  }
}
