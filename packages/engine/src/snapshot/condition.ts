import type { ExpressionFrame } from '../catalog/expression-environment.js';
import type { CelReads, CompiledExpression } from '../cel/types.js';
import type { Reads } from './reads.js';

/** A compiled expression with what it reads. */
export interface Condition {
  readonly text: string;
  readonly expression: CompiledExpression<ExpressionFrame>;
  readonly reads: Reads;
}

/** Facts that come from what is known of the customer. */
const CUSTOMER_FACTS: ReadonlySet<string> = new Set(['plan', 'license', 'customer']);

function calledWith(reads: CelReads, ...functions: readonly string[]): ReadonlySet<string> {
  const keys = new Set<string>();
  for (const call of reads.calls) {
    if (functions.includes(call.function) && call.argument !== undefined) keys.add(call.argument);
  }
  return keys;
}

export function readsOfExpression(reads: CelReads): Reads {
  const parts = new Set(reads.attributes.map((path) => path.split('.', 1)[0] ?? path));
  const usage = calledWith(reads, 'usage', 'remaining');
  const entitlements = calledWith(reads, 'entitlement', 'limit', 'usage', 'remaining');
  const segments = calledWith(reads, 'segment');
  const flags = calledWith(reads, 'flag');
  const facts = [...parts].some((part) => CUSTOMER_FACTS.has(part));
  const customer = facts || entitlements.size > 0 || segments.size > 0;
  return { usage, now: reads.now, customer, parts, entitlements, segments, flags };
}
