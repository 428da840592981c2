import { isJsonObject, type JsonObject, type JsonValue } from '@pennon/engine/model/json';

/* Reads what others wrote: every member may be absent, of another type, or older than what is documented today. */

export function objectOf(value: JsonValue | undefined): JsonObject | null {
  return value !== undefined && isJsonObject(value) ? value : null;
}

export function listOf(value: JsonValue | undefined): readonly JsonValue[] {
  return Array.isArray(value) ? value : [];
}

/** A text that the store can keep; no id, key or name that means anything holds a NUL. */
export function textOf(value: JsonValue | undefined): string | null {
  return typeof value === 'string' && value !== '' && !value.includes('\u0000') ? value : null;
}

/** An id, or the object that was put in its place (expanded). */
export function idOf(value: JsonValue | undefined): string | null {
  return textOf(value) ?? textOf(objectOf(value)?.id);
}

/** Seconds since 1970, as milliseconds. */
export function instantOf(value: JsonValue | undefined): number | null {
  const isSeconds = typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value < 8e12;
  return isSeconds ? value * 1000 : null;
}

/** An RFC 3339 text, as milliseconds. */
export function instantOfText(value: JsonValue | undefined): number | null {
  const at = typeof value === 'string' ? Date.parse(value) : Number.NaN;
  return Number.isNaN(at) ? null : at;
}
