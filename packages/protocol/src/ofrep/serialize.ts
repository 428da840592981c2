import type { FlagAnswer, FlagDecision } from '@pennon/engine/model/decision';
import type { JsonValue } from '@pennon/engine/model/json';
import { inKeyOrder, isUnlimited, toOfrepEvaluation } from './evaluation.js';

/*
 * OFREP answers as text. Written by hand for two reasons: `JSON.stringify` prints the float 1.0 as `1`, which typed clients
 * refuse as an integer, and the single evaluation is the hottest path of the server.
 */

const MAX_INTEGER = Number.MAX_SAFE_INTEGER;

/** Values of object flags live as long as their snapshot and are printed once. */
const objectTexts = new WeakMap<object, string>();

/** The same members in the same order as `toOfrepEvaluation`; a property test holds the two together. */
export function serializeOfrepEvaluation(decision: FlagDecision): string {
  return decision.kind === 'answer' ? answerText(decision) : JSON.stringify(toOfrepEvaluation(decision));
}

export function serializeOfrepBulk(decisions: readonly FlagDecision[]): string {
  let text = '{"flags":[';
  let separator = '';
  for (const decision of inKeyOrder(decisions)) {
    text += separator + serializeOfrepEvaluation(decision);
    separator = ',';
  }
  return `${text}],"metadata":{}}`;
}

function answerText(answer: FlagAnswer): string {
  let text = `{"key":${JSON.stringify(answer.key)}`;
  if (answer.value !== null) {
    text += `,"value":${valueText(answer, answer.value)}`;
  }
  text += `,"reason":"${answer.reason}"`;
  if (answer.variant !== null) {
    text += `,"variant":${JSON.stringify(answer.variant)}`;
  }
  text += `,"metadata":{"cause":"${answer.cause}"`;
  if (answer.ruleIndex !== null) {
    text += `,"ruleIndex":${answer.ruleIndex}`;
  }
  if (isUnlimited(answer)) {
    text += ',"unlimited":true';
  }
  if (answer.customerNotProven) {
    text += ',"warning":"CUSTOMER_NOT_PROVEN"';
  } else if (answer.planNotFound === true) {
    text += ',"warning":"PLAN_NOT_FOUND"';
  }
  return `${text}}}`;
}

function valueText(answer: FlagAnswer, value: JsonValue): string {
  switch (typeof value) {
    case 'boolean':
      return value ? 'true' : 'false';
    case 'number':
      return answer.type === 'float' ? floatText(value) : numberText(answer, value);
    case 'object':
      return value === null ? 'null' : objectText(value);
    default:
      return JSON.stringify(value);
  }
}

/** A float keeps its point on the wire: `1.0`. What prints with an exponent is a float already. */
export function floatText(value: number): string {
  const text = JSON.stringify(value);
  return /[.e]/.test(text) ? text : `${text}.0`;
}

/** Integers stay within what JSON carries exactly. */
function numberText(answer: FlagAnswer, value: number): string {
  if (answer.type !== 'integer') {
    return JSON.stringify(value);
  }
  return JSON.stringify(Math.max(-MAX_INTEGER, Math.min(MAX_INTEGER, value)));
}

function objectText(value: object): string {
  const known = objectTexts.get(value);
  if (known !== undefined) {
    return known;
  }
  const text = JSON.stringify(value);
  objectTexts.set(value, text);
  return text;
}
