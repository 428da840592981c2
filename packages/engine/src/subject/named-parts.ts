import type { EvaluationContext } from '../model/context.js';
import { isJsonObject, type JsonObject, type JsonValue, ownMember } from '../model/json.js';

/** Whom a context names, as it was sent; `null` where it names none. */
export interface NamedParts {
  /** The instance's key or id. */
  readonly instanceRef: string | null;
  readonly customerKey: string | null;
  readonly userKey: string | null;
  readonly teamKey: string | null;
  readonly targetingKey: string | null;
  /** `plan.key`: the billing key that the customer bought under. */
  readonly sku: string | null;
}

export interface InvalidContext {
  readonly ok: false;
  readonly code: 'INVALID_CONTEXT';
  readonly message: string;
}

export type NamedPartsResult =
  | { readonly ok: true; readonly context: EvaluationContext; readonly named: NamedParts }
  | InvalidContext;

/** Parts that are accepted as `"x"` or `{ key: "x" }`. */
const KEYED_PARTS = ['instance', 'customer', 'team', 'user'] as const;
type KeyedPart = (typeof KEYED_PARTS)[number];

function invalid(message: string): InvalidContext {
  return { ok: false, code: 'INVALID_CONTEXT', message };
}

function own(context: JsonObject, name: string): JsonValue | undefined {
  const value = ownMember(context, name);
  return value === null ? undefined : value;
}

function kindOf(value: JsonValue): string {
  return Array.isArray(value) ? 'a list' : `a ${typeof value}`;
}

type KeyResult = { readonly key: string | null; readonly part: JsonObject | null } | InvalidContext;

function isInvalid(result: KeyResult | string | null): result is InvalidContext {
  return result !== null && typeof result === 'object' && 'ok' in result;
}

/** A keyed part in its one shape; an empty key names nobody. */
function readKeyed(context: JsonObject, name: KeyedPart): KeyResult {
  const value = own(context, name);
  if (value === undefined) return { key: null, part: null };
  if (typeof value === 'string')
    return value === '' ? { key: null, part: {} } : { key: value, part: { key: value } };
  if (!isJsonObject(value)) {
    return invalid(`\`${name}\` is ${kindOf(value)}; send a text, or an object with a \`key\`.`);
  }
  const key = own(value, 'key');
  if (key === undefined || key === '') return { key: null, part: value };
  if (typeof key !== 'string') return invalid(`\`${name}.key\` is ${kindOf(key)}; send a text.`);
  return { key, part: value };
}

function readText(context: JsonObject, name: string): string | null | InvalidContext {
  const value = own(context, name);
  if (value === undefined || value === '') return null;
  return typeof value === 'string' ? value : invalid(`\`${name}\` is ${kindOf(value)}; send a text.`);
}

function stands(raw: JsonObject, keyed: Readonly<Record<KeyedPart, JsonObject | null>>): boolean {
  for (const name of KEYED_PARTS) if ((keyed[name] ?? undefined) !== ownMember(raw, name)) return false;
  return true;
}

/**
 * The parts with the keyed ones in their one shape. Most callers send that shape already: then what they sent is used as it stands.
 */
function partsOf(raw: JsonObject, keyed: Readonly<Record<KeyedPart, JsonObject | null>>): JsonObject {
  if (stands(raw, keyed)) return raw;
  const parts: Record<string, JsonValue> = {};
  for (const name of Object.keys(raw)) {
    const value = raw[name];
    // Defined, not assigned: a member called `__proto__` stays a member.
    if (name === '__proto__') Object.defineProperty(parts, name, { value, enumerable: true });
    else if (value !== undefined && !Object.hasOwn(keyed, name)) parts[name] = value;
  }
  for (const name of KEYED_PARTS) {
    const part = keyed[name];
    if (part !== null) parts[name] = part;
  }
  return parts;
}

/**
 * Reads the context of a request: whom it names, and its parts in the one shape that rules see. Absent and `null` are an empty
 * context; a part that cannot name anybody is refused with its name, never guessed.
 */
export function namedParts(raw: unknown): NamedPartsResult {
  if (raw === undefined || raw === null) raw = {};
  if (!isJsonObject(raw)) return invalid('The context is not an object; send `{ "targetingKey": …, … }`.');
  const keys: Record<KeyedPart, string | null> = { instance: null, customer: null, team: null, user: null };
  const keyed: Record<KeyedPart, JsonObject | null> = {
    instance: null,
    customer: null,
    team: null,
    user: null,
  };
  for (const name of KEYED_PARTS) {
    const read = readKeyed(raw, name);
    if (isInvalid(read)) return read;
    keys[name] = read.key;
    keyed[name] = read.part;
  }
  const instanceId = readText(raw, 'instanceId');
  if (isInvalid(instanceId)) return instanceId;
  if (instanceId !== null) {
    if (keys.instance !== null && keys.instance !== instanceId) {
      return invalid(
        `\`instance\` names \`${keys.instance}\` and \`instanceId\` names \`${instanceId}\`; send one of them.`,
      );
    }
    keys.instance = instanceId;
    keyed.instance = { ...keyed.instance, key: instanceId };
  }
  const targetingKey = readText(raw, 'targetingKey');
  if (isInvalid(targetingKey)) return targetingKey;
  const parts = partsOf(raw, keyed);
  const plan = own(raw, 'plan');
  const sku = isJsonObject(plan) ? own(plan, 'key') : undefined;
  return {
    ok: true,
    context: targetingKey === null ? { parts } : { targetingKey, parts },
    named: {
      instanceRef: keys.instance,
      customerKey: keys.customer,
      userKey: keys.user,
      teamKey: keys.team,
      targetingKey,
      sku: typeof sku === 'string' && sku !== '' ? sku : null,
    },
  };
}
