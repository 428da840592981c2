import { type Emitted, notCondition, type Result, type Run } from './emit-types.js';
import type { CelPosition } from './issue.js';

/**
 * `&&` and `||` decide by any operand that decides, whatever the others are: an error counts only where no operand
 * settles the answer.
 */
export function emitLogic<Frame>(
  operator: '&&' | '||',
  operands: readonly Emitted<Frame>[],
  position: CelPosition,
): Run<Frame> {
  const [first, second, third, fourth, ...more] = operands.map((operand) => operand.run);
  const decisive = operator === '||';
  if (first === undefined || second === undefined) return () => notCondition(null, position);
  if (third === undefined) return both(first, second, decisive, position);
  if (fourth === undefined) return three(first, second, third, decisive, position);
  if (more.length === 0) return four(first, second, third, fourth, decisive, position);
  return many(
    operands.map((operand) => operand.run),
    decisive,
    position,
  );
}

/** No operand decided: all of them agree, or the first that is no condition is the answer. */
function undecided(results: readonly Result[], decisive: boolean, position: CelPosition): Result {
  for (const result of results) if (result !== !decisive) return notCondition(result, position);
  return !decisive;
}

function both<Frame>(one: Run<Frame>, two: Run<Frame>, decisive: boolean, position: CelPosition): Run<Frame> {
  const other = !decisive;
  return (frame, state) => {
    const first = one(frame, state);
    if (first === decisive) return decisive;
    const second = two(frame, state);
    if (second === decisive) return decisive;
    return first === other && second === other ? other : undecided([first, second], decisive, position);
  };
}

function three<Frame>(
  one: Run<Frame>,
  two: Run<Frame>,
  three: Run<Frame>,
  decisive: boolean,
  position: CelPosition,
): Run<Frame> {
  const other = !decisive;
  return (frame, state) => {
    const first = one(frame, state);
    if (first === decisive) return decisive;
    const second = two(frame, state);
    if (second === decisive) return decisive;
    const third = three(frame, state);
    if (third === decisive) return decisive;
    return first === other && second === other && third === other
      ? other
      : undecided([first, second, third], decisive, position);
  };
}

function four<Frame>(
  one: Run<Frame>,
  two: Run<Frame>,
  three: Run<Frame>,
  four: Run<Frame>,
  decisive: boolean,
  position: CelPosition,
): Run<Frame> {
  const other = !decisive;
  return (frame, state) => {
    const first = one(frame, state);
    if (first === decisive) return decisive;
    const second = two(frame, state);
    if (second === decisive) return decisive;
    const third = three(frame, state);
    if (third === decisive) return decisive;
    const fourth = four(frame, state);
    if (fourth === decisive) return decisive;
    return first === other && second === other && third === other && fourth === other
      ? other
      : undecided([first, second, third, fourth], decisive, position);
  };
}

function many<Frame>(runs: readonly Run<Frame>[], decisive: boolean, position: CelPosition): Run<Frame> {
  const other = !decisive;
  return (frame, state) => {
    let fault: Result | undefined;
    for (const run of runs) {
      const result = run(frame, state);
      if (result === decisive) return decisive;
      if (result !== other) fault ??= result;
    }
    return fault === undefined ? other : notCondition(fault, position);
  };
}
