import { LIMITS } from '../model/limits.js';
import type { JsonSchema } from './json-schema.js';

/* The words in which the shape of the catalog document is written. */

export type Members = Readonly<Record<string, JsonSchema>>;

export function ref(name: string, description?: string): JsonSchema {
  return { $ref: `#/$defs/${name}`, ...(description === undefined ? {} : { description }) };
}

export function object(description: string, required: readonly string[], properties: Members): JsonSchema {
  return { type: 'object', description, properties, required, additionalProperties: false };
}

export function list(items: JsonSchema, maxItems: number, description?: string): JsonSchema {
  return { type: 'array', items, maxItems, ...(description === undefined ? {} : { description }) };
}

export function text(description: string, maxLength: number = LIMITS.textLength.value): JsonSchema {
  return { type: 'string', description, minLength: 1, maxLength };
}

export function choice(description: string, values: readonly (string | boolean)[]): JsonSchema {
  return { enum: values, description };
}

export function flagOrText(description: string): JsonSchema {
  return { type: ['string', 'boolean'], description };
}

export function integer(
  description: string,
  minimum = 0,
  maximum: number = LIMITS.quantity.value,
): JsonSchema {
  return { type: 'integer', minimum, maximum, description };
}

export function expression(description: string): JsonSchema {
  return {
    type: 'string',
    format: 'cel',
    minLength: 1,
    maxLength: LIMITS.expressionBytes.value,
    description,
  };
}

export const on = (description: string): JsonSchema => ({ type: 'boolean', description });
