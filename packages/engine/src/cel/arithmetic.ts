import { noOverload } from './compare.js';
import { fitsInt, fitsUint } from './literals.js';
import { OVER_BUDGET, type RunState, spend, spendScan, tooLong } from './run-state.js';
import { makeDuration, makeTimestamp } from './time.js';
import { CelBytes, CelDuration, CelError, CelTimestamp, CelUint, type CelValue, isList } from './values.js';

type Result = CelValue | CelError;
export type ArithmeticOperator = '+' | '-' | '*' | '/' | '%';

function int(value: bigint): Result {
  return fitsInt(value) ? value : new CelError('OVERFLOW', 'The int leaves 64 bits');
}

function uint(value: bigint): Result {
  return fitsUint(value)
    ? new CelUint(value)
    : new CelError('OVERFLOW', 'The uint leaves 64 bits or is negative');
}

export function arithmetic(
  operator: ArithmeticOperator,
  left: CelValue,
  right: CelValue,
  state: RunState,
): Result {
  if (typeof left === 'bigint' && typeof right === 'bigint') {
    const result = integers(operator, left, right);
    return typeof result === 'bigint' ? int(result) : result;
  }
  if (typeof left === 'number' && typeof right === 'number') return doubles(operator, left, right);
  if (left instanceof CelUint && right instanceof CelUint) {
    const result = integers(operator, left.value, right.value);
    return typeof result === 'bigint' ? uint(result) : result;
  }
  if (operator === '+') return add(left, right, state);
  if (operator === '-') return subtract(left, right);
  return noOverload(operator, left, right);
}

function integers(operator: ArithmeticOperator, left: bigint, right: bigint): bigint | CelError {
  switch (operator) {
    case '+':
      return left + right;
    case '-':
      return left - right;
    case '*':
      return left * right;
    case '/':
      return right === 0n ? new CelError('DIVIDE_BY_ZERO', 'Division by zero') : left / right;
    case '%':
      return right === 0n ? new CelError('DIVIDE_BY_ZERO', 'Remainder of a division by zero') : left % right;
  }
}

function doubles(operator: ArithmeticOperator, left: number, right: number): Result {
  switch (operator) {
    case '+':
      return left + right;
    case '-':
      return left - right;
    case '*':
      return left * right;
    case '/':
      return left / right;
    case '%':
      return noOverload(operator, left, right);
  }
}

function add(left: CelValue, right: CelValue, state: RunState): Result {
  if (typeof left === 'string' && typeof right === 'string') return concatenate(left, right, state);
  if (isList(left) && isList(right)) return concatenateLists(left, right, state);
  if (left instanceof CelTimestamp && right instanceof CelDuration) {
    return makeTimestamp(left.seconds + right.seconds, left.nanos + right.nanos);
  }
  if (left instanceof CelDuration && right instanceof CelTimestamp) return add(right, left, state);
  if (left instanceof CelDuration && right instanceof CelDuration) {
    return makeDuration(left.seconds + right.seconds, left.nanos + right.nanos);
  }
  if (left instanceof CelBytes && right instanceof CelBytes)
    return concatenateBytes(left.octets, right.octets, state);
  return noOverload('+', left, right);
}

function concatenate(left: string, right: string, state: RunState): Result {
  const length = left.length + right.length;
  if (length > state.limits.stringLength) return tooLong('string', state.limits.stringLength);
  return spendScan(state, length) ? left + right : OVER_BUDGET;
}

function concatenateLists(left: readonly CelValue[], right: readonly CelValue[], state: RunState): Result {
  const length = left.length + right.length;
  if (length > state.limits.listLength) return tooLong('list', state.limits.listLength);
  return spend(state, length >> 3) ? [...left, ...right] : OVER_BUDGET;
}

function concatenateBytes(left: Uint8Array, right: Uint8Array, state: RunState): Result {
  const length = left.length + right.length;
  if (length > state.limits.stringLength) return tooLong('bytes', state.limits.stringLength);
  if (!spendScan(state, length)) return OVER_BUDGET;
  const octets = new Uint8Array(length);
  octets.set(left, 0);
  octets.set(right, left.length);
  return new CelBytes(octets);
}

function subtract(left: CelValue, right: CelValue): Result {
  if (left instanceof CelTimestamp && right instanceof CelTimestamp) {
    return makeDuration(left.seconds - right.seconds, left.nanos - right.nanos);
  }
  if (left instanceof CelTimestamp && right instanceof CelDuration) {
    return makeTimestamp(left.seconds - right.seconds, left.nanos - right.nanos);
  }
  if (left instanceof CelDuration && right instanceof CelDuration) {
    return makeDuration(left.seconds - right.seconds, left.nanos - right.nanos);
  }
  return noOverload('-', left, right);
}

export function negate(value: CelValue): Result {
  if (typeof value === 'number') return -value;
  if (typeof value === 'bigint') return int(-value);
  return noOverload('-', value);
}

/** `operand[index]`. */
export function elementAt(list: readonly CelValue[], index: CelValue): Result {
  const position =
    index instanceof CelUint ? Number(index.value) : typeof index === 'bigint' ? Number(index) : index;
  if (typeof position !== 'number' || !Number.isInteger(position)) return noOverload('[]', list, index);
  const element = position >= 0 ? list[position] : undefined;
  if (element !== undefined) return element;
  return new CelError(
    'INDEX_OUT_OF_RANGE',
    `The list has ${list.length} elements; there is none at ${position}`,
  );
}
