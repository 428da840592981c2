import { type Emitted, notCondition, type Result, type Run } from './emit-types.js';
import type { CelPosition } from './issue.js';

/*
 * `&&` and `||` decide by any operand that decides, whatever the others are: an error counts only where no operand
 * settles the answer. Both are written out for few operands, and compare with the literals `true` and `false`: that is
 * one machine comparison, where comparing with a variable is a call.
 */
export function emitLogic<Frame>(
  operator: '&&' | '||',
  operands: readonly Emitted<Frame>[],
  position: CelPosition,
): Run<Frame> {
  const runs = operands.map((operand) => operand.run);
  return operator === '&&' ? conjunction(runs, position) : disjunction(runs, position);
}

function conjunction<Frame>(runs: readonly Run<Frame>[], position: CelPosition): Run<Frame> {
  const [first, second, third, fourth, ...more] = runs;
  if (first === undefined || second === undefined || more.length > 0) return all(runs, position);
  if (third === undefined) return two(first, second, position);
  if (fourth === undefined) return three(first, second, third, position);
  return four(first, second, third, fourth, position);
}

function disjunction<Frame>(runs: readonly Run<Frame>[], position: CelPosition): Run<Frame> {
  const [first, second, third, ...more] = runs;
  if (first === undefined || second === undefined || more.length > 0) return any(runs, position);
  return third === undefined
    ? eitherOfTwo(first, second, position)
    : eitherOfThree(first, second, third, position);
}

/** No operand decided, and one of them is no condition: the first such is the answer. */
function fault(decided: boolean, results: readonly Result[], position: CelPosition): Result {
  return notCondition(results.find((result) => result !== decided) ?? null, position);
}

function two<Frame>(a: Run<Frame>, b: Run<Frame>, position: CelPosition): Run<Frame> {
  return (frame, state) => {
    const first = a(frame, state);
    if (first === false) return false;
    const second = b(frame, state);
    if (second === false) return false;
    return first === true && second === true ? true : fault(true, [first, second], position);
  };
}

function three<Frame>(a: Run<Frame>, b: Run<Frame>, c: Run<Frame>, position: CelPosition): Run<Frame> {
  return (frame, state) => {
    const first = a(frame, state);
    if (first === false) return false;
    const second = b(frame, state);
    if (second === false) return false;
    const third = c(frame, state);
    if (third === false) return false;
    if (first === true && second === true && third === true) return true;
    return fault(true, [first, second, third], position);
  };
}

function four<Frame>(
  a: Run<Frame>,
  b: Run<Frame>,
  c: Run<Frame>,
  d: Run<Frame>,
  position: CelPosition,
): Run<Frame> {
  return (frame, state) => {
    const first = a(frame, state);
    if (first === false) return false;
    const second = b(frame, state);
    if (second === false) return false;
    const third = c(frame, state);
    if (third === false) return false;
    const fourth = d(frame, state);
    if (fourth === false) return false;
    if (first === true && second === true && third === true && fourth === true) return true;
    return fault(true, [first, second, third, fourth], position);
  };
}

function all<Frame>(runs: readonly Run<Frame>[], position: CelPosition): Run<Frame> {
  return (frame, state) => {
    let unfit: Result = true;
    for (const run of runs) {
      const result = run(frame, state);
      if (result === false) return false;
      if (result !== true && unfit === true) unfit = result;
    }
    return unfit === true ? true : notCondition(unfit, position);
  };
}

function eitherOfTwo<Frame>(a: Run<Frame>, b: Run<Frame>, position: CelPosition): Run<Frame> {
  return (frame, state) => {
    const first = a(frame, state);
    if (first === true) return true;
    const second = b(frame, state);
    if (second === true) return true;
    return first === false && second === false ? false : fault(false, [first, second], position);
  };
}

function eitherOfThree<Frame>(
  a: Run<Frame>,
  b: Run<Frame>,
  c: Run<Frame>,
  position: CelPosition,
): Run<Frame> {
  return (frame, state) => {
    const first = a(frame, state);
    if (first === true) return true;
    const second = b(frame, state);
    if (second === true) return true;
    const third = c(frame, state);
    if (third === true) return true;
    if (first === false && second === false && third === false) return false;
    return fault(false, [first, second, third], position);
  };
}

function any<Frame>(runs: readonly Run<Frame>[], position: CelPosition): Run<Frame> {
  return (frame, state) => {
    let unfit: Result = false;
    for (const run of runs) {
      const result = run(frame, state);
      if (result === true) return true;
      if (result !== false && unfit === false) unfit = result;
    }
    return unfit === false ? false : notCondition(unfit, position);
  };
}
