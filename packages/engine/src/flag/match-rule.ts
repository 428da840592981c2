import { CelError, type CelErrorCode } from '../cel/values.js';
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

function faultOf(rule: CompiledRule, error: CelError): RuleFault {
  const unavailable = error.detail === CUSTOMER_STATE_UNAVAILABLE;
  const code = unavailable ? 'CUSTOMER_STATE_UNAVAILABLE' : FAULT_CODES[error.code];
  return { ruleIndex: rule.index, code, message: error.message };
}

const NO_CONDITION = 'The condition gives neither true nor false.';

/** Whether a rule matches: `true`, `false`, or the fault for which it is skipped. Only `true` is a match. */
export function matchRule(evaluation: Evaluation, rule: CompiledRule): boolean | RuleFault {
  if (rule.broken !== null) return { ruleIndex: rule.index, code: 'EXPRESSION_ERROR', message: rule.broken };
  const condition = rule.condition;
  if (condition === null) return true;
  if (condition.reads.now) evaluation.touch(evaluation.nowMilliseconds);
  const outer = evaluation.metUnavailable;
  evaluation.metUnavailable = false;
  const result = condition.expression.evaluate(evaluation);
  const unavailable = evaluation.metUnavailable;
  evaluation.metUnavailable = outer;
  if (unavailable) return faultOf(rule, evaluation.unavailable);
  if (result instanceof CelError) return faultOf(rule, result);
  if (typeof result === 'boolean') return result;
  return { ruleIndex: rule.index, code: 'EXPRESSION_ERROR', message: NO_CONDITION };
}
