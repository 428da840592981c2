import type { JsonObject } from '@pennon/engine/model/json';
import { LIMITS } from '@pennon/engine/model/limits';

/*
 * From the bodies of OEP requests. Unknown members are ignored; what is known is read exactly, and a refusal names the member.
 */

export interface OepRefusal {
  readonly ok: false;
  readonly errorCode: 'INVALID_CONTEXT' | 'TYPE_MISMATCH' | 'PARSE_ERROR';
  readonly message: string;
}

export interface OepItem {
  readonly key: string;
  /** `null`: the feature's measure computes it, else 1. */
  readonly amount: number | null;
  readonly attributes: JsonObject;
  /** The thing that holds the unit; `null`: units are only counted. */
  readonly holder: string | null;
}

export interface OepConsumeCall {
  readonly ok: true;
  readonly context: JsonObject;
  readonly items: readonly OepItem[];
  readonly form: 'single' | 'items';
  readonly mode: 'all' | 'upTo';
}

export interface OepReleaseCall {
  readonly ok: true;
  readonly context: JsonObject;
  readonly item: OepItem;
}

export interface OepReserveCall extends Omit<OepConsumeCall, 'form'> {
  /** `null`: the server's default. */
  readonly ttlSeconds: number | null;
}

export interface OepSettleCall {
  readonly ok: true;
  /** `null`: the feature's measure computes it from the attributes, else all that is held. */
  readonly amount: number | null;
  readonly attributes: JsonObject;
}

export interface OepEvaluateCall {
  readonly ok: true;
  readonly context: JsonObject;
  readonly amount: number | null;
  readonly consistency: 'cached' | 'strong';
}

const NOTHING: JsonObject = Object.freeze({});
/** A text that any store can hold and any person can read. */
const HOLDER = /^[^\p{Cc}\p{Cs}]+$/u;

export function fromOepEvaluate(body: unknown): OepEvaluateCall | OepRefusal {
  const members = bodyOf(body, true);
  if ('ok' in members) return members;
  const context = contextOf(members.value);
  if ('ok' in context) return context;
  const amount = amountOf(members.value, 'amount');
  if ('ok' in amount) return amount;
  const consistency = members.value.consistency ?? undefined;
  if (consistency !== undefined && consistency !== 'cached' && consistency !== 'strong') {
    return refuse('PARSE_ERROR', '`consistency` must be `cached` or `strong`.');
  }
  return { ok: true, context: context.value, amount: amount.value, consistency: consistency ?? 'cached' };
}

/** @param maximumItems of `items` in one all-or-nothing call. */
export function fromOepConsume(body: unknown, maximumItems: number): OepConsumeCall | OepRefusal {
  const members = bodyOf(body, false);
  if ('ok' in members) return members;
  const { value } = members;
  const context = contextOf(value);
  if ('ok' in context) return context;
  const mode = value.mode ?? undefined;
  if (mode !== undefined && mode !== 'all' && mode !== 'upTo') {
    return refuse('PARSE_ERROR', '`mode` must be `all` or `upTo`.');
  }
  const items = itemsOf(value, maximumItems);
  if ('ok' in items) return items;
  const form = isSent(value.items) ? 'items' : 'single';
  return { ok: true, context: context.value, items: items.value, form, mode: mode ?? 'all' };
}

/** @param maximumSeconds of a hold. */
export function fromOepReserve(body: unknown, maximumSeconds: number): OepReserveCall | OepRefusal {
  const call = fromOepConsume(body, 1);
  if (!call.ok) return call;
  const members = isObject(body) ? body : NOTHING;
  if (call.form === 'items') {
    return refuse(
      'PARSE_ERROR',
      'A reservation is of one feature: send `key` and `amount` instead of `items`.',
    );
  }
  if (call.items.some(({ holder }) => holder !== null)) {
    return refuse('PARSE_ERROR', 'A reservation has no `holder`: consume with it instead.');
  }
  const seconds = members.ttlSeconds;
  if (seconds === undefined || seconds === null) {
    return { ...call, ttlSeconds: null };
  }
  if (typeof seconds !== 'number' || !Number.isInteger(seconds) || seconds < 1 || seconds > maximumSeconds) {
    return refuse('PARSE_ERROR', `\`ttlSeconds\` must be an integer from 1 to ${maximumSeconds}.`);
  }
  return { ...call, ttlSeconds: seconds };
}

export function fromOepSettle(body: unknown): OepSettleCall | OepRefusal {
  const members = bodyOf(body, true);
  if ('ok' in members) return members;
  const amount = amountOf(members.value, 'amount');
  if ('ok' in amount) return amount;
  const attributes = attributesOf(members.value, '');
  if ('ok' in attributes) return attributes;
  return { ok: true, amount: amount.value, attributes: attributes.value };
}

export function fromOepRelease(body: unknown): OepReleaseCall | OepRefusal {
  const members = bodyOf(body, false);
  if ('ok' in members) return members;
  const context = contextOf(members.value);
  if ('ok' in context) return context;
  const item = itemOf(members.value, '', NOTHING);
  if ('ok' in item) return item;
  return { ok: true, context: context.value, item: item.value };
}

interface Read<Value> {
  readonly value: Value;
}

function refuse(errorCode: OepRefusal['errorCode'], message: string): OepRefusal {
  return { ok: false, errorCode, message };
}

/** `null` is the same as absent, of every member. */
function isSent(value: unknown): boolean {
  return value !== undefined && value !== null;
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function bodyOf(body: unknown, mayBeAbsent: boolean): Read<JsonObject> | OepRefusal {
  if ((body === undefined || body === null) && mayBeAbsent) {
    return { value: NOTHING };
  }
  return isObject(body) ? { value: body } : refuse('PARSE_ERROR', 'The body must be a JSON object.');
}

function contextOf(members: JsonObject): Read<JsonObject> | OepRefusal {
  const context = members.context;
  if (context === undefined || context === null) {
    return { value: NOTHING };
  }
  return isObject(context)
    ? { value: context }
    : refuse('INVALID_CONTEXT', 'The member `context` must be a JSON object, or absent.');
}

function itemsOf(members: JsonObject, maximumItems: number): Read<readonly OepItem[]> | OepRefusal {
  const items = members.items;
  const attributes = attributesOf(members, '');
  if ('ok' in attributes) return attributes;
  if (!isSent(items)) {
    const item = itemOf(members, '', attributes.value);
    return 'ok' in item ? item : { value: [item.value] };
  }
  if (isSent(members.key) || isSent(members.amount) || isSent(members.holder)) {
    return refuse('PARSE_ERROR', 'Send either `key`, `amount` and `holder`, or `items`, not both.');
  }
  if (!Array.isArray(items) || items.length === 0 || items.length > maximumItems) {
    return refuse('PARSE_ERROR', `\`items\` must be a list of 1 to ${maximumItems} objects.`);
  }
  const read: OepItem[] = [];
  for (const [index, entry] of items.entries()) {
    const item = isObject(entry)
      ? itemOf(entry, `items[${index}].`, attributes.value)
      : refuse('PARSE_ERROR', `\`items[${index}]\` must be an object with \`key\` and \`amount\`.`);
    if ('ok' in item) return item;
    read.push(item.value);
  }
  return { value: read };
}

/** An item's own attributes stand before those of the whole call. */
function itemOf(members: JsonObject, path: string, shared: JsonObject): Read<OepItem> | OepRefusal {
  const key = members.key;
  if (typeof key !== 'string' || key === '') {
    return refuse('PARSE_ERROR', `\`${path}key\` must be the key of a feature.`);
  }
  const amount = amountOf(members, `${path}amount`);
  if ('ok' in amount) return amount;
  const attributes = attributesOf(members, path);
  if ('ok' in attributes) return attributes;
  const holder = holderOf(members, path);
  if ('ok' in holder) return holder;
  const own = isSent(members.attributes) ? attributes.value : shared;
  return { value: { key, amount: amount.value, attributes: own, holder: holder.value } };
}

/** The name of a thing that holds units. */
export function isHolder(value: unknown): value is string {
  return typeof value === 'string' && value.length <= LIMITS.holderLength.value && HOLDER.test(value);
}

function holderOf(members: JsonObject, path: string): Read<string | null> | OepRefusal {
  const { holder } = members;
  if (holder === undefined || holder === null) {
    return { value: null };
  }
  if (!isHolder(holder)) {
    const message = `\`${path}holder\` must be a text of 1 to ${LIMITS.holderLength.value} characters without control characters.`;
    return refuse('PARSE_ERROR', message);
  }
  return { value: holder };
}

function amountOf(members: JsonObject, path: string): Read<number | null> | OepRefusal {
  const amount = members.amount;
  if (amount === undefined || amount === null) {
    return { value: null };
  }
  if (typeof amount !== 'number' || !Number.isSafeInteger(amount) || amount < 0) {
    return refuse('TYPE_MISMATCH', `\`${path}\` must be an integer from 0 to ${Number.MAX_SAFE_INTEGER}.`);
  }
  // A minus zero would be another text than the zero it is.
  return { value: amount === 0 ? 0 : amount };
}

function attributesOf(members: JsonObject, path: string): Read<JsonObject> | OepRefusal {
  const attributes = members.attributes;
  if (attributes === undefined || attributes === null) {
    return { value: NOTHING };
  }
  return isObject(attributes)
    ? { value: attributes }
    : refuse('PARSE_ERROR', `\`${path}attributes\` must be a JSON object.`);
}
