import type { BinaryOperator } from './ast.js';
import { BOOL, type CelType, DURATION, DYN, listOf, mapOf, STRING, TIMESTAMP } from './types.js';

export function isNumeric(type: CelType): boolean {
  return type.kind === 'int' || type.kind === 'uint' || type.kind === 'double';
}

function isMapLike(type: CelType): boolean {
  return type.kind === 'map' || type.kind === 'object';
}

/** Whether a value of one type may be given where another is asked for. `dyn` is found out when it is there. */
export function isAssignable(actual: CelType, expected: CelType): boolean {
  if (actual.kind === 'dyn' || expected.kind === 'dyn') return true;
  if (actual.kind === 'list' && expected.kind === 'list')
    return isAssignable(actual.element, expected.element);
  if (actual.kind === 'map' && expected.kind === 'map') {
    return isAssignable(actual.key, expected.key) && isAssignable(actual.value, expected.value);
  }
  if (isMapLike(actual) && isMapLike(expected)) return true;
  return actual.kind === expected.kind;
}

/** Whether `==` may stand between them: the same kind, or numbers, which are equal by value. */
export function isComparable(one: CelType, other: CelType): boolean {
  if (isNumeric(one) && isNumeric(other)) return true;
  if (one.kind === 'list' && other.kind === 'list') return isComparable(one.element, other.element);
  if (one.kind === 'map' && other.kind === 'map') {
    return isComparable(one.key, other.key) && isComparable(one.value, other.value);
  }
  return isAssignable(one, other);
}

/** The type of a value that is of one type or of the other. */
export function joinTypes(one: CelType, other: CelType): CelType {
  if (one.kind === 'list' && other.kind === 'list') return listOf(joinTypes(one.element, other.element));
  if (one.kind === 'map' && other.kind === 'map') {
    return mapOf(joinTypes(one.key, other.key), joinTypes(one.value, other.value));
  }
  return one.kind === other.kind && one.kind !== 'object' ? one : one === other ? one : DYN;
}

const ORDERED: ReadonlySet<string> = new Set(['bool', 'string', 'bytes', 'timestamp', 'duration']);

function orderedTogether(one: CelType, other: CelType): boolean {
  if (isNumeric(one) && isNumeric(other)) return true;
  if (one.kind === 'dyn') return other.kind === 'dyn' || isNumeric(other) || ORDERED.has(other.kind);
  if (other.kind === 'dyn') return isNumeric(one) || ORDERED.has(one.kind);
  return one.kind === other.kind && ORDERED.has(one.kind);
}

function sum(left: CelType, right: CelType): CelType | undefined {
  if (left.kind === 'list' && right.kind === 'list') return joinTypes(left, right);
  if (left.kind === 'timestamp' && right.kind === 'duration') return TIMESTAMP;
  if (left.kind === 'duration' && right.kind === 'timestamp') return TIMESTAMP;
  const same = left.kind === right.kind;
  return same && (isNumeric(left) || ['string', 'bytes', 'duration'].includes(left.kind)) ? left : undefined;
}

function difference(left: CelType, right: CelType): CelType | undefined {
  if (left.kind === 'timestamp' && right.kind === 'timestamp') return DURATION;
  if (left.kind === 'timestamp' && right.kind === 'duration') return TIMESTAMP;
  return left.kind === right.kind && (isNumeric(left) || left.kind === 'duration') ? left : undefined;
}

const NEVER_CALCULATED: ReadonlySet<string> = new Set(['bool', 'null', 'map', 'object', 'type']);

function arithmeticType(
  operator: '+' | '-' | '*' | '/' | '%',
  left: CelType,
  right: CelType,
): CelType | undefined {
  if (left.kind === 'dyn' || right.kind === 'dyn') {
    return NEVER_CALCULATED.has(left.kind) || NEVER_CALCULATED.has(right.kind) ? undefined : DYN;
  }
  switch (operator) {
    case '+':
      return sum(left, right);
    case '-':
      return difference(left, right);
    case '*':
    case '/':
      return left.kind === right.kind && isNumeric(left) ? left : undefined;
    case '%':
      return left.kind === right.kind && isNumeric(left) && left.kind !== 'double' ? left : undefined;
  }
}

function membershipType(needle: CelType, haystack: CelType): CelType | undefined {
  switch (haystack.kind) {
    case 'dyn':
      return BOOL;
    case 'list':
      return isComparable(needle, haystack.element) ? BOOL : undefined;
    case 'map':
      return isComparable(needle, haystack.key) ? BOOL : undefined;
    case 'object':
      return isAssignable(needle, STRING) ? BOOL : undefined;
    default:
      return undefined;
  }
}

/** What an operator gives for operands of these types; `undefined` when it is not defined for them. */
export function binaryType(operator: BinaryOperator, left: CelType, right: CelType): CelType | undefined {
  switch (operator) {
    case '==':
    case '!=':
      return isComparable(left, right) ? BOOL : undefined;
    case '<':
    case '<=':
    case '>':
    case '>=':
      return orderedTogether(left, right) ? BOOL : undefined;
    case 'in':
      return membershipType(left, right);
    default:
      return arithmeticType(operator, left, right);
  }
}
