import { OVER_BUDGET, type RunState, spend, spendScan } from './run-state.js';
import {
  CelBytes,
  CelDuration,
  CelError,
  CelMap,
  type CelRecord,
  CelTimestamp,
  CelTypeValue,
  CelUint,
  type CelValue,
  isList,
  isRecord,
  kindOf,
  mapKey,
  selectKey,
} from './values.js';

/** Numbers of any type compare by value. */
export function numberOf(value: CelValue): number | bigint | undefined {
  if (typeof value === 'number' || typeof value === 'bigint') return value;
  return value instanceof CelUint ? value.value : undefined;
}

/** Ints meet doubles as doubles, so that 2^63 − 1 equals 2^63 as a double: what the reference implementation does. */
export function sameNumber(one: number | bigint, other: number | bigint): boolean {
  return typeof one === typeof other ? one === other : Number(one) === Number(other);
}

/** Values nested deeper are not compared: contexts are bounded far below. */
const DEEPEST_COMPARED = 64;

/** Heterogeneous equality: different kinds are unequal, numbers are equal by value, lists and maps by their parts. */
export function equals(one: CelValue, other: CelValue, state: RunState, depth = 0): boolean | CelError {
  if (typeof one === 'string' || typeof one === 'boolean' || one === null) return one === other;
  const number = numberOf(one);
  if (number !== undefined) {
    const second = numberOf(other);
    return second !== undefined && sameNumber(number, second);
  }
  return typeof other === 'object' && other !== null && equalObjects(one, other, state, depth);
}

function equalObjects(one: CelValue, other: CelValue, state: RunState, depth: number): boolean | CelError {
  if (one instanceof CelTimestamp || one instanceof CelDuration) {
    const same = one instanceof CelTimestamp ? other instanceof CelTimestamp : other instanceof CelDuration;
    return same && compareTimes(one, other as CelTimestamp | CelDuration) === 0;
  }
  if (one instanceof CelBytes) {
    return other instanceof CelBytes && equalBytes(one.octets, other.octets, state);
  }
  if (one instanceof CelTypeValue) return other instanceof CelTypeValue && one.name === other.name;
  if (depth > DEEPEST_COMPARED)
    return new CelError('SIZE_LIMIT', 'The values are nested too deep to be compared');
  if (isList(one)) return isList(other) && equalLists(one, other, state, depth);
  if (one instanceof CelUint || kindOf(one) !== 'map' || kindOf(other) !== 'map') return false;
  return equalMaps(one as CelMap | CelRecord, other as CelMap | CelRecord, state, depth);
}

function equalBytes(one: Uint8Array, other: Uint8Array, state: RunState): boolean | CelError {
  if (one.length !== other.length) return false;
  return spendScan(state, one.length) ? compareBytes(one, other) === 0 : OVER_BUDGET;
}

function equalLists(
  one: readonly CelValue[],
  other: readonly CelValue[],
  state: RunState,
  depth: number,
): boolean | CelError {
  if (one.length !== other.length) return false;
  for (const [index, element] of one.entries()) {
    if (!spend(state, 1)) return OVER_BUDGET;
    const same = equals(element, other[index] ?? null, state, depth + 1);
    if (same !== true) return same;
  }
  return true;
}

function equalMaps(
  one: CelMap | CelRecord,
  other: CelMap | CelRecord,
  state: RunState,
  depth: number,
): boolean | CelError {
  const entries = entriesOf(one);
  if (entries.length !== sizeOfMap(other)) return false;
  for (const [key, value] of entries) {
    if (!spend(state, 1)) return OVER_BUDGET;
    const second = valueUnder(other, key);
    if (second === undefined) return false;
    const same = equals(value, second, state, depth + 1);
    if (same !== true) return same;
  }
  return true;
}

export function sizeOfMap(map: CelMap | CelRecord): number {
  return map instanceof CelMap ? map.entries.size : Object.keys(map).length;
}

export function entriesOf(map: CelMap | CelRecord): readonly (readonly [CelValue, CelValue])[] {
  return map instanceof CelMap ? [...map.entries.values()] : Object.entries(map);
}

export function keysOf(map: CelMap | CelRecord): readonly CelValue[] {
  return map instanceof CelMap ? [...map.entries.values()].map(([key]) => key) : Object.keys(map);
}

/** `undefined` when the map has no such key. */
export function valueUnder(map: CelMap | CelRecord, key: CelValue): CelValue | undefined {
  if (map instanceof CelMap) return map.get(key);
  return typeof key === 'string' ? (selectKey(map, key) as CelValue | undefined) : undefined;
}

export function compareTimes(one: CelTimestamp | CelDuration, other: CelTimestamp | CelDuration): number {
  return one.seconds - other.seconds || one.nanos - other.nanos;
}

function compareBytes(one: Uint8Array, other: Uint8Array): number {
  const length = Math.min(one.length, other.length);
  for (let index = 0; index < length; index += 1) {
    const difference = (one[index] ?? 0) - (other[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return one.length - other.length;
}

/** By code point. JavaScript orders by UTF-16 units, which differs where a surrogate meets U+E000 to U+FFFF. */
function compareStrings(one: string, other: string): number {
  const length = Math.min(one.length, other.length);
  for (let index = 0; index < length; index += 1) {
    const first = one.charCodeAt(index);
    const second = other.charCodeAt(index);
    if (first !== second) return codePointRank(first) - codePointRank(second);
  }
  return one.length - other.length;
}

function codePointRank(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit;
}

/** Negative, zero or positive; NaN when a NaN takes part; `undefined` when the kinds have no common order. */
function order(one: CelValue, other: CelValue, state: RunState): number | undefined | CelError {
  if (typeof one === 'string' && typeof other === 'string') {
    return spendScan(state, Math.min(one.length, other.length)) ? compareStrings(one, other) : OVER_BUDGET;
  }
  if (typeof one === 'boolean' && typeof other === 'boolean') return Number(one) - Number(other);
  if (one instanceof CelTimestamp && other instanceof CelTimestamp) return compareTimes(one, other);
  if (one instanceof CelDuration && other instanceof CelDuration) return compareTimes(one, other);
  if (one instanceof CelBytes && other instanceof CelBytes) {
    const length = Math.min(one.octets.length, other.octets.length);
    return spendScan(state, length) ? compareBytes(one.octets, other.octets) : OVER_BUDGET;
  }
  const first = numberOf(one);
  const second = numberOf(other);
  if (first === undefined || second === undefined) return undefined;
  if (sameNumber(first, second)) return 0;
  const [low, high] = typeof first === typeof second ? [first, second] : [Number(first), Number(second)];
  return low < high ? -1 : low > high ? 1 : Number.NaN;
}

export type OrderOperator = '<' | '<=' | '>' | '>=';

export function compare(
  operator: OrderOperator,
  one: CelValue,
  other: CelValue,
  state: RunState,
): boolean | CelError {
  const result = order(one, other, state);
  if (result instanceof CelError) return result;
  if (result === undefined) return noOverload(operator, one, other);
  switch (operator) {
    case '<':
      return result < 0;
    case '<=':
      return result <= 0;
    case '>':
      return result > 0;
    case '>=':
      return result >= 0;
  }
}

export function noOverload(name: string, ...args: readonly unknown[]): CelError {
  const kinds = args.map((value) => `\`${kindOf(value)}\``).join(' and ');
  return new CelError('NO_SUCH_OVERLOAD', `\`${name}\` is not defined for ${kinds}`);
}

/** `needle in haystack`. */
export function contains(needle: CelValue, haystack: CelValue, state: RunState): boolean | CelError {
  if (isList(haystack)) return listContains(needle, haystack, state);
  // Looking a text up reads all of it once.
  if (typeof needle === 'string' && !spendScan(state, needle.length)) return OVER_BUDGET;
  if (haystack instanceof CelMap) return mapKey(needle) !== undefined && haystack.get(needle) !== undefined;
  if (isRecord(haystack)) return valueUnder(haystack, needle) !== undefined;
  return noOverload('in', needle, haystack);
}

function listContains(needle: CelValue, list: readonly CelValue[], state: RunState): boolean | CelError {
  if (!spend(state, list.length >> 3)) return OVER_BUDGET;
  if (typeof needle === 'string') return list.includes(needle);
  for (const element of list) {
    const same = equals(element, needle, state);
    if (same !== false) return same;
  }
  return false;
}
