import type { CelPosition } from './issue.js';
import type { MemberReader } from './member-reader.js';

/**
 * Values of CEL as JavaScript holds them. JSON is a CEL value as it stands (numbers are doubles, objects are maps with
 * string keys), so that a context is read without copying; what JSON lacks has a type of its own.
 */
export type CelValue =
  | boolean
  | null
  | string
  /** double */
  | number
  /** int, within 64 bits */
  | bigint
  | CelUint
  | CelBytes
  | CelTimestamp
  | CelDuration
  | CelTypeValue
  | CelMap
  | readonly CelValue[]
  | CelRecord;

/** A map with string keys. Only its own properties are its entries. */
export interface CelRecord {
  readonly [key: string]: CelValue;
}

export type CelErrorCode =
  | 'NO_SUCH_ATTRIBUTE'
  | 'NO_SUCH_VARIABLE'
  | 'NO_SUCH_FUNCTION'
  | 'NO_SUCH_KEY'
  | 'NO_SUCH_OVERLOAD'
  | 'ATTRIBUTE_TYPE'
  | 'INDEX_OUT_OF_RANGE'
  | 'INVALID_ARGUMENT'
  | 'DIVIDE_BY_ZERO'
  | 'OVERFLOW'
  | 'SIZE_LIMIT'
  | 'COST_LIMIT'
  | 'HOST_FAILED';

/**
 * What all values have in common that are neither JSON nor JavaScript's own: their properties are never attributes,
 * even where an expression names them.
 */
abstract class CelObject {}

/** What an evaluation gives when it has no value. Never thrown, never a match. */
export class CelError extends CelObject {
  readonly code: CelErrorCode;
  readonly message: string;
  /** Where in the expression, if known. */
  readonly position: CelPosition | undefined;
  /** A code of the host's own, for errors that a host function returns. */
  readonly detail: string | undefined;

  constructor(code: CelErrorCode, message: string, position?: CelPosition, detail?: string) {
    super();
    this.code = code;
    this.message = message;
    this.position = position;
    this.detail = detail;
  }

  /** The same error with its place, unless it has one. */
  at(position: CelPosition): CelError {
    return this.position === undefined ? new CelError(this.code, this.message, position, this.detail) : this;
  }
}

export class CelUint extends CelObject {
  readonly value: bigint;
  constructor(value: bigint) {
    super();
    this.value = value;
  }
}

export class CelBytes extends CelObject {
  readonly octets: Uint8Array;
  constructor(octets: Uint8Array) {
    super();
    this.octets = octets;
  }
}

const NANOS_PER_SECOND = 1_000_000_000;

/** Seconds since 1970-01-01T00:00:00Z and nanoseconds in [0, 10^9) above them. */
export class CelTimestamp extends CelObject {
  readonly seconds: number;
  readonly nanos: number;

  constructor(seconds: number, nanos: number) {
    super();
    this.seconds = seconds;
    this.nanos = nanos;
  }

  /** From milliseconds since the epoch. */
  static fromMilliseconds(milliseconds: number): CelTimestamp {
    const seconds = Math.floor(milliseconds / 1000);
    return new CelTimestamp(seconds, Math.floor(milliseconds - seconds * 1000) * 1_000_000);
  }

  toMilliseconds(): number {
    return this.seconds * 1000 + Math.floor(this.nanos / 1_000_000);
  }
}

/** Floor seconds and nanoseconds in [0, 10^9) above them: −0.5 s is −1 s + 500,000,000 ns. */
export class CelDuration extends CelObject {
  readonly seconds: number;
  readonly nanos: number;

  constructor(seconds: number, nanos: number) {
    super();
    this.seconds = seconds;
    this.nanos = nanos;
  }

  static fromNanos(total: bigint): CelDuration {
    const perSecond = BigInt(NANOS_PER_SECOND);
    const nanos = ((total % perSecond) + perSecond) % perSecond;
    return new CelDuration(Number((total - nanos) / perSecond), Number(nanos));
  }

  toNanos(): bigint {
    return BigInt(this.seconds) * BigInt(NANOS_PER_SECOND) + BigInt(this.nanos);
  }
}

/** A type as a value: `type(1) == int`. */
export class CelTypeValue extends CelObject {
  readonly name: string;
  constructor(name: string) {
    super();
    this.name = name;
  }
}

/** One canonical text per key, so that `1`, `1u` and `1.0` find the same entry. `undefined`: no map has such a key. */
export function mapKey(key: CelValue): string | undefined {
  switch (typeof key) {
    case 'string':
      return `s${key}`;
    case 'boolean':
      return key ? 'true' : 'false';
    case 'bigint':
      return `${key}`;
    case 'number':
      return Number.isInteger(key) ? `${BigInt(key)}` : undefined;
    default:
      return key instanceof CelUint ? `${key.value}` : undefined;
  }
}

/** A map whose keys are not all strings, or that an expression made. */
export class CelMap extends CelObject {
  readonly entries: ReadonlyMap<string, readonly [CelValue, CelValue]>;

  constructor(entries: ReadonlyMap<string, readonly [CelValue, CelValue]>) {
    super();
    this.entries = entries;
  }

  get(key: CelValue): CelValue | undefined {
    const name = mapKey(key);
    return name === undefined ? undefined : this.entries.get(name)?.[1];
  }
}

export type CelKind =
  | 'bool'
  | 'null'
  | 'string'
  | 'double'
  | 'int'
  | 'uint'
  | 'bytes'
  | 'timestamp'
  | 'duration'
  | 'type'
  | 'list'
  | 'map'
  | 'unknown';

/** `unknown` is what no CEL value is: `undefined`, functions, symbols. */
export function kindOf(value: unknown): CelKind {
  switch (typeof value) {
    case 'string':
      return 'string';
    case 'number':
      return 'double';
    case 'boolean':
      return 'bool';
    case 'bigint':
      return 'int';
    case 'object':
      return value === null ? 'null' : kindOfObject(value);
    default:
      return 'unknown';
  }
}

function kindOfObject(value: object): CelKind {
  if (Array.isArray(value)) return 'list';
  if (!(value instanceof CelObject)) return 'map';
  if (value instanceof CelMap) return 'map';
  if (value instanceof CelTimestamp) return 'timestamp';
  if (value instanceof CelDuration) return 'duration';
  if (value instanceof CelUint) return 'uint';
  if (value instanceof CelBytes) return 'bytes';
  return value instanceof CelTypeValue ? 'type' : 'unknown';
}

export function isList(value: unknown): value is readonly CelValue[] {
  return Array.isArray(value);
}

/** A map that is held as a JSON object. */
export function isRecord(value: unknown): value is CelRecord {
  return (
    typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof CelObject)
  );
}

/**
 * The value under a string key of a map in either form; `undefined` when absent or when this is not a map.
 * INVARIANT: only own properties are read; `constructor` and `__proto__` are names like any other.
 */
export function selectKey(value: unknown, key: string): unknown {
  if (isRecord(value)) return Object.hasOwn(value, key) ? value[key] : undefined;
  return value instanceof CelMap ? value.get(key) : undefined;
}

/** Names that some object here has without being asked: inherited ones, and the fields of the classes above. */
const TAKEN_NAMES: ReadonlySet<string> = new Set([
  ...[Object, Array, CelMap, CelTimestamp, CelDuration].flatMap(({ prototype }) =>
    Object.getOwnPropertyNames(prototype),
  ),
  ...[
    'at',
    'code',
    'detail',
    'entries',
    'message',
    'name',
    'nanos',
    'octets',
    'position',
    'seconds',
    'value',
  ],
]);

/** Whether no value of CEL that is not JSON has a field of that name, so that any object may be asked for it. */
export function isFreeName(name: string): boolean {
  return !TAKEN_NAMES.has(name) && !/^\d/.test(name);
}

/** A member by a free name; maps that are no JSON objects answer `undefined` too. */
export function memberOf(value: unknown, member: MemberReader): unknown {
  return typeof value === 'object' && value !== null ? member(value as Record<string, unknown>) : undefined;
}

/** The names that CEL gives types in `type(x)`. */
export const TYPE_NAMES: Readonly<Record<CelKind, string>> = {
  bool: 'bool',
  null: 'null_type',
  string: 'string',
  double: 'double',
  int: 'int',
  uint: 'uint',
  bytes: 'bytes',
  timestamp: 'google.protobuf.Timestamp',
  duration: 'google.protobuf.Duration',
  type: 'type',
  list: 'list',
  map: 'map',
  unknown: 'unknown',
};

export function typeNameOf(value: unknown): string {
  return TYPE_NAMES[kindOf(value)];
}
