import { suggestName } from '@pennon/engine/cel/suggest';
import { ID_PATTERN, TIME_PATTERN } from '@pennon/protocol/management/common';
import type { FastifySchemaCompiler, FastifySerializerCompiler } from 'fastify';
import type { TSchema } from 'typebox';
import { Compile, type Validator } from 'typebox/compile';
import type { TLocalizedValidationError } from 'typebox/error';
import { type FaultItem, ServiceError } from '../service/service-error.js';
import { propertyNamesAt } from './schema-names.js';

/** More than these help nobody. */
const SHOWN_ITEMS = 20;

/**
 * Compiles the schemas of routes. Bodies are taken as they are: no coercion, no defaults, no silent removal. Queries, paths and
 * headers arrive as texts, so numbers and booleans among them are converted.
 */
export const compileValidator: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  const part = httpPart ?? 'body';
  if (part === 'body') {
    return (value: unknown) => {
      const validator = validatorOf(schema);
      return validator.Check(value) ? true : { error: refusal(validator, schema, value, part) };
    };
  }
  return (value: unknown) => {
    const validator = validatorOf(schema);
    // Queries and paths have no prototype when the framework parses them; conversion expects ordinary objects.
    const converted =
      part === 'headers' ? value : validator.Default(validator.Convert({ ...(value as object) }));
    return validator.Check(converted)
      ? { value: converted }
      : { error: refusal(validator, schema, converted, part) };
  };
};

const validators = new WeakMap<TSchema, Validator>();

/**
 * Compiling costs milliseconds, and many routes share a schema: every one answers the same problem. It is done for the first request
 * that needs it, because a process that starts has hundreds of schemas and will be asked for a few of them.
 */
function validatorOf(schema: TSchema): Validator {
  const known = validators.get(schema);
  if (known !== undefined) return known;
  const validator = Compile(schema);
  validators.set(schema, validator);
  return validator;
}

function refusal(validator: Validator, schema: TSchema, value: unknown, part: string): ServiceError {
  if (value === undefined) {
    return new ServiceError('invalid', 'BODY_MISSING', 'This call needs a JSON body.');
  }
  const items = faultItems(validator, schema, value, part);
  const first = items[0];
  const where = part === 'body' ? 'body' : part === 'querystring' ? 'query' : part;
  const detail = first === undefined ? 'It does not fit its schema.' : first.message;
  return new ServiceError('invalid', 'VALIDATION_FAILED', `The ${where} is not valid: ${detail}`, { items });
}

function faultItems(validator: Validator, schema: TSchema, value: unknown, part: string): FaultItem[] {
  const items: FaultItem[] = [];
  for (const error of validator.Errors(value)) {
    if (items.length >= SHOWN_ITEMS) {
      break;
    }
    const at = error.instancePath;
    if (error.keyword === 'additionalProperties') {
      items.push(...error.params.additionalProperties.map((name) => unknownMember(schema, at, name, part)));
    } else if (error.keyword === 'required') {
      items.push(
        ...error.params.requiredProperties.map((name) => ({
          code: 'MEMBER_MISSING',
          message: `\`${name}\` is missing.`,
          pointer: pointerOf(`${at}/${name}`, part),
        })),
      );
    } else if (error.keyword !== 'boolean') {
      // A member that is not allowed at all is reported by its name above, and once more here as a `false` schema.
      const pointer = pointerOf(at, part);
      items.push({
        code: 'VALUE_REFUSED',
        message: `\`${pointer === '' ? 'the body' : pointer}\` ${demandOf(error)}`,
        pointer,
      });
    }
  }
  return items;
}

/** What patterns mean, where an expression would have to be read. */
const PATTERN_WORDS: ReadonlyMap<unknown, string> = new Map<unknown, string>([
  [TIME_PATTERN, 'must be an RFC 3339 time with an offset, like `2027-01-31T10:00:00Z`'],
  [ID_PATTERN, 'must be an id that the server made'],
]);

/** What a value must be, with all that it may be where that can be listed. */
function demandOf(error: TLocalizedValidationError): string {
  if (error.keyword === 'enum') {
    return `must be one of ${error.params.allowedValues.map((value) => `\`${String(value)}\``).join(', ')}`;
  }
  const words = error.keyword === 'pattern' ? PATTERN_WORDS.get(error.params.pattern) : undefined;
  return words ?? error.message;
}

function unknownMember(schema: TSchema, at: string, name: string, part: string): FaultItem {
  const shown = name.slice(0, 128);
  const suggestion = suggestName(name, propertyNamesAt(schema, at));
  return {
    code: 'MEMBER_UNKNOWN',
    message: `\`${shown}\` is not known here.${suggestion === undefined ? '' : ` Did you mean \`${suggestion}\`?`}`,
    pointer: pointerOf(`${at}/${shown}`, part),
    ...(suggestion === undefined ? {} : { suggestion }),
  };
}

/** A JSON pointer into a body, the bare name of a parameter. */
function pointerOf(path: string, part: string): string {
  return part === 'body' ? path : path.replace(/^\//, '');
}

/**
 * Answers are written as the handler made them: the schema documents them, and a serialiser generated from it would drop
 * members silently. With `check` an answer that its schema does not describe is an error, which is how tests run.
 */
export function createSerializer(check: boolean): FastifySerializerCompiler<TSchema> {
  return ({ schema, url, method, httpStatus }) => {
    if (!check) {
      return (data) => JSON.stringify(data);
    }
    return (data) => {
      const text = JSON.stringify(data);
      const [fault] = validatorOf(schema).Errors(JSON.parse(text));
      if (fault !== undefined) {
        throw new TypeError(
          `${method} ${url} answered ${httpStatus} unlike its schema: ${fault.instancePath} ${fault.message}`,
        );
      }
      return text;
    };
  };
}
