import { RE2JS, RE2JSException } from '@bufbuild/re2';
import type { CelLimits } from './limits.js';
import { OVER_BUDGET, type RunState, spend, tooLong } from './run-state.js';
import type { CelError } from './values.js';

/** A pattern in RE2's syntax, compiled. Time is linear in the subject and paid for in steps. */
export interface CompiledPattern {
  readonly instructions: number;
  matches(subject: string, state: RunState): boolean | CelError;
}

export type PatternResult =
  | { readonly ok: true; readonly pattern: CompiledPattern }
  /** `fragment` is the part of the pattern that is wrong, if that is known. */
  | { readonly ok: false; readonly message: string; readonly fragment?: string };

/** Repetition counts times length: what compiling may have to unroll, estimated before it does. */
const MOST_UNROLLED = 20_000;

function unrolled(pattern: string): number {
  let total = 0;
  for (const [, from = '', to = ''] of pattern.matchAll(/\{(\d{1,6})(?:,(\d{0,6}))?\}/g)) {
    total += Math.max(Number(from), Number(to));
  }
  return total * pattern.length;
}

export function compilePattern(text: string, limits: CelLimits): PatternResult {
  if (text.length > limits.patternLength) {
    return {
      ok: false,
      message: `The pattern has ${text.length} characters, more than ${limits.patternLength}`,
    };
  }
  const tooBig = 'The pattern repeats too much; lower its repetition counts';
  if (unrolled(text) > MOST_UNROLLED) return { ok: false, message: tooBig };
  try {
    const compiled = RE2JS.compile(text);
    const instructions = compiled.re2().prog.inst.length;
    if (instructions > limits.patternInstructions) return { ok: false, message: tooBig };
    return {
      ok: true,
      pattern: { instructions, matches: (subject, state) => match(compiled, instructions, subject, state) },
    };
  } catch (fault) {
    if (!(fault instanceof RE2JSException)) return { ok: false, message: 'The pattern cannot be compiled' };
    const message = fault.message.replace(/^error parsing regexp: /, '');
    const fragment = 'input' in fault && typeof fault.input === 'string' ? fault.input : undefined;
    return {
      ok: false,
      message: `The pattern is not valid (RE2): ${message}`,
      ...(fragment === undefined ? {} : { fragment }),
    };
  }
}

function match(compiled: RE2JS, instructions: number, subject: string, state: RunState): boolean | CelError {
  if (subject.length > state.limits.subjectLength)
    return tooLong('subject of `matches`', state.limits.subjectLength);
  return spend(state, (instructions * subject.length) >> 2) ? compiled.test(subject) : OVER_BUDGET;
}
