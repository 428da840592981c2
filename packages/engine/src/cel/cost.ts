import { childrenOf, type Node } from './ast.js';
import type { CheckedExpression } from './checked.js';
import type { CelLimits } from './limits.js';

/** The worst case in units of about one operation, from declared bounds where there are any. */
export function worstCaseCost<Frame>(
  checked: CheckedExpression<Frame>,
  node: Node,
  limits: CelLimits,
): number {
  const cost = (part: Node): number => worstCaseCost(checked, part, limits);
  const parts = (): number => childrenOf(node).reduce((total, part) => total + cost(part), 0);
  switch (node.kind) {
    case 'literal':
    case 'error':
      return 0;
    case 'macro': {
      const body = cost(node.body) + (node.filter === undefined ? 0 : cost(node.filter));
      return 1 + cost(node.target) + longest(checked, node.target, limits) * (1 + body);
    }
    case 'conditional':
      return 1 + cost(node.condition) + Math.max(cost(node.yes), cost(node.no));
    case 'call':
      return parts() + callCost(checked, node);
    case 'binary':
      return parts() + (node.operator === 'in' ? 1 + (longest(checked, node.right, limits) >> 3) : 1);
    default:
      return 1 + parts();
  }
}

const HOST_CALL = 5;
/** A subject of sixteen characters; longer ones pay when they come. */
const TYPICAL_SUBJECT = 16;

function callCost<Frame>(checked: CheckedExpression<Frame>, node: Node & { kind: 'call' }): number {
  const call = checked.calls.get(node);
  switch (call?.kind) {
    case 'host':
      return HOST_CALL;
    case 'matches':
      return 1 + ((call.pattern.instructions * TYPICAL_SUBJECT) >> 2);
    case 'standard':
      return Math.max(...call.overloads.map((overload) => overload.cost));
    case undefined:
      return 1;
  }
}

/** How many elements a list or map has at most, or is taken to have. */
function longest<Frame>(checked: CheckedExpression<Frame>, node: Node, limits: CelLimits): number {
  if (node.kind === 'list') return node.elements.length;
  if (node.kind === 'map') return node.entries.length;
  if (node.kind === 'macro') return longest(checked, node.target, limits);
  if (node.kind === 'binary')
    return longest(checked, node.left, limits) + longest(checked, node.right, limits);
  const type = checked.types.get(node);
  if (type?.kind === 'object' && type.additional === undefined) return type.attributes.size;
  const declared = type?.kind === 'list' || type?.kind === 'map' ? type.maxItems : undefined;
  return declared ?? limits.assumedListLength;
}
