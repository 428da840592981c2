/** The names that a JSON Schema knows at a place of an instance, to suggest one where a member is misspelt. */
export function propertyNamesAt(schema: unknown, instancePath: string): readonly string[] {
  let places: readonly unknown[] = [schema];
  for (const part of instancePath.split('/').slice(1)) {
    places = places.flatMap(alternatives).flatMap((place) => below(place, part));
  }
  const names = places
    .flatMap(alternatives)
    .flatMap((place) => Object.keys(recordOf(place, 'properties') ?? {}));
  return [...new Set(names)];
}

function alternatives(schema: unknown): readonly unknown[] {
  const nested = ['anyOf', 'oneOf', 'allOf'].flatMap((word) => {
    const list = (schema as Record<string, unknown> | null)?.[word];
    return Array.isArray(list) ? list.flatMap(alternatives) : [];
  });
  return [schema, ...nested];
}

function below(schema: unknown, part: string): readonly unknown[] {
  const property = recordOf(schema, 'properties')?.[part];
  if (property !== undefined) {
    return [property];
  }
  const { items } = (schema ?? {}) as { readonly items?: unknown };
  return items !== undefined && /^\d+$/.test(part)
    ? [items]
    : Object.values(recordOf(schema, 'patternProperties') ?? {});
}

function recordOf(schema: unknown, member: string): Readonly<Record<string, unknown>> | null {
  const value = (schema as Record<string, unknown> | null)?.[member];
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null;
}
