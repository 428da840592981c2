import { suggestName } from '@pennon/engine/cel/suggest';
import type { Instant } from '@pennon/engine/model/customer';
import { LIMITS } from '@pennon/engine/model/limits';
import { isTimeZone } from '@pennon/engine/period/anchor';
import { type FaultKind, ServiceError } from '../service-error.js';
import { fromTime } from '../times.js';

/** A refusal that names one member of the body. */
export function refuse(
  kind: FaultKind,
  code: string,
  message: string,
  pointer: string,
  suggestion?: string,
): ServiceError {
  return new ServiceError(kind, code, message, {
    items: [{ code, message, pointer, ...(suggestion === undefined ? {} : { suggestion }) }],
  });
}

export function notFound(code: string, what: string, next: string): ServiceError {
  return new ServiceError('not-found', code, `${what} does not exist. ${next}`);
}

/** A name that the catalog of the environment does not have, with the nearest that it has. */
export function unknownName(
  code: string,
  what: string,
  name: string,
  known: Iterable<string>,
  pointer: string,
): ServiceError {
  const names = [...known];
  const suggestion = suggestName(name, names);
  const nearest = suggestion === undefined ? '' : ` Did you mean \`${suggestion}\`?`;
  const list =
    names.length === 0 || names.length > 20 ? '' : ` It has ${names.map((one) => `\`${one}\``).join(', ')}.`;
  return refuse(
    'unprocessable',
    code,
    `The catalog that is published to this environment has no ${what} \`${name}\`.${nearest}${suggestion === undefined ? list : ''}`,
    pointer,
    suggestion,
  );
}

/** `undefined` stays what it was, `null` is no end. */
export function timeOr<Default>(
  text: string | null | undefined,
  pointer: string,
  otherwise: Default,
): Instant | null | Default {
  if (text === undefined) return otherwise;
  return text === null ? null : fromTime(text, pointer);
}

/** Spans are half-open; one that holds at no instant is a mistake. */
export function isEmptySpan(startsAt: Instant, endsAt: Instant | null): boolean {
  return endsAt !== null && endsAt <= startsAt;
}

export function emptySpan(): ServiceError {
  return refuse(
    'unprocessable',
    'SPAN_EMPTY',
    'It would end at or before its start, so it would never be in force. Let `endsAt` be later than `startsAt`.',
    '/endsAt',
  );
}

export function checkSpan(startsAt: Instant, endsAt: Instant | null): void {
  if (isEmptySpan(startsAt, endsAt)) throw emptySpan();
}

export function checkTimeZone(name: string | null | undefined): void {
  if (name !== null && name !== undefined && !isTimeZone(name)) {
    throw refuse(
      'unprocessable',
      'TIME_ZONE_UNKNOWN',
      `\`${name}\` is not a time zone. Write a name of the IANA database, for example \`Europe/Berlin\` or \`UTC\`.`,
      '/timeZone',
    );
  }
}

/** JSON as it will be stored: bounded, because it is kept in memory with its customer. */
export function attributesText(attributes: Readonly<Record<string, unknown>>, pointer: string): string {
  const text = JSON.stringify(attributes);
  if (Buffer.byteLength(text) > LIMITS.attributesBytes.value) {
    throw refuse(
      'unprocessable',
      'ATTRIBUTES_TOO_LARGE',
      `The attributes are larger than ${LIMITS.attributesBytes.value} bytes. Keep what rules read, and the rest elsewhere.`,
      pointer,
    );
  }
  if (text.includes('\\u0000')) {
    throw refuse('invalid', 'VALUE_REFUSED', 'Text with a NUL character cannot be stored.', pointer);
  }
  return text;
}
