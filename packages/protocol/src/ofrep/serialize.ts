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
  return decision.kind === 'answer' ? answerTexts.of(decision) : JSON.stringify(toOfrepEvaluation(decision));
}

export function serializeOfrepBulk(decisions: readonly FlagDecision[]): string {
  // Joined, not added up: the text is hashed and sent, and a chain of pieces would have to be put together then.
  return `{"flags":[${inKeyOrder(decisions).map(serializeOfrepEvaluation).join(',')}],"metadata":{}}`;
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
  if (answer.overLimit === true) {
    text += ',"overLimit":true';
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

/** What the text of an answer is made of, and the text. */
type PrintedAnswer = Pick<
  FlagAnswer,
  'type' | 'value' | 'reason' | 'variant' | 'cause' | 'ruleIndex' | 'customerNotProven'
> & { readonly planNotFound: boolean; readonly overLimit: boolean; readonly text: string };

const PRINTED_KEYS = 5000;
/** On, off, by rule and by default: most flags have no more answers than these. */
const PRINTED_ANSWERS_OF_A_KEY = 4;
const LONGEST_PRINTED = 512;

/** A flag has few different answers: each is printed once, and given again to whoever gets the same. Bounded in every way. */
class AnswerTexts {
  readonly #byKey = new Map<string, PrintedAnswer[]>();
  #turn = 0;

  of(answer: FlagAnswer): string {
    const printed = this.#byKey.get(answer.key);
    if (printed !== undefined) {
      for (const known of printed) if (printsAlike(known, answer)) return known.text;
    }
    const text = answerText(answer);
    if (isKept(answer, text)) this.#keep(printed, answer, inOnePiece(text));
    return text;
  }

  #keep(printed: PrintedAnswer[] | undefined, answer: FlagAnswer, text: string): void {
    if (printed === undefined) {
      if (this.#byKey.size >= PRINTED_KEYS) this.#byKey.clear();
      this.#byKey.set(answer.key, [toPrinted(answer, text)]);
      return;
    }
    this.#turn = (this.#turn + 1) % PRINTED_ANSWERS_OF_A_KEY;
    const place = printed.length < PRINTED_ANSWERS_OF_A_KEY ? printed.length : this.#turn;
    printed[place] = toPrinted(answer, text);
  }
}

const answerTexts = new AnswerTexts();

/** What was added up is a chain of pieces inside the engine, and every use of it would walk along the chain. */
function inOnePiece(text: string): string {
  return JSON.parse(JSON.stringify(text)) as string;
}

/** An object's text is kept with the object, for as long as its snapshot lives. */
function isKept({ value }: FlagAnswer, text: string): boolean {
  return text.length <= LONGEST_PRINTED && (value === null || typeof value !== 'object');
}

function toPrinted(answer: FlagAnswer, text: string): PrintedAnswer {
  const { type, value, reason, variant, cause, ruleIndex, customerNotProven } = answer;
  const planNotFound = answer.planNotFound === true;
  const overLimit = answer.overLimit === true;
  return { type, value, reason, variant, cause, ruleIndex, customerNotProven, planNotFound, overLimit, text };
}

function printsAlike(printed: PrintedAnswer, answer: FlagAnswer): boolean {
  return (
    printed.value === answer.value &&
    printed.variant === answer.variant &&
    printed.ruleIndex === answer.ruleIndex &&
    printed.cause === answer.cause &&
    printed.reason === answer.reason &&
    printed.type === answer.type &&
    printed.customerNotProven === answer.customerNotProven &&
    printed.planNotFound === (answer.planNotFound === true) &&
    printed.overLimit === (answer.overLimit === true)
  );
}
