import type {
  BinaryOperator,
  CallNode,
  ConditionalNode,
  ErrorNode,
  IdentifierNode,
  LiteralNode,
  Node,
  SelectNode,
  UnaryOperator,
} from './ast.js';
import type { CelIssue, CelIssueCode } from './issue.js';
import { IssueCollector } from './issue.js';
import { type Punctuation, type Token, tokenize } from './lexer.js';
import type { CelLimits } from './limits.js';
import { DEFAULT_CEL_LIMITS } from './limits.js';
import { fitsInt, fitsUint } from './literals.js';
import { expandMacro } from './macros.js';
import { TokenCursor } from './token-cursor.js';
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
  return new Parser(new TokenCursor(source, tokenize(source, issues), issues), limits, issues).parse();
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

class Parser {
  readonly #cursor: TokenCursor;
  readonly #limits: CelLimits;
  readonly #issues: IssueCollector;
  #nodes = 0;
  #depth = 0;

  constructor(cursor: TokenCursor, limits: CelLimits, issues: IssueCollector) {
    this.#cursor = cursor;
    this.#limits = limits;
    this.#issues = issues;
  }

  parse(): Node {
    const root = this.#expression();
    while (!this.#cursor.atEnd) {
      this.#cursor.unexpected('an operator or the end');
      this.#cursor.advance();
      if (!this.#cursor.atEnd) this.#expression();
    }
    return root;
  }

  /** A bomb ends the parse: everything after it is skipped, so that nothing is built and nothing more is reported. */
  #halt(code: CelIssueCode, message: string): ErrorNode {
    const token = this.#cursor.token;
    if (token.kind !== 'end') this.#issues.add(code, message, token.start, token.end);
    this.#cursor.skipAll();
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
    return { kind: 'error', start, end: Math.max(start, this.#cursor.previousEnd) };
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
    while (this.#cursor.accept('?')) {
      const condition = last;
      const yes = this.#expression();
      if (!this.#cursor.accept(':')) {
        this.#cursor.unexpected('`:` and the value for «otherwise»');
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
    if (!this.#cursor.at(operator)) return first;
    const operands = [first];
    while (this.#cursor.accept(operator)) operands.push(next());
    return this.#node({
      kind: 'logic',
      operator,
      operands,
      start: first.start,
      end: this.#cursor.previousEnd,
    });
  }

  #binary(lowest: number): Node {
    let left = this.#unary();
    for (;;) {
      const token = this.#cursor.token;
      const operator = token.kind === 'punctuation' || token.kind === 'identifier' ? token.text : '';
      const precedence = Object.hasOwn(PRECEDENCE, operator) ? (PRECEDENCE[operator] ?? 0) : 0;
      if (precedence < lowest || precedence === 0) return left;
      this.#cursor.advance();
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
    while (this.#cursor.at('!') || this.#cursor.at('-')) {
      const operator: UnaryOperator = this.#cursor.at('!') ? '!' : '-';
      const start = this.#cursor.token.start;
      this.#cursor.advance();
      if (signs.at(-1)?.operator === operator) signs.pop();
      else signs.push({ operator, start });
    }
    const token = this.#cursor.token;
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
      if (this.#cursor.at('.')) node = this.#selection(node);
      else if (this.#cursor.at('[')) node = this.#index(node);
      else if (this.#cursor.at('{') && isQualifiedName(node)) node = this.#message(node);
      else return node;
    }
  }

  #selection(operand: Node): Node {
    this.#cursor.advance();
    if (this.#cursor.at('?')) {
      const refused = this.#optional(operand);
      if (this.#cursor.token.kind === 'identifier') this.#cursor.advance();
      return refused;
    }
    const token = this.#cursor.token;
    if (token.kind !== 'identifier' && token.kind !== 'quoted') {
      this.#cursor.unexpected('the name of an attribute');
      return this.#error(operand.start);
    }
    this.#cursor.advance();
    if (token.kind === 'identifier' && this.#cursor.at('(')) return this.#call(token, operand);
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
    const open = this.#cursor.token;
    this.#cursor.advance();
    if (this.#cursor.at('?')) this.#optional(operand);
    const index = this.#expression();
    this.#cursor.close(']', open);
    return this.#node({ kind: 'index', operand, index, start: operand.start, end: this.#cursor.previousEnd });
  }

  #optional(operand: Node): Node {
    const token = this.#cursor.token;
    this.#cursor.advance();
    this.#issues.add(
      'UNSUPPORTED',
      'Optional values are not supported; ask `has(…)` first',
      token.start,
      token.end,
    );
    return this.#error(operand.start);
  }

  #primary(negativeFrom: number | undefined): Node {
    const token = this.#cursor.token;
    switch (token.kind) {
      case 'int':
      case 'uint':
      case 'double':
        this.#cursor.advance();
        return this.#number(token.kind, token.text, token.start, token.end, negativeFrom);
      case 'string':
        this.#cursor.advance();
        return this.#node({ kind: 'literal', value: token.value, start: token.start, end: token.end });
      case 'bytes':
        this.#cursor.advance();
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
        this.#cursor.markReported(token);
        this.#cursor.advance();
        return { kind: 'error', start: token.start, end: token.end };
      case 'quoted':
        this.#cursor.syntax('A name in backquotes stands only after a dot', token);
        this.#cursor.advance();
        return { kind: 'error', start: token.start, end: token.end };
      case 'end':
        this.#cursor.unexpected('a value');
        return { kind: 'error', start: token.start, end: token.end };
    }
  }

  #group(text: Punctuation, token: Token): Node {
    switch (text) {
      case '(': {
        this.#cursor.advance();
        const inner = this.#expression();
        this.#cursor.close(')', token);
        return inner;
      }
      case '[': {
        this.#cursor.advance();
        const elements = this.#list(']', token);
        return this.#node({ kind: 'list', elements, start: token.start, end: this.#cursor.previousEnd });
      }
      case '{':
        return this.#map(token);
      case '.': {
        this.#cursor.advance();
        const name = this.#cursor.token;
        if (name.kind === 'identifier') return this.#word(name.text, token.start, true);
        this.#cursor.unexpected('a name');
        return this.#error(token.start);
      }
      default: {
        this.#cursor.unexpected('a value');
        // Closers and infix operators are left for those who wait for them.
        if (!/^(?:[)\]},:?]|==|!=|[<>]=?|&&|\|\||[+*/%])$/.test(text)) this.#cursor.advance();
        return { kind: 'error', start: token.start, end: token.start };
      }
    }
  }

  #word(text: string, start: number, absolute: boolean): Node {
    const token = this.#cursor.token;
    if (text === 'in') {
      this.#cursor.unexpected('a value');
      return { kind: 'error', start, end: start };
    }
    this.#cursor.advance();
    if (!absolute && (text === 'true' || text === 'false' || text === 'null')) {
      const value = text === 'null' ? null : text === 'true';
      return this.#node({ kind: 'literal', value, start, end: token.end });
    }
    if (RESERVED.has(text)) {
      this.#cursor.syntax(`\`${text}\` is reserved by CEL and cannot name a variable`, token);
      return { kind: 'error', start, end: token.end };
    }
    if (this.#cursor.at('(')) return this.#call({ text, start: token.start, end: token.end }, undefined);
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
    while (!this.#cursor.at(closer) && this.#cursor.token.kind !== 'end') {
      if (closer === ']' && this.#cursor.at('?'))
        elements.push(this.#optional(this.#error(this.#cursor.token.start)));
      elements.push(this.#expression());
      if (this.#cursor.accept(',')) continue;
      if (this.#cursor.at(closer)) break;
      this.#cursor.unexpected(`\`,\` or \`${closer}\``);
      this.#cursor.skipTo(closer);
      if (!this.#cursor.accept(',')) break;
    }
    this.#cursor.close(closer, open);
    return elements;
  }

  #map(open: Token): Node {
    this.#cursor.advance();
    const entries: { key: Node; value: Node }[] = [];
    while (!this.#cursor.at('}') && this.#cursor.token.kind !== 'end') {
      if (this.#cursor.at('?')) this.#optional(this.#error(this.#cursor.token.start));
      const key = this.#expression();
      if (this.#cursor.accept(':')) entries.push({ key, value: this.#expression() });
      else this.#cursor.unexpected('`:` and a value');
      if (this.#cursor.accept(',')) continue;
      if (this.#cursor.at('}')) break;
      this.#cursor.unexpected('`,` or `}`');
      this.#cursor.skipTo('}');
      if (!this.#cursor.accept(',')) break;
    }
    this.#cursor.close('}', open);
    return this.#node({ kind: 'map', entries, start: open.start, end: this.#cursor.previousEnd });
  }

  /** `Name{field: value}` is read to its end, so that its parts are checked, and refused. */
  #message(name: Node): Node {
    const message = 'Protobuf messages are not supported; write a map: `{"name": value}`';
    this.#issues.add('UNSUPPORTED', message, name.start, name.end);
    const open = this.#cursor.token;
    this.#cursor.advance();
    while (!this.#cursor.at('}') && this.#cursor.token.kind !== 'end') {
      this.#cursor.advance();
      if (!this.#cursor.accept(':')) break;
      this.#expression();
      if (!this.#cursor.accept(',')) break;
    }
    this.#cursor.skipTo('}');
    this.#cursor.close('}', open);
    return this.#error(name.start);
  }

  #call(name: { text: string; start: number; end: number }, target: Node | undefined): Node {
    const open = this.#cursor.token;
    this.#cursor.advance();
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
      end: this.#cursor.previousEnd,
    };
    return this.#node(expandMacro(call, this.#issues) ?? call);
  }
}

function isQualifiedName(node: Node): node is IdentifierNode | SelectNode {
  let part = node;
  while (part.kind === 'select') part = part.operand;
  return part.kind === 'identifier';
}
