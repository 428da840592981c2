import type { CallNode, IdentifierNode, MacroNode, Node, SelectNode } from './ast.js';
import type { Overload } from './functions.js';
import type { CompiledPattern } from './regex.js';
import type { CelHostFunction, CelReads, CelType, CelVariable } from './types.js';
import type { CelTypeValue } from './values.js';

/** What a name stands for. */
export type Resolution<Frame> =
  | { readonly kind: 'variable'; readonly name: string; readonly variable: CelVariable<Frame> }
  | { readonly kind: 'local'; readonly slot: number }
  | { readonly kind: 'type'; readonly value: CelTypeValue };

/** What a call stands for; `args` begin with the target of a member. */
export type CallResolution<Frame> =
  | { readonly kind: 'host'; readonly host: CelHostFunction<Frame> }
  | { readonly kind: 'standard'; readonly overloads: readonly Overload[]; readonly args: readonly Node[] }
  | { readonly kind: 'matches'; readonly subject: Node; readonly pattern: CompiledPattern };

/** An expression with everything that its text leaves open decided. Names without a resolution fail when they are asked. */
export interface CheckedExpression<Frame> {
  readonly root: Node;
  readonly types: ReadonlyMap<Node, CelType>;
  readonly names: ReadonlyMap<IdentifierNode | SelectNode, Resolution<Frame>>;
  readonly calls: ReadonlyMap<CallNode, CallResolution<Frame>>;
  readonly slots: ReadonlyMap<MacroNode, number>;
  readonly slotCount: number;
  readonly reads: CelReads;
}
