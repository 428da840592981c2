import type { EntitlementValue } from '../model/catalog.js';
import type { JsonValue } from '../model/json.js';

/**
 * What one evaluation hands to a compiled expression. The functions and variables of `expressionEnvironment` read it and
 * nothing else, so whoever decides (flags, segments, measures) implements this and stays the only owner of state and time.
 *
 * Keys are string literals that were checked at publish: an implementation may assume that they are declared in the same
 * snapshot. What cannot be answered (the customer could not be read, a prerequisite failed) is thrown as a
 * `CelRuntimeError` by the implementation; the rule is then skipped and named.
 */
export interface ExpressionFrame {
  /**
   * The context part or server fact of that name (`user`, `plan`, `environment`, …), server facts first; `undefined` when
   * absent. For the layer `measure`: the usage's attribute of that name.
   */
  part(name: string): JsonValue | undefined;
  /** What is granted, `false` when nothing is. Unlimited reads as `UNLIMITED_AS_INTEGER`. */
  entitlement(key: string): EntitlementValue;
  /** The granted limit; 0 when nothing is granted, `UNLIMITED_AS_INTEGER` when unlimited. */
  limit(key: string): number;
  /** The last known usage, at least 0. */
  usage(key: string): number;
  /** What is left, at least 0; `UNLIMITED_AS_INTEGER` when unlimited. */
  remaining(key: string): number;
  segment(key: string): boolean;
  /** The value that the flag serves in this evaluation. */
  flag(key: string): JsonValue;
  /** The instant of the evaluation: milliseconds since 1970-01-01T00:00:00Z. */
  readonly nowMilliseconds: number;
}
/**
 * Where an expression stands. Each layer sees only those below it (DESIGN: layers): a segment's condition may not ask for
 * what segments give, a measure sees nothing but the attributes of its usage.
 */
export const EXPRESSION_LAYERS = ['flag', 'segment', 'measure'] as const;
export type ExpressionLayer = (typeof EXPRESSION_LAYERS)[number];
