/** A value as JSON carries it. Engine values never hold `undefined`. */
export type JsonValue = string | number | boolean | null | readonly JsonValue[] | JsonObject;

export interface JsonObject {
  readonly [key: string]: JsonValue;
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * An own member of a JSON object. What an object inherits are functions, which JSON never holds, and `__proto__`; looking at the value
 * is several times cheaper than asking whether the member is its own, and this is asked in every rule.
 */
export function ownMember(object: JsonObject, name: string): JsonValue | undefined {
  const value = object[name];
  if (typeof value === 'function') return undefined;
  return name === '__proto__' && !Object.hasOwn(object, name) ? undefined : value;
}
