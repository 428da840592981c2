import { CelError, type CelErrorCode, type CelValue } from '../cel/values.js';
import { CUSTOMER_STATE_UNAVAILABLE, type Evaluation } from '../evaluation/evaluation.js';
import type { RuleFault, RuleFaultCode } from '../model/decision.js';
import type { CompiledRule } from '../snapshot/snapshot.js';

const FAULT_CODES: Record<CelErrorCode, RuleFaultCode> = {
  NO_SUCH_ATTRIBUTE: 'ATTRIBUTE_MISSING',
  NO_SUCH_VARIABLE: 'ATTRIBUTE_MISSING',
  NO_SUCH_KEY: 'ATTRIBUTE_MISSING',
  NO_SUCH_FUNCTION: 'EXPRESSION_ERROR',
  NO_SUCH_OVERLOAD: 'EXPRESSION_ERROR',
  ATTRIBUTE_TYPE: 'EXPRESSION_ERROR',
  INDEX_OUT_OF_RANGE: 'EXPRESSION_ERROR',
  INVALID_ARGUMENT: 'EXPRESSION_ERROR',
  DIVIDE_BY_ZERO: 'EXPRESSION_ERROR',
  OVERFLOW: 'EXPRESSION_ERROR',
  SIZE_LIMIT: 'COST_LIMIT',
  COST_LIMIT: 'COST_LIMIT',
  HOST_FAILED: 'EXPRESSION_ERROR',
};

function faultOf(rule: CompiledRule, code: RuleFaultCode, message: string): RuleFault {
  return { ruleIndex: rule.index, code, message };
}

/** What a condition gave that is neither true nor false. */
function unfit(rule: CompiledRule, result: CelValue | CelError): RuleFault {
  if (!(result instanceof CelError)) {
    return faultOf(rule, 'EXPRESSION_ERROR', 'The condition gives neither true nor false.');
  }
  const unavailable = result.detail === CUSTOMER_STATE_UNAVAILABLE;
  return faultOf(rule, unavailable ? 'CUSTOMER_STATE_UNAVAILABLE' : FAULT_CODES[result.code], result.message);
}

/** Whether a rule matches: `true`, `false`, or the fault for which it is skipped. Only `true` is a match. */
export function matchRule(evaluation: Evaluation, rule: CompiledRule): boolean | RuleFault {
  if (rule.broken !== null) return faultOf(rule, 'EXPRESSION_ERROR', rule.broken);
  const condition = rule.condition;
  if (condition === null) return true;
  if (condition.reads.now) evaluation.touch(evaluation.nowMilliseconds);
  const outer = evaluation.metUnavailable;
  evaluation.metUnavailable = false;
  const result = condition.expression.evaluate(evaluation);
  const unavailable = evaluation.metUnavailable;
  evaluation.metUnavailable = outer;
  if (unavailable) return unfit(rule, evaluation.unavailable);
  return typeof result === 'boolean' ? result : unfit(rule, result);
}
