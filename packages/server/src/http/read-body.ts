import { isUtf8 } from 'node:buffer';
import { LIMITS } from '@pennon/engine/model/limits';
import { ServiceError } from '../service/service-error.js';
import type { BodyReading, DocumentBody, StreamedReading } from './app.js';
import { type JsonReadLimits, readJson } from './json-reader.js';
import type { MediaType } from './request-guard.js';

const MANAGEMENT: JsonReadLimits = {
  depth: LIMITS.documentDepth.value,
  members: LIMITS.managementBodyMembers.value,
  duplicates: 'refuse',
  inexactIntegers: 'refuse',
};

/** The context stands two levels down in the body of an evaluation. */
const EVALUATION: JsonReadLimits = {
  depth: LIMITS.contextDepth.value + 2,
  members: LIMITS.contextKeys.value + 100,
  duplicates: 'last',
  inexactIntegers: 'round',
};

/** Many small objects, whose attributes carry ids of other systems. */
const EVENTS: JsonReadLimits = {
  depth: LIMITS.contextDepth.value + 2,
  members: LIMITS.usageBatchMembers.value,
  duplicates: 'refuse',
  inexactIntegers: 'round',
};

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const NUL = 0;

/** Reads the bytes of a body as the route wants them; an empty body is `undefined`. Throws a ServiceError, nothing else. */
export function readBody(
  bytes: Buffer,
  reading: Exclude<BodyReading, StreamedReading>,
  mediaType: MediaType,
): unknown {
  if (bytes.length === 0) {
    return undefined;
  }
  // INVARIANT: a signature is over these very octets; whoever checks it reads them.
  if (reading === 'raw') return bytes;
  if (!isUtf8(bytes)) {
    throw new ServiceError(
      'invalid',
      'BODY_NOT_UTF8',
      'The body is not valid UTF-8. Send it encoded as UTF-8.',
    );
  }
  switch (reading) {
    case 'document':
      return readDocument(bytes, mediaType === 'application/yaml' ? mediaType : 'application/json');
    case 'strict':
      return readJson(withoutByteOrderMark(bytes), MANAGEMENT);
    case 'events':
      return readJson(withoutByteOrderMark(bytes), EVENTS);
    case 'fast':
      return readFast(bytes);
  }
}

function readDocument(bytes: Buffer, mediaType: DocumentBody['mediaType']): DocumentBody {
  if (bytes.includes(NUL)) {
    throw new ServiceError(
      'invalid',
      'BODY_TEXT_REFUSED',
      'The document holds the character NUL. Remove it.',
    );
  }
  if (isTooDeep(bytes, mediaType === 'application/json')) {
    throw new ServiceError(
      'invalid',
      'BODY_TOO_DEEP',
      `The document is nested deeper than ${LIMITS.documentDepth.value} levels. Nothing that people write is.`,
    );
  }
  return { mediaType, text: withoutByteOrderMark(bytes) };
}

/** Bracketed YAML may hold brackets in its texts, so that there only what is far beyond the limit is refused here. */
const YAML_SLACK = 8;
/** More dashes or spaces before the first word of a line than any document has. */
const DEEP_YAML_LINE = /^(?: {512}|(?:[-?] ?){64})/m;

/**
 * Hostile nesting never reaches a parser, whatever its recursion does. Counts brackets outside of texts for JSON; for YAML
 * everywhere, and looks at how far lines are indented.
 */
function isTooDeep(bytes: Buffer, json: boolean): boolean {
  const limit = json ? LIMITS.documentDepth.value : LIMITS.documentDepth.value * YAML_SLACK;
  let depth = 0;
  for (let index = 0; index < bytes.length; index += 1) {
    const byte = bytes[index];
    if (byte === 0x7b || byte === 0x5b) {
      depth += 1;
      if (depth > limit) {
        return true;
      }
    } else if (byte === 0x7d || byte === 0x5d) {
      depth = Math.max(0, depth - 1);
    } else if (byte === QUOTE && json) {
      index = endOfText(bytes, index);
    }
  }
  return !json && DEEP_YAML_LINE.test(bytes.toString('latin1'));
}

/** The place of the quote that closes the text; the end of the body where none does. */
function endOfText(bytes: Buffer, start: number): number {
  let index = start + 1;
  while (index < bytes.length && bytes[index] !== QUOTE) {
    index += bytes[index] === BACKSLASH ? 2 : 1;
  }
  return index;
}

function withoutByteOrderMark(bytes: Buffer): string {
  const text = bytes.toString('utf8');
  return text.charCodeAt(0) === 0xfeff ? text.slice(1) : text;
}

/**
 * `JSON.parse` where one pass over the bytes has shown that nothing of the body needs the careful reader: no escape
 * (an escaped name could hide a poisoned one, a `\u0000` could not be stored), no exponent, nothing nested too deep.
 */
function readFast(bytes: Buffer): unknown {
  if (!isPlain(bytes)) {
    return readJson(withoutByteOrderMark(bytes), EVALUATION);
  }
  const text = bytes.toString('utf8');
  if (text.includes('__proto__') || text.includes('constructor') || text.includes('prototype')) {
    return readJson(text, EVALUATION);
  }
  try {
    return JSON.parse(text);
  } catch {
    // The careful reader refuses the same text and says where it is wrong.
    return readJson(text, EVALUATION);
  }
}

function isPlain(bytes: Buffer): boolean {
  let depth = 0;
  let members = 0;
  for (let index = 0; index < bytes.length; index += 1) {
    switch (bytes[index]) {
      case BACKSLASH:
        return false;
      case QUOTE:
        index = endOfPlainText(bytes, index + 1);
        break;
      case 0x7b:
      case 0x5b:
        depth += 1;
        if (depth > EVALUATION.depth) {
          return false;
        }
        break;
      case 0x7d:
      case 0x5d:
        depth -= 1;
        break;
      case 0x45:
      case 0x65:
        // An exponent may lift a number beyond every double; `true` and `false` have no digit before their e.
        if (isDigit(bytes[index - 1])) {
          return false;
        }
        break;
      case 0x2c:
      case 0x3a:
        members += 1;
        break;
    }
  }
  return members <= EVALUATION.members;
}

/** The place of the quote that closes the text; of the backslash before it, for the careful reader to decide; else the end. */
function endOfPlainText(bytes: Buffer, start: number): number {
  let index = start;
  while (index < bytes.length && bytes[index] !== QUOTE) {
    if (bytes[index] === BACKSLASH) {
      // One step back, so that whoever goes on meets it.
      return index - 1;
    }
    index += 1;
  }
  return index;
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 0x30 && byte <= 0x39;
}
