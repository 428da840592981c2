import { BOOL, type CelType, DOUBLE, DYN, INT, listOf, NULL, STRING } from '../cel/types.js';
import { isJsonObject, type JsonObject } from '../model/json.js';

const PRIMITIVES: Readonly<Record<string, CelType>> = {
  string: STRING,
  integer: INT,
  number: DOUBLE,
  boolean: BOOL,
  null: NULL,
};

export function objectType(attributes: Readonly<Record<string, CelType>>, additional?: CelType): CelType {
  const named = new Map(Object.entries(attributes));
  return { kind: 'object', attributes: named, ...(additional === undefined ? {} : { additional }) };
}

/**
 * What a JSON Schema says of a context part, for checking rules. An object with `properties` is taken as closed unless
 * `additionalProperties` opens it: a misspelt attribute in a rule is a mistake, not a wish.
 */
export function celTypeOfSchema(schema: JsonObject, depth = 0): CelType {
  const { type, properties, additionalProperties, items } = schema;
  if (depth > 20) return DYN;
  if (type === 'array') {
    const element = isJsonObject(items) ? celTypeOfSchema(items, depth + 1) : DYN;
    const list = listOf(element);
    return typeof schema.maxItems === 'number'
      ? { ...list, kind: 'list', element, maxItems: schema.maxItems }
      : list;
  }
  if (type === 'object' || (type === undefined && isJsonObject(properties))) {
    const attributes: Record<string, CelType> = {};
    for (const [name, member] of Object.entries(isJsonObject(properties) ? properties : {})) {
      attributes[name] = isJsonObject(member) ? celTypeOfSchema(member, depth + 1) : DYN;
    }
    if (isJsonObject(additionalProperties)) {
      return objectType(attributes, celTypeOfSchema(additionalProperties, depth + 1));
    }
    return additionalProperties === true || properties === undefined
      ? objectType(attributes, DYN)
      : objectType(attributes);
  }
  return (typeof type === 'string' ? PRIMITIVES[type] : undefined) ?? DYN;
}
