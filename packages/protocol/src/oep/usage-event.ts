import type { JsonObject } from '@pennon/engine/model/json';
import { LIMITS } from '@pennon/engine/model/limits';
import { isHolder, type OepRefusal } from './request.js';

/*
 * From CloudEvents 1.0 in JSON, single and batch, to usage that already happened (OEP rule 4). Each event is read by itself: what is
 * wrong with one refuses that one. Extension attributes and unknown members are ignored.
 */

export interface OepUsageEvent {
  readonly ok: true;
  readonly source: string;
  readonly id: string;
  readonly type: string;
  /** The customer. */
  readonly subject: string;
  /** Milliseconds since the epoch; `null`: nobody said. */
  readonly time: number | null;
  /** The feature. */
  readonly key: string;
  readonly amount: number | null;
  readonly attributes: JsonObject;
  readonly user: string | null;
  readonly instance: string | null;
  /** The `id` of the event of the same source that this one corrects. */
  readonly corrects: string | null;
  /** The thing that holds the units, of features that never reset. */
  readonly holder: string | null;
}

export interface OepUsageRefusal {
  readonly ok: false;
  /** As far as they could be read. */
  readonly source: string | null;
  readonly id: string | null;
  readonly errorCode: 'EVENT_INVALID' | 'TYPE_MISMATCH';
  readonly message: string;
}

export type OepUsageRead = OepUsageEvent | OepUsageRefusal;

export interface OepUsageCall {
  readonly ok: true;
  /** In the order of the body. */
  readonly events: readonly OepUsageRead[];
}

/** `either`: plain JSON, where a list is a batch. */
export type UsageForm = 'single' | 'batch' | 'either';

/** The media type that was sent says which form the body has. */
export function usageFormOf(contentType: string | undefined): UsageForm {
  const type = (contentType ?? '').split(';', 1)[0]?.trim().toLowerCase();
  if (type === 'application/cloudevents-batch+json') return 'batch';
  return type === 'application/cloudevents+json' ? 'single' : 'either';
}

export function fromCloudEvents(body: unknown, form: UsageForm): OepUsageCall | OepRefusal {
  if (Array.isArray(body)) {
    if (form === 'single') {
      return refuse(
        'The body is a list of events. Send it as `Content-Type: application/cloudevents-batch+json`.',
      );
    }
    const most = LIMITS.usageEventsPerBatch.value;
    if (body.length === 0) return refuse('The batch has no events. Send at least one.');
    if (body.length > most) {
      return refuse(`The batch has ${body.length} events; send at most ${most} in one call, and more calls.`);
    }
    return { ok: true, events: body.map(fromCloudEvent) };
  }
  if (form === 'batch' || !isObject(body)) {
    return refuse('The body must be a CloudEvent as a JSON object, or a list of them.');
  }
  const event = fromCloudEvent(body);
  // Alone, what is no CloudEvent is no body of this call.
  return !event.ok && event.errorCode === 'EVENT_INVALID'
    ? refuse(event.message)
    : { ok: true, events: [event] };
}

function refuse(message: string): OepRefusal {
  return { ok: false, errorCode: 'PARSE_ERROR', message };
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Why an event is not read, thrown within this file only: most events have nothing wrong with them. */
class Unreadable extends Error {
  readonly errorCode: OepUsageRefusal['errorCode'];

  constructor(message: string, errorCode: OepUsageRefusal['errorCode'] = 'EVENT_INVALID') {
    super(message);
    this.errorCode = errorCode;
  }
}

function fromCloudEvent(event: unknown): OepUsageRead {
  try {
    if (!isObject(event)) {
      throw new Unreadable('An event must be a JSON object with the members of CloudEvents 1.0.');
    }
    return readEvent(event);
  } catch (error) {
    if (!(error instanceof Unreadable)) throw error;
    const known = (member: string): string | null => {
      const value = isObject(event) ? event[member] : null;
      return typeof value === 'string' ? value.slice(0, LIMITS.usageEventTextLength.value) : null;
    };
    return {
      ok: false,
      source: known('source'),
      id: known('id'),
      errorCode: error.errorCode,
      message: error.message,
    };
  }
}

function readEvent(event: JsonObject): OepUsageEvent {
  if (event.specversion !== '1.0') {
    throw new Unreadable('`specversion` must be `1.0`.');
  }
  const id = textOf(event, 'id');
  const source = textOf(event, 'source');
  const type = textOf(event, 'type');
  const subject = keyOf(event.subject, 'subject', 'the key of the customer');
  const data = dataOf(event);
  const key = keyOf(data.key, 'data.key', 'the key of a feature');
  const corrects = data.corrects;
  if (corrects !== undefined && corrects !== null && !isText(corrects)) {
    throw new Unreadable('`data.corrects` must be the `id` of an earlier event of the same `source`.');
  }
  return {
    ok: true,
    source,
    id,
    type,
    subject,
    time: timeOf(event.time),
    key,
    amount: amountOf(data, typeof corrects === 'string'),
    attributes: attributesOf(data),
    user: partOf(data, 'user'),
    instance: partOf(data, 'instance'),
    corrects: typeof corrects === 'string' ? corrects : null,
    holder: holderOf(data),
  };
}

function holderOf({ holder }: JsonObject): string | null {
  if (holder === undefined || holder === null) return null;
  if (isHolder(holder)) return holder;
  throw new Unreadable(
    `\`data.holder\` must be a text of 1 to ${LIMITS.holderLength.value} characters without control characters.`,
  );
}

const UNSTORABLE = /[\p{Cc}\p{Cs}]/u;

function isText(value: unknown): value is string {
  return (
    typeof value === 'string' &&
    value.length > 0 &&
    value.length <= LIMITS.usageEventTextLength.value &&
    !UNSTORABLE.test(value)
  );
}

function textOf(event: JsonObject, member: string): string {
  const value = event[member];
  if (isText(value)) return value;
  throw new Unreadable(
    `\`${member}\` must be a text of 1 to ${LIMITS.usageEventTextLength.value} characters, none of them a control character.`,
  );
}

function keyOf(value: unknown, member: string, what: string): string {
  if (
    typeof value === 'string' &&
    value.length > 0 &&
    value.length <= LIMITS.keyLength.value &&
    !UNSTORABLE.test(value)
  ) {
    return value;
  }
  throw new Unreadable(`\`${member}\` must be ${what}, 1 to ${LIMITS.keyLength.value} characters.`);
}

/** `"x"` or `{ "key": "x" }`, as in a context. */
function partOf(data: JsonObject, member: 'user' | 'instance'): string | null {
  const value = data[member];
  if (value === undefined || value === null) return null;
  return keyOf(isObject(value) ? value.key : value, `data.${member}`, `the key of the ${member}`);
}

function dataOf(event: JsonObject): JsonObject {
  const { datacontenttype: type, data } = event;
  if (type !== undefined && type !== null && !(typeof type === 'string' && JSON_TYPE.test(type))) {
    throw new Unreadable('`datacontenttype` must be `application/json`, or absent.');
  }
  if (isObject(data)) return data;
  throw new Unreadable('`data` must be a JSON object with the `key` of a feature.');
}

const JSON_TYPE = /^[a-z]+\/(?:[a-z0-9.+-]+\+)?json[ \t]*(?:;|$)/i;
const RFC_3339 =
  /^(\d{4})-(\d{2})-(\d{2})[Tt](\d{2}):(\d{2}):(\d{2})(?:\.\d{1,9})?(?:[Zz]|[+-](\d{2}):(\d{2}))$/;

function timeOf(value: unknown): number | null {
  if (value === undefined || value === null) return null;
  const parts = typeof value === 'string' ? RFC_3339.exec(value) : null;
  const instant = parts === null ? Number.NaN : Date.parse(parts[0].toUpperCase());
  const [year = 0, month = 0, day = 0] = parts === null ? [] : parts.slice(1, 4).map(Number);
  // `Date.parse` moves the 30th of February into March.
  if (Number.isNaN(instant) || instant < 0 || day > new Date(Date.UTC(year, month, 0)).getUTCDate()) {
    throw new Unreadable('`time` must be an RFC 3339 time with an offset, like `2027-01-31T10:00:00Z`.');
  }
  return instant;
}

function amountOf(data: JsonObject, corrects: boolean): number | null {
  const { amount } = data;
  if (amount === undefined || amount === null) return null;
  const most = LIMITS.quantity.value;
  if (typeof amount !== 'number' || !Number.isSafeInteger(amount)) {
    throw new Unreadable(`\`data.amount\` must be an integer up to ${most}.`, 'TYPE_MISMATCH');
  }
  if (amount < 0 && !corrects) {
    throw new Unreadable(
      '`data.amount` is below 0. Only a correction takes something back: name the event in `data.corrects`.',
      'TYPE_MISMATCH',
    );
  }
  // A minus zero would be another text than the zero it is.
  return amount === 0 ? 0 : amount;
}

const NOTHING: JsonObject = Object.freeze({});

function attributesOf(data: JsonObject): JsonObject {
  const { attributes } = data;
  if (attributes === undefined || attributes === null) return NOTHING;
  if (isObject(attributes)) return attributes;
  throw new Unreadable('`data.attributes` must be a JSON object.');
}
