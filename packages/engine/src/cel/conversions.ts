import { noOverload } from './compare.js';
import { fitsInt, fitsUint } from './literals.js';
import { formatDuration, formatTimestamp, makeTimestamp, parseDuration, parseTimestamp } from './time.js';
import { decodeUtf8, encodeUtf8 } from './utf8.js';
import {
  CelBytes,
  CelDuration,
  CelError,
  CelTimestamp,
  CelTypeValue,
  CelUint,
  type CelValue,
} from './values.js';

type Result = CelValue | CelError;

function notA(type: string, text: string): CelError {
  return new CelError('INVALID_ARGUMENT', `\`${text.slice(0, 64)}\` is not a ${type}`);
}

function outOfRange(type: string): CelError {
  return new CelError('OVERFLOW', `The value is out of the range of ${type}`);
}

export function toInt(value: CelValue): Result {
  if (typeof value === 'bigint') return value;
  if (typeof value === 'number') {
    // Both bounds are excluded: as doubles they cannot be told from their neighbours outside.
    return value > -(2 ** 63) && value < 2 ** 63 ? BigInt(Math.trunc(value)) : outOfRange('int');
  }
  if (typeof value === 'string') {
    if (!/^[+-]?\d{1,40}$/.test(value)) return notA('int', value);
    const parsed = BigInt(value.replace('+', ''));
    return fitsInt(parsed) ? parsed : outOfRange('int');
  }
  if (value instanceof CelUint) return fitsInt(value.value) ? value.value : outOfRange('int');
  if (value instanceof CelTimestamp) return BigInt(value.seconds);
  if (value instanceof CelDuration) return value.toNanos() / 1_000_000_000n;
  return noOverload('int', value);
}

export function toUint(value: CelValue): Result {
  if (value instanceof CelUint) return value;
  if (typeof value === 'bigint') return fitsUint(value) ? new CelUint(value) : outOfRange('uint');
  if (typeof value === 'number') {
    return value >= 0 && value < 2 ** 64 ? new CelUint(BigInt(Math.trunc(value))) : outOfRange('uint');
  }
  if (typeof value === 'string') {
    if (!/^\d{1,40}$/.test(value)) return notA('uint', value);
    const parsed = BigInt(value);
    return fitsUint(parsed) ? new CelUint(parsed) : outOfRange('uint');
  }
  return noOverload('uint', value);
}

const SPECIAL_DOUBLES: Readonly<Record<string, number>> = {
  nan: Number.NaN,
  inf: Number.POSITIVE_INFINITY,
  '+inf': Number.POSITIVE_INFINITY,
  '-inf': Number.NEGATIVE_INFINITY,
  infinity: Number.POSITIVE_INFINITY,
  '+infinity': Number.POSITIVE_INFINITY,
  '-infinity': Number.NEGATIVE_INFINITY,
};

export function toDouble(value: CelValue): Result {
  if (typeof value === 'number') return value;
  if (typeof value === 'bigint') return Number(value);
  if (value instanceof CelUint) return Number(value.value);
  if (typeof value !== 'string') return noOverload('double', value);
  const lower = value.length <= 16 ? value.toLowerCase() : '';
  if (Object.hasOwn(SPECIAL_DOUBLES, lower)) return SPECIAL_DOUBLES[lower] ?? Number.NaN;
  const readable = value.length <= 400 && /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/.test(value);
  const parsed = readable ? Number(value) : Number.NaN;
  return Number.isFinite(parsed) ? parsed : notA('double', value);
}

export function formatDouble(value: number): string {
  return Object.is(value, -0) ? '-0' : String(value);
}

/** Costs the length of bytes, which is bounded because only expressions make them. */
export function toText(value: CelValue): Result {
  switch (typeof value) {
    case 'string':
      return value;
    case 'number':
      return formatDouble(value);
    case 'bigint':
    case 'boolean':
      return String(value);
    default:
      break;
  }
  if (value instanceof CelUint) return String(value.value);
  if (value instanceof CelTimestamp) return formatTimestamp(value);
  if (value instanceof CelDuration) return formatDuration(value);
  if (value instanceof CelBytes) {
    return decodeUtf8(value.octets) ?? new CelError('INVALID_ARGUMENT', 'The bytes are not UTF-8');
  }
  return noOverload('string', value);
}

export function toBytes(value: CelValue): Result {
  if (value instanceof CelBytes) return value;
  return typeof value === 'string' ? new CelBytes(encodeUtf8(value)) : noOverload('bytes', value);
}

const TRUE_TEXTS: ReadonlySet<string> = new Set(['1', 't', 'true', 'TRUE', 'True']);
const FALSE_TEXTS: ReadonlySet<string> = new Set(['0', 'f', 'false', 'FALSE', 'False']);

export function toBool(value: CelValue): Result {
  if (typeof value === 'boolean') return value;
  if (typeof value !== 'string') return noOverload('bool', value);
  if (TRUE_TEXTS.has(value)) return true;
  return FALSE_TEXTS.has(value) ? false : notA('bool', value);
}

export function toTimestamp(value: CelValue): Result {
  if (value instanceof CelTimestamp) return value;
  if (typeof value === 'string') return parseTimestamp(value);
  return typeof value === 'bigint' ? makeTimestamp(Number(value), 0) : noOverload('timestamp', value);
}

export function toDuration(value: CelValue): Result {
  if (value instanceof CelDuration) return value;
  return typeof value === 'string' ? parseDuration(value) : noOverload('duration', value);
}

/** `type(x)`, given the name that CEL has for the kind. */
export function typeValue(name: string): CelTypeValue {
  return new CelTypeValue(name);
}
