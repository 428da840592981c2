import type { BinaryNode, CallNode, IdentifierNode, IndexNode, MacroNode, Node, SelectNode } from './ast.js';
import { CallChecker } from './call-checker.js';
import type { CallResolution, CheckedExpression, Resolution } from './checked.js';
import type { CelIssueCode, IssueCollector } from './issue.js';
import type { CelLimits } from './limits.js';
import { pathText, ReadsRecorder } from './reads.js';
import { suggestName } from './suggest.js';
import { binaryType, isAssignable, joinTypes } from './type-relations.js';
import {
  BOOL,
  type CelEnvironment,
  type CelType,
  DYN,
  INT,
  listOf,
  mapOf,
  NULL,
  STRING,
  TYPE,
  typeText,
} from './types.js';
import { CelTypeValue, type CelValue, kindOf, TYPE_NAMES } from './values.js';

/** Issues that only say that an evaluation would fail; with `lenient` it is left to fail. */
const LENIENT_CODES: ReadonlySet<CelIssueCode> = new Set([
  'UNKNOWN_VARIABLE',
  'UNKNOWN_ATTRIBUTE',
  'UNKNOWN_FUNCTION',
  'WRONG_TYPE',
  'WRONG_ARGUMENTS',
]);

interface Scope {
  readonly name: string;
  readonly type: CelType;
  readonly slot: number;
  readonly outer: Scope | undefined;
}

const TYPE_VALUES: ReadonlyMap<string, CelTypeValue> = new Map(
  Object.values(TYPE_NAMES)
    .filter((name) => name !== 'unknown')
    .map((name) => [name, new CelTypeValue(name)]),
);

export function checkExpression<Frame>(
  root: Node,
  environment: CelEnvironment<Frame>,
  limits: CelLimits,
  issues: IssueCollector,
  source: string,
  lenient: boolean,
): CheckedExpression<Frame> {
  return new Checker(environment, limits, issues, source, lenient).check(root);
}

/** Gives every node its type and every name its meaning; reports what cannot be. After an issue the type is `dyn`. */
export class Checker<Frame> {
  readonly environment: CelEnvironment<Frame>;
  readonly limits: CelLimits;
  readonly source: string;
  readonly reads = new ReadsRecorder();
  readonly calls = new Map<CallNode, CallResolution<Frame>>();
  readonly #issues: IssueCollector;
  readonly #lenient: boolean;
  readonly #types = new Map<Node, CelType>();
  readonly #names = new Map<IdentifierNode | SelectNode, Resolution<Frame>>();
  readonly #slots = new Map<MacroNode, number>();
  readonly #hasDottedNames: boolean;
  readonly #callChecker: CallChecker<Frame>;
  #scope: Scope | undefined;
  #macroDepth = 0;

  constructor(
    environment: CelEnvironment<Frame>,
    limits: CelLimits,
    issues: IssueCollector,
    source: string,
    lenient: boolean,
  ) {
    this.environment = environment;
    this.limits = limits;
    this.source = source;
    this.#issues = issues;
    this.#lenient = lenient;
    this.#hasDottedNames = [...environment.variables.keys()].some((name) => name.includes('.'));
    this.#callChecker = new CallChecker(this);
  }

  check(root: Node): CheckedExpression<Frame> {
    this.visit(root);
    return {
      root,
      types: this.#types,
      names: this.#names,
      calls: this.calls,
      slots: this.#slots,
      slotCount: this.#slots.size,
      reads: this.reads.result(),
    };
  }

  issue(code: CelIssueCode, message: string, start: number, end: number, suggestion?: string): CelType {
    if (!(this.#lenient && LENIENT_CODES.has(code))) this.#issues.add(code, message, start, end, suggestion);
    return DYN;
  }

  /** `inner`: this node is the operand of a selection, which records the longer path. */
  visit(node: Node, inner = false): CelType {
    const type = this.#typeOf(node, inner);
    this.#types.set(node, type);
    return type;
  }

  #typeOf(node: Node, inner: boolean): CelType {
    switch (node.kind) {
      case 'literal':
        return typeOfLiteral(node.value);
      case 'identifier':
        return this.#identifier(node, inner);
      case 'select':
        return this.#select(node, inner);
      case 'has':
        this.visit(node.select);
        return BOOL;
      case 'index':
        return this.#index(node, inner);
      case 'call':
        return this.#callChecker.visit(node);
      case 'unary':
        return this.#unary(node.operator, node.operand, node);
      case 'binary':
        return this.#binary(node);
      case 'logic':
        for (const operand of node.operands)
          this.#expectBool(operand, `\`${node.operator}\` joins conditions`);
        return BOOL;
      case 'conditional':
        return this.#conditional(node.condition, node.yes, node.no);
      case 'list':
        return listOf(this.#common(node.elements));
      case 'map':
        return this.#map(node.entries);
      case 'macro':
        return this.#macro(node);
      case 'error':
        return DYN;
    }
  }

  /** `a.b.c` as text, if nothing else than names and dots. */
  qualifiedName(node: Node): string | undefined {
    if (node.kind === 'identifier') return node.name;
    if (node.kind !== 'select') return undefined;
    const operand = this.qualifiedName(node.operand);
    return operand === undefined ? undefined : `${operand}.${node.field}`;
  }

  isLocal(name: string): boolean {
    return this.#local(name) !== undefined;
  }

  #local(name: string): Scope | undefined {
    for (let scope = this.#scope; scope !== undefined; scope = scope.outer)
      if (scope.name === name) return scope;
    return undefined;
  }

  #identifier(node: IdentifierNode, inner: boolean): CelType {
    const local = node.absolute ? undefined : this.#local(node.name);
    if (local !== undefined) {
      this.#names.set(node, { kind: 'local', slot: local.slot });
      return local.type;
    }
    const reason = this.environment.forbidden?.get(node.name);
    if (reason !== undefined) {
      return this.issue('FORBIDDEN', `\`${node.name}\` may not stand here: ${reason}`, node.start, node.end);
    }
    const variable = this.environment.variables.get(node.name);
    if (variable !== undefined) return this.#variable(node, node.name, variable.type, inner);
    const typeName = TYPE_VALUES.get(node.name);
    if (typeName !== undefined) {
      this.#names.set(node, { kind: 'type', value: typeName });
      return TYPE;
    }
    const other = this.environment.otherVariable?.(node.name);
    if (other !== undefined) {
      this.#names.set(node, { kind: 'variable', name: node.name, variable: other });
      return this.#recorded(node.name, other.type, other.clock === true, inner);
    }
    return this.#unknownName(node);
  }

  #unknownName(node: IdentifierNode): CelType {
    if (this.environment.functions.has(node.name)) {
      const message = `\`${node.name}\` is a function; call it: \`${node.name}("…")\``;
      return this.issue('UNKNOWN_VARIABLE', message, node.start, node.end);
    }
    const suggestion = suggestName(node.name, this.#knownNames());
    return this.issue(
      'UNKNOWN_VARIABLE',
      `There is no variable \`${node.name}\``,
      node.start,
      node.end,
      suggestion,
    );
  }

  #knownNames(): string[] {
    const names: string[] = [];
    for (let scope = this.#scope; scope !== undefined; scope = scope.outer) names.push(scope.name);
    return [...names, ...this.environment.variables.keys()];
  }

  #variable(node: IdentifierNode | SelectNode, name: string, type: CelType, inner: boolean): CelType {
    const variable = this.environment.variables.get(name);
    if (variable === undefined) return DYN;
    this.#names.set(node, { kind: 'variable', name, variable });
    return this.#recorded(name, type, variable.clock === true, inner);
  }

  #recorded(name: string, type: CelType, clock: boolean, inner: boolean): CelType {
    if (clock) this.reads.clock();
    else if (!inner) this.reads.attribute(name);
    return type;
  }

  #select(node: SelectNode, inner: boolean): CelType {
    if (this.#hasDottedNames) {
      const qualified = this.qualifiedName(node);
      const variable = qualified === undefined ? undefined : this.environment.variables.get(qualified);
      if (qualified !== undefined && variable !== undefined)
        return this.#variable(node, qualified, variable.type, inner);
    }
    const typeName = this.qualifiedName(node);
    const typeValue = typeName === undefined ? undefined : TYPE_VALUES.get(typeName);
    if (typeValue !== undefined) {
      this.#names.set(node, { kind: 'type', value: typeValue });
      return TYPE;
    }
    const operand = this.visit(node.operand, true);
    if (!inner) this.#recordPath(node);
    return this.#attribute(operand, node.field, node.fieldStart, node.end);
  }

  #recordPath(node: Node): void {
    const keys: string[] = [];
    let part = node;
    while (!this.#names.has(part as IdentifierNode)) {
      if (part.kind === 'select') {
        keys.unshift(part.field);
        part = part.operand;
      } else if (
        part.kind === 'index' &&
        part.index.kind === 'literal' &&
        typeof part.index.value === 'string'
      ) {
        keys.unshift(part.index.value);
        part = part.operand;
      } else return;
    }
    const root = this.#names.get(part as IdentifierNode);
    if (root?.kind === 'variable' && root.variable.clock !== true)
      this.reads.attribute(pathText(root.name, keys));
  }

  #attribute(operand: CelType, name: string, start: number, end: number): CelType {
    switch (operand.kind) {
      case 'dyn':
        return DYN;
      case 'map':
        if (isAssignable(STRING, operand.key)) return operand.value;
        return this.issue(
          'WRONG_TYPE',
          `The keys of this map are \`${operand.key.kind}\`, not names`,
          start,
          end,
        );
      case 'object': {
        const known = operand.attributes.get(name) ?? operand.additional;
        if (known !== undefined) return known;
        const suggestion = suggestName(name, operand.attributes.keys());
        return this.issue('UNKNOWN_ATTRIBUTE', `There is no attribute \`${name}\``, start, end, suggestion);
      }
      default:
        return this.issue(
          'WRONG_TYPE',
          `A \`${typeText(operand)}\` has no attribute \`${name}\``,
          start,
          end,
        );
    }
  }

  #index(node: IndexNode, inner: boolean): CelType {
    const key =
      node.index.kind === 'literal' && typeof node.index.value === 'string' ? node.index.value : undefined;
    const operand = this.visit(node.operand, key !== undefined);
    const index = this.visit(node.index);
    if (key !== undefined && !inner) this.#recordPath(node);
    const { start, end } = node.index;
    switch (operand.kind) {
      case 'dyn':
        return DYN;
      case 'list':
        if (isAssignable(index, INT) || isNumericIndex(index)) return operand.element;
        return this.issue(
          'WRONG_TYPE',
          `A list is indexed by an \`int\`, not by a \`${typeText(index)}\``,
          start,
          end,
        );
      case 'map':
        if (isAssignable(index, operand.key) || isNumericIndex(index)) return operand.value;
        return this.issue(
          'WRONG_TYPE',
          `The keys of this map are \`${typeText(operand.key)}\`, not \`${typeText(index)}\``,
          start,
          end,
        );
      case 'object':
        if (key !== undefined) return this.#attribute(operand, key, start, end);
        if (isAssignable(index, STRING)) return DYN;
        return this.issue('WRONG_TYPE', `Attributes have names, not \`${typeText(index)}\``, start, end);
      default:
        return this.issue(
          'WRONG_TYPE',
          `A \`${typeText(operand)}\` has no elements`,
          node.operand.start,
          node.operand.end,
        );
    }
  }

  #unary(operator: '!' | '-', operand: Node, node: Node): CelType {
    if (operator === '!') {
      this.#expectBool(operand, '`!` negates a condition');
      return BOOL;
    }
    const type = this.visit(operand);
    if (['int', 'double', 'dyn'].includes(type.kind)) return type;
    return this.issue('WRONG_TYPE', `\`-\` is not defined for \`${typeText(type)}\``, node.start, node.end);
  }

  #binary(node: BinaryNode): CelType {
    const left = this.visit(node.left);
    const right = this.visit(node.right);
    const type = binaryType(node.operator, left, right);
    if (type !== undefined) return type;
    const operands = `\`${typeText(left)}\` and \`${typeText(right)}\``;
    const message = `\`${node.operator}\` is not defined for ${operands}${hintFor(node, left, right)}`;
    const start = node.operatorStart;
    this.issue('WRONG_TYPE', message, start, start + node.operator.length);
    return ['+', '-', '*', '/', '%'].includes(node.operator) ? DYN : BOOL;
  }

  #expectBool(node: Node, sentence: string): void {
    const type = this.visit(node);
    if (type.kind === 'bool' || type.kind === 'dyn') return;
    this.issue('WRONG_TYPE', `${sentence}; this is a \`${typeText(type)}\``, node.start, node.end);
  }

  #conditional(condition: Node, yes: Node, no: Node): CelType {
    this.#expectBool(condition, 'Before `?` stands a condition');
    const [first, second] = [this.visit(yes), this.visit(no)];
    if (!isAssignable(first, second)) {
      const message = `Both branches must be of one type; these are \`${typeText(first)}\` and \`${typeText(second)}\``;
      return this.issue('WRONG_TYPE', message, no.start, no.end);
    }
    return joinTypes(first, second);
  }

  #common(nodes: readonly Node[]): CelType {
    const [first, ...rest] = nodes.map((node) => this.visit(node));
    return rest.reduce(joinTypes, first ?? DYN);
  }

  #map(entries: readonly { readonly key: Node; readonly value: Node }[]): CelType {
    const key = this.#common(entries.map((entry) => entry.key));
    const value = this.#common(entries.map((entry) => entry.value));
    for (const entry of entries) {
      const kind = this.#types.get(entry.key)?.kind ?? 'dyn';
      if (!['string', 'int', 'uint', 'bool', 'dyn'].includes(kind)) {
        this.issue('WRONG_TYPE', `A \`${kind}\` cannot be a key of a map`, entry.key.start, entry.key.end);
      }
    }
    return mapOf(key, value);
  }

  #macro(node: MacroNode): CelType {
    const range = this.visit(node.target);
    const element = elementType(range);
    if (element === undefined) {
      const message = `\`${node.macro}\` walks through a list or a map, not a \`${typeText(range)}\``;
      this.issue('WRONG_TYPE', message, node.target.start, node.target.end);
    }
    this.#macroDepth += 1;
    if (this.#macroDepth > this.limits.comprehensionDepth) {
      const message = `\`${node.macro}\` stands inside ${this.limits.comprehensionDepth} others; that many loops are not allowed`;
      this.issue('COMPREHENSION_TOO_DEEP', message, node.start, node.end);
    }
    const slot = this.#slots.size;
    this.#slots.set(node, slot);
    this.#scope = { name: node.variable, type: element ?? DYN, slot, outer: this.#scope };
    const type = this.#macroBody(node, element ?? DYN);
    this.#scope = this.#scope.outer;
    this.#macroDepth -= 1;
    return type;
  }

  #macroBody(node: MacroNode, element: CelType): CelType {
    if (node.filter !== undefined)
      this.#expectBool(node.filter, 'The second argument of `map` is a condition');
    if (node.macro === 'map') return listOf(this.visit(node.body));
    this.#expectBool(node.body, `\`${node.macro}\` asks a condition`);
    return node.macro === 'filter' ? listOf(element) : BOOL;
  }
}

function isNumericIndex(type: CelType): boolean {
  return type.kind === 'uint' || type.kind === 'int' || type.kind === 'double';
}

function elementType(range: CelType): CelType | undefined {
  switch (range.kind) {
    case 'list':
      return range.element;
    case 'map':
      return range.key;
    case 'object':
      return STRING;
    case 'dyn':
      return DYN;
    default:
      return undefined;
  }
}

function typeOfLiteral(value: CelValue): CelType {
  const kind = kindOf(value);
  switch (kind) {
    case 'list':
    case 'map':
    case 'unknown':
      return DYN;
    case 'null':
      return NULL;
    default:
      return { kind };
  }
}

function hintFor(node: BinaryNode, left: CelType, right: CelType): string {
  const kinds = [left.kind, right.kind];
  if (kinds.includes('null')) return '; a declared attribute is never null, ask `has(…)`';
  if (kinds.includes('double') && kinds.includes('int') && node.operator !== '%') {
    return '; write the number with a decimal point, or convert with `double(…)`';
  }
  if (node.operator === '%' && kinds.includes('double')) return '; convert with `int(…)`';
  if (kinds.includes('string') && kinds.some((kind) => kind === 'int' || kind === 'double')) {
    return '; compare a text with a text in quotes, or convert with `string(…)` or `int(…)`';
  }
  if (kinds.includes('string') && kinds.includes('timestamp')) return '; convert with `timestamp(…)`';
  if (kinds.includes('string') && kinds.includes('duration')) return '; convert with `duration(…)`';
  return '';
}
