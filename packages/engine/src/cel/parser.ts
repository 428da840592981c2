import type {
  BinaryOperator,
  CallNode,
  ConditionalNode,
  ErrorNode,
  IdentifierNode,
  LiteralNode,
  MacroName,
  Node,
  SelectNode,
  UnaryOperator,
} from './ast.js';
import { MACROS } from './ast.js';
import type { CelIssue, CelIssueCode } from './issue.js';
import { IssueCollector } from './issue.js';
import { type Punctuation, type Token, tokenize } from './lexer.js';
import type { CelLimits } from './limits.js';
import { DEFAULT_CEL_LIMITS } from './limits.js';
import { fitsInt, fitsUint } from './literals.js';
import { CelBytes, CelUint } from './values.js';

/** A tree for every text, with error nodes where issues stand: editors work on it, compilers stop at the issues. */
export interface ParsedExpression {
  readonly root: Node;
  readonly issues: CelIssue[];
}

export function parseExpression(source: string, limits: CelLimits = DEFAULT_CEL_LIMITS): ParsedExpression {
  const issues = new IssueCollector(source, limits.issues);
  const root = parseInto(source, limits, issues);
  return { root, issues: issues.list() };
}

export function parseInto(source: string, limits: CelLimits, issues: IssueCollector): Node {
  if (source.length > limits.sourceLength) {
    const message = `The expression has ${source.length} characters, more than ${limits.sourceLength}; move lists into a segment or split the rule`;
    issues.add('TOO_LONG', message, limits.sourceLength, source.length);
    return { kind: 'error', start: 0, end: source.length };
  }
  return new Parser(source, tokenize(source, issues), limits, issues).parse();
}

const RESERVED: ReadonlySet<string> = new Set(
  'as break const continue else for function if import let loop namespace package return var void while'.split(
    ' ',
  ),
);

const PRECEDENCE: Readonly<Record<string, number>> = {
  '==': 1,
  '!=': 1,
  '<': 1,
  '<=': 1,
  '>': 1,
  '>=': 1,
  in: 1,
  '+': 2,
  '-': 2,
  '*': 3,
  '/': 3,
  '%': 3,
};
const UNARY_PRECEDENCE = 4;

const WORD_HINTS: Readonly<Record<string, string>> = {
  and: 'write `&&` for «and»',
  or: 'write `||` for «or»',
  not: 'write `!` for «not»',
  is: 'write `==` for «is»',
};

class Parser {
  readonly #source: string;
  readonly #tokens: readonly Token[];
  readonly #limits: CelLimits;
  readonly #issues: IssueCollector;
  #position = 0;
  #nodes = 0;
  #depth = 0;
  /** Offset of the last syntax issue: one place gives one issue. */
  #reportedAt = -1;

  constructor(source: string, tokens: readonly Token[], limits: CelLimits, issues: IssueCollector) {
    this.#source = source;
    this.#tokens = tokens;
    this.#limits = limits;
    this.#issues = issues;
  }

  parse(): Node {
    const root = this.#expression();
    while (!this.#atEnd) {
      this.#unexpected('an operator or the end');
      this.#advance();
      if (!this.#atEnd) this.#expression();
    }
    return root;
  }

  get #token(): Token {
    return (
      this.#tokens[this.#position] ?? { kind: 'end', start: this.#source.length, end: this.#source.length }
    );
  }

  get #atEnd(): boolean {
    return this.#token.kind === 'end';
  }

  get #previousEnd(): number {
    return this.#tokens[this.#position - 1]?.end ?? 0;
  }

  #advance(): void {
    if (this.#position < this.#tokens.length - 1) this.#position += 1;
  }

  #at(text: Punctuation): boolean {
    const token = this.#token;
    return token.kind === 'punctuation' && token.text === text;
  }

  #accept(text: Punctuation): boolean {
    const found = this.#at(text);
    if (found) this.#advance();
    return found;
  }

  #syntax(message: string, token: Token): void {
    if (token.kind !== 'broken' && token.start !== this.#reportedAt) {
      this.#issues.add('SYNTAX', message, token.start, token.end);
    }
    this.#reportedAt = token.start;
  }

  #unexpected(wanted: string): void {
    const token = this.#token;
    const text = this.#source.slice(token.start, token.end);
    const hint = Object.hasOwn(WORD_HINTS, text) ? `; ${WORD_HINTS[text]}` : '';
    const found = token.kind === 'end' ? 'The expression ends' : `\`${text}\` stands`;
    this.#syntax(`${found} where ${wanted} was expected${hint}`, token);
  }

  /** A bomb ends the parse: everything after it is skipped, so that nothing is built and nothing more is reported. */
  #halt(code: CelIssueCode, message: string): ErrorNode {
    const token = this.#token;
    if (token.kind !== 'end') this.#issues.add(code, message, token.start, token.end);
    this.#position = this.#tokens.length - 1;
    this.#reportedAt = this.#token.start;
    return { kind: 'error', start: token.start, end: token.end };
  }

  #node<Made extends Node>(node: Made): Made | ErrorNode {
    this.#nodes += 1;
    if (this.#nodes <= this.#limits.nodes) return node;
    return this.#halt(
      'TOO_LARGE',
      `The expression has more than ${this.#limits.nodes} parts; split it or use a segment`,
    );
  }

  #error(start: number): ErrorNode {
    return { kind: 'error', start, end: Math.max(start, this.#previousEnd) };
  }

  /** INVARIANT: recursion passes here, so that the stack is bounded by `limits.depth`. */
  #expression(): Node {
    if (this.#depth > this.#limits.depth) {
      return this.#halt('TOO_DEEP', `Constructs are nested deeper than ${this.#limits.depth} levels here`);
    }
    this.#depth += 1;
    const node = this.#conditional();
    this.#depth -= 1;
    return node;
  }

  /** `a ? b : c ? d : e` is a loop over its branches, so that long chains are not deep. */
  #conditional(): Node {
    const branches: { condition: Node; yes: Node }[] = [];
    let last = this.#logic('||');
    while (this.#accept('?')) {
      const condition = last;
      const yes = this.#expression();
      if (!this.#accept(':')) {
        this.#unexpected('`:` and the value for «otherwise»');
        return this.#error(condition.start);
      }
      branches.push({ condition, yes });
      last = this.#logic('||');
    }
    for (const { condition, yes } of branches.reverse()) {
      const node: ConditionalNode = {
        kind: 'conditional',
        condition,
        yes,
        no: last,
        start: condition.start,
        end: last.end,
      };
      last = this.#node(node);
    }
    return last;
  }

  #logic(operator: '&&' | '||'): Node {
    const next = (): Node => (operator === '||' ? this.#logic('&&') : this.#binary(1));
    const first = next();
    if (!this.#at(operator)) return first;
    const operands = [first];
    while (this.#accept(operator)) operands.push(next());
    return this.#node({ kind: 'logic', operator, operands, start: first.start, end: this.#previousEnd });
  }

  #binary(lowest: number): Node {
    let left = this.#unary();
    for (;;) {
      const token = this.#token;
      const operator = token.kind === 'punctuation' || token.kind === 'identifier' ? token.text : '';
      const precedence = Object.hasOwn(PRECEDENCE, operator) ? (PRECEDENCE[operator] ?? 0) : 0;
      if (precedence < lowest || precedence === 0) return left;
      this.#advance();
      const right = precedence + 1 >= UNARY_PRECEDENCE ? this.#unary() : this.#binary(precedence + 1);
      left = this.#node({
        kind: 'binary',
        operator: operator as BinaryOperator,
        operatorStart: token.start,
        left,
        right,
        start: left.start,
        end: Math.max(right.end, token.end),
      });
    }
  }

  /** Pairs of the same sign cancel, as in the reference implementations. */
  #unary(): Node {
    const signs: { operator: UnaryOperator; start: number }[] = [];
    while (this.#at('!') || this.#at('-')) {
      const operator: UnaryOperator = this.#at('!') ? '!' : '-';
      const start = this.#token.start;
      this.#advance();
      if (signs.at(-1)?.operator === operator) signs.pop();
      else signs.push({ operator, start });
    }
    const token = this.#token;
    const last = signs.at(-1);
    const isNumber = token.kind === 'int' || token.kind === 'double';
    const negative = last?.operator === '-' && isNumber ? signs.pop() : undefined;
    let node = this.#member(negative?.start);
    for (const sign of signs.reverse()) {
      node = this.#node({
        kind: 'unary',
        operator: sign.operator,
        operand: node,
        start: sign.start,
        end: node.end,
      });
    }
    return node;
  }

  #member(negativeFrom: number | undefined): Node {
    let node = this.#primary(negativeFrom);
    for (;;) {
      if (this.#at('.')) node = this.#selection(node);
      else if (this.#at('[')) node = this.#index(node);
      else if (this.#at('{') && isQualifiedName(node)) node = this.#message(node);
      else return node;
    }
  }

  #selection(operand: Node): Node {
    this.#advance();
    if (this.#at('?')) {
      const refused = this.#optional(operand);
      if (this.#token.kind === 'identifier') this.#advance();
      return refused;
    }
    const token = this.#token;
    if (token.kind !== 'identifier' && token.kind !== 'quoted') {
      this.#unexpected('the name of an attribute');
      return this.#error(operand.start);
    }
    this.#advance();
    if (token.kind === 'identifier' && this.#at('(')) return this.#call(token, operand);
    return this.#node({
      kind: 'select',
      operand,
      field: token.text,
      fieldStart: token.start,
      start: operand.start,
      end: token.end,
    });
  }

  #index(operand: Node): Node {
    const open = this.#token;
    this.#advance();
    if (this.#at('?')) this.#optional(operand);
    const index = this.#expression();
    this.#close(']', open);
    return this.#node({ kind: 'index', operand, index, start: operand.start, end: this.#previousEnd });
  }

  #optional(operand: Node): Node {
    const token = this.#token;
    this.#advance();
    this.#issues.add(
      'UNSUPPORTED',
      'Optional values are not supported; ask `has(…)` first',
      token.start,
      token.end,
    );
    return this.#error(operand.start);
  }

  #primary(negativeFrom: number | undefined): Node {
    const token = this.#token;
    switch (token.kind) {
      case 'int':
      case 'uint':
      case 'double':
        this.#advance();
        return this.#number(token.kind, token.text, token.start, token.end, negativeFrom);
      case 'string':
        this.#advance();
        return this.#node({ kind: 'literal', value: token.value, start: token.start, end: token.end });
      case 'bytes':
        this.#advance();
        return this.#node({
          kind: 'literal',
          value: new CelBytes(token.value),
          start: token.start,
          end: token.end,
        });
      case 'identifier':
        return this.#word(token.text, token.start, false);
      case 'punctuation':
        return this.#group(token.text, token);
      case 'broken':
        this.#reportedAt = token.start;
        this.#advance();
        return { kind: 'error', start: token.start, end: token.end };
      case 'quoted':
        this.#syntax('A name in backquotes stands only after a dot', token);
        this.#advance();
        return { kind: 'error', start: token.start, end: token.end };
      case 'end':
        this.#unexpected('a value');
        return { kind: 'error', start: token.start, end: token.end };
    }
  }

  #group(text: Punctuation, token: Token): Node {
    switch (text) {
      case '(': {
        this.#advance();
        const inner = this.#expression();
        this.#close(')', token);
        return inner;
      }
      case '[': {
        this.#advance();
        const elements = this.#list(']', token);
        return this.#node({ kind: 'list', elements, start: token.start, end: this.#previousEnd });
      }
      case '{':
        return this.#map(token);
      case '.': {
        this.#advance();
        const name = this.#token;
        if (name.kind === 'identifier') return this.#word(name.text, token.start, true);
        this.#unexpected('a name');
        return this.#error(token.start);
      }
      default: {
        this.#unexpected('a value');
        // Closers and infix operators are left for those who wait for them.
        if (!/^(?:[)\]},:?]|==|!=|[<>]=?|&&|\|\||[+*/%])$/.test(text)) this.#advance();
        return { kind: 'error', start: token.start, end: token.start };
      }
    }
  }

  #word(text: string, start: number, absolute: boolean): Node {
    const token = this.#token;
    if (text === 'in') {
      this.#unexpected('a value');
      return { kind: 'error', start, end: start };
    }
    this.#advance();
    if (!absolute && (text === 'true' || text === 'false' || text === 'null')) {
      const value = text === 'null' ? null : text === 'true';
      return this.#node({ kind: 'literal', value, start, end: token.end });
    }
    if (RESERVED.has(text)) {
      this.#syntax(`\`${text}\` is reserved by CEL and cannot name a variable`, token);
      return { kind: 'error', start, end: token.end };
    }
    if (this.#at('(')) return this.#call({ text, start: token.start, end: token.end }, undefined);
    const identifier: IdentifierNode = { kind: 'identifier', name: text, absolute, start, end: token.end };
    return this.#node(identifier);
  }

  #number(
    kind: 'int' | 'uint' | 'double',
    text: string,
    start: number,
    end: number,
    negativeFrom?: number,
  ): Node {
    const sign = negativeFrom === undefined ? 1 : -1;
    const from = negativeFrom ?? start;
    if (kind === 'double') return this.#literal(sign * Number(text), from, end);
    const value = BigInt(sign) * BigInt(text);
    if (kind === 'uint' && fitsUint(value)) return this.#literal(new CelUint(value), from, end);
    if (kind === 'int' && fitsInt(value)) return this.#literal(value, from, end);
    const range =
      kind === 'int' ? '−9223372036854775808 to 9223372036854775807' : '0 to 18446744073709551615';
    this.#issues.add('INVALID_LITERAL', `The ${kind} is out of range: ${range}`, from, end);
    return { kind: 'error', start: from, end };
  }

  #literal(value: LiteralNode['value'], start: number, end: number): Node {
    return this.#node({ kind: 'literal', value, start, end });
  }

  #list(closer: ')' | ']', open: Token): Node[] {
    const elements: Node[] = [];
    while (!this.#at(closer) && this.#token.kind !== 'end') {
      if (closer === ']' && this.#at('?')) elements.push(this.#optional(this.#error(this.#token.start)));
      elements.push(this.#expression());
      if (this.#accept(',')) continue;
      if (this.#at(closer)) break;
      this.#unexpected(`\`,\` or \`${closer}\``);
      this.#skipTo(closer);
      if (!this.#accept(',')) break;
    }
    this.#close(closer, open);
    return elements;
  }

  #map(open: Token): Node {
    this.#advance();
    const entries: { key: Node; value: Node }[] = [];
    while (!this.#at('}') && this.#token.kind !== 'end') {
      if (this.#at('?')) this.#optional(this.#error(this.#token.start));
      const key = this.#expression();
      if (this.#accept(':')) entries.push({ key, value: this.#expression() });
      else this.#unexpected('`:` and a value');
      if (this.#accept(',')) continue;
      if (this.#at('}')) break;
      this.#unexpected('`,` or `}`');
      this.#skipTo('}');
      if (!this.#accept(',')) break;
    }
    this.#close('}', open);
    return this.#node({ kind: 'map', entries, start: open.start, end: this.#previousEnd });
  }

  /** `Name{field: value}` is read to its end, so that its parts are checked, and refused. */
  #message(name: Node): Node {
    const message = 'Protobuf messages are not supported; write a map: `{"name": value}`';
    this.#issues.add('UNSUPPORTED', message, name.start, name.end);
    const open = this.#token;
    this.#advance();
    while (!this.#at('}') && this.#token.kind !== 'end') {
      this.#advance();
      if (!this.#accept(':')) break;
      this.#expression();
      if (!this.#accept(',')) break;
    }
    this.#skipTo('}');
    this.#close('}', open);
    return this.#error(name.start);
  }

  /** To the next `,` or `closer` of this level. */
  #skipTo(closer: ')' | ']' | '}'): void {
    let nested = 0;
    while (this.#token.kind !== 'end') {
      if (nested === 0 && (this.#at(closer) || this.#at(','))) return;
      if (this.#at('(') || this.#at('[') || this.#at('{')) nested += 1;
      else if ((this.#at(')') || this.#at(']') || this.#at('}')) && nested > 0) nested -= 1;
      this.#advance();
    }
  }

  #close(closer: ')' | ']' | '}', open: Token): void {
    if (this.#accept(closer)) return;
    if (this.#token.kind === 'end') {
      const text = this.#source.slice(open.start, open.end);
      this.#syntax(`The expression ends before \`${text}\` is closed by \`${closer}\``, this.#token);
      return;
    }
    this.#unexpected(`\`${closer}\``);
    this.#skipTo(closer);
    this.#accept(closer);
  }

  #call(name: { text: string; start: number; end: number }, target: Node | undefined): Node {
    const open = this.#token;
    this.#advance();
    const args = this.#list(')', open);
    const start = target?.start ?? name.start;
    const call: CallNode = {
      kind: 'call',
      name: name.text,
      nameStart: name.start,
      nameEnd: name.end,
      target,
      args,
      start,
      end: this.#previousEnd,
    };
    return this.#macro(call) ?? this.#node(call);
  }

  /** Macros are known by name and number of arguments, as CEL has it; other numbers leave an ordinary call. */
  #macro(call: CallNode): Node | undefined {
    if (call.target === undefined)
      return call.name === 'has' && call.args.length === 1 ? this.#has(call) : undefined;
    const macro =
      MACROS.find((name) => name === call.name) ?? (call.name === 'existsOne' ? 'exists_one' : undefined);
    const [variable, ...rest] = call.args;
    const fits = rest.length === 1 || (macro === 'map' && rest.length === 2);
    if (macro === undefined || !fits || variable === undefined) return undefined;
    return this.#comprehension(call, macro, call.target, variable, rest);
  }

  #has(call: CallNode): Node {
    const select = call.args[0];
    if (select?.kind === 'select')
      return this.#node({ kind: 'has', select, start: call.start, end: call.end });
    if (select?.kind !== 'error') {
      const message = '`has` asks for an attribute: `has(user.email)`';
      this.#issues.add('INVALID_MACRO', message, select?.start ?? call.start, select?.end ?? call.end);
    }
    return { kind: 'error', start: call.start, end: call.end };
  }

  #comprehension(
    call: CallNode,
    macro: MacroName,
    target: Node,
    variable: Node,
    rest: readonly Node[],
  ): Node {
    const body = rest.at(-1);
    if (variable.kind !== 'identifier' || variable.absolute || body === undefined) {
      if (variable.kind !== 'error') {
        const message = `The first argument of \`${macro}\` names each element: \`list.${macro}(item, …)\``;
        this.#issues.add('INVALID_MACRO', message, variable.start, variable.end);
      }
      return { kind: 'error', start: call.start, end: call.end };
    }
    return this.#node({
      kind: 'macro',
      macro,
      target,
      variable: variable.name,
      filter: rest.length === 2 ? rest[0] : undefined,
      body,
      start: call.start,
      end: call.end,
    });
  }
}

function isQualifiedName(node: Node): node is IdentifierNode | SelectNode {
  let part = node;
  while (part.kind === 'select') part = part.operand;
  return part.kind === 'identifier';
}
