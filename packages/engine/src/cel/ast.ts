import type { CelValue } from './values.js';

interface Base {
  /** UTF-16 offsets `[start, end)`. */
  readonly start: number;
  readonly end: number;
}

export interface LiteralNode extends Base {
  readonly kind: 'literal';
  readonly value: CelValue;
}

export interface IdentifierNode extends Base {
  readonly kind: 'identifier';
  readonly name: string;
  /** `.name`: not a variable of a surrounding macro. */
  readonly absolute: boolean;
}

export interface SelectNode extends Base {
  readonly kind: 'select';
  readonly operand: Node;
  readonly field: string;
  readonly fieldStart: number;
}

/** `has(operand.field)`. */
export interface HasNode extends Base {
  readonly kind: 'has';
  readonly select: SelectNode;
}

export interface IndexNode extends Base {
  readonly kind: 'index';
  readonly operand: Node;
  readonly index: Node;
}

export interface CallNode extends Base {
  readonly kind: 'call';
  readonly name: string;
  readonly nameStart: number;
  readonly nameEnd: number;
  readonly target: Node | undefined;
  readonly args: readonly Node[];
}

export type UnaryOperator = '!' | '-';

export interface UnaryNode extends Base {
  readonly kind: 'unary';
  readonly operator: UnaryOperator;
  readonly operand: Node;
}

export type BinaryOperator = '==' | '!=' | '<' | '<=' | '>' | '>=' | 'in' | '+' | '-' | '*' | '/' | '%';

export interface BinaryNode extends Base {
  readonly kind: 'binary';
  readonly operator: BinaryOperator;
  readonly operatorStart: number;
  readonly left: Node;
  readonly right: Node;
}

/** A whole chain of `&&` or of `||`, so that long ones are wide and not deep. */
export interface LogicNode extends Base {
  readonly kind: 'logic';
  readonly operator: '&&' | '||';
  readonly operands: readonly Node[];
}

export interface ConditionalNode extends Base {
  readonly kind: 'conditional';
  readonly condition: Node;
  readonly yes: Node;
  readonly no: Node;
}

export interface ListNode extends Base {
  readonly kind: 'list';
  readonly elements: readonly Node[];
}

export interface MapNode extends Base {
  readonly kind: 'map';
  readonly entries: readonly { readonly key: Node; readonly value: Node }[];
}

export const MACROS = ['all', 'exists', 'exists_one', 'map', 'filter'] as const;
export type MacroName = (typeof MACROS)[number];

/** `target.all(variable, body)`; `map` of three arguments has its condition in `filter`. */
export interface MacroNode extends Base {
  readonly kind: 'macro';
  readonly macro: MacroName;
  readonly target: Node;
  readonly variable: string;
  readonly filter: Node | undefined;
  readonly body: Node;
}

/** Stands where something was missing or wrong; an issue was reported there. */
export interface ErrorNode extends Base {
  readonly kind: 'error';
}

export type Node =
  | LiteralNode
  | IdentifierNode
  | SelectNode
  | HasNode
  | IndexNode
  | CallNode
  | UnaryNode
  | BinaryNode
  | LogicNode
  | ConditionalNode
  | ListNode
  | MapNode
  | MacroNode
  | ErrorNode;

/** The direct parts of a node, in the order of the text. */
export function childrenOf(node: Node): readonly Node[] {
  switch (node.kind) {
    case 'literal':
    case 'identifier':
    case 'error':
      return [];
    case 'select':
      return [node.operand];
    case 'has':
      return [node.select];
    case 'index':
      return [node.operand, node.index];
    case 'call':
      return node.target === undefined ? node.args : [node.target, ...node.args];
    case 'unary':
      return [node.operand];
    case 'binary':
      return [node.left, node.right];
    case 'logic':
      return node.operands;
    case 'conditional':
      return [node.condition, node.yes, node.no];
    case 'list':
      return node.elements;
    case 'map':
      return node.entries.flatMap((entry) => [entry.key, entry.value]);
    case 'macro':
      return node.filter === undefined ? [node.target, node.body] : [node.target, node.filter, node.body];
  }
}
