import { LIMITS } from '@pennon/engine/model/limits';
import { type CustomerImport, CustomerImportSchema } from '@pennon/protocol/management/customer-files';
import type { ImportLine } from '../service/contracts/import-plan.js';
import { ServiceError } from '../service/service-error.js';
import type { StreamedBody } from './app.js';
import { readJson } from './json-reader.js';
import { compileValidator } from './validate.js';

const validate = compileValidator({
  schema: CustomerImportSchema,
  method: 'POST',
  url: '',
  httpPart: 'body',
});

/** The lines of an import, each a customer or what is wrong with it; empty lines are counted and passed over. */
export async function* readCustomerLines(body: StreamedBody): AsyncGenerator<ImportLine> {
  let line = 0;
  let read = 0;
  for await (const text of linesOf(body)) {
    line += 1;
    if (text.trim() === '') continue;
    read += 1;
    if (read > LIMITS.importLines.value) {
      const message = `One call takes ${LIMITS.importLines.value} lines. Send the rest, from line ${line} on, in another.`;
      throw new ServiceError('invalid', 'TOO_MANY_LINES', message);
    }
    yield { line, content: contentOf(text) };
  }
}

function contentOf(text: string): CustomerImport | ServiceError {
  try {
    const value = readJson(text, {
      depth: LIMITS.documentDepth.value,
      members: LIMITS.managementBodyMembers.value,
      duplicates: 'refuse',
      inexactIntegers: 'refuse',
    });
    const result = validate(value);
    if (typeof result === 'object' && 'error' in result && result.error instanceof ServiceError)
      return result.error;
    return value as CustomerImport;
  } catch (error) {
    if (error instanceof ServiceError) return error;
    throw error;
  }
}

async function* linesOf(body: StreamedBody): AsyncGenerator<string> {
  let rest = '';
  for await (const piece of body) {
    const lines = (rest + piece).split('\n');
    rest = lines.pop() ?? '';
    yield* lines;
    if (rest.length > LIMITS.importLineCharacters.value) {
      const message = `A line is longer than ${LIMITS.importLineCharacters.value} characters. End each customer's line with a line feed.`;
      throw new ServiceError('invalid', 'LINE_TOO_LONG', message);
    }
  }
  if (rest !== '') yield rest;
}
