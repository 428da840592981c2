import type { EntitlementValue, Feature, FeatureType } from '../model/catalog.js';
import type { JsonObject, JsonValue } from '../model/json.js';
import { quoted } from './issue-sink.js';
import { admit, claimKey, type ReadingRoom } from './reading-room.js';
import { definition } from './schema.js';
import { SHORT_RESET_PERIODS, type ShortResetPeriod, type ShortType } from './schema-short-form.js';
import { memberOf, type SourceNode } from './source-node.js';

/*
 * The short form (K-11): `plan:` or `flag:`, one object to a document, expanded here to the full form. Everything that is
 * made keeps the place of what it was made from.
 */

interface ShortEntitlement {
  readonly feature: string;
  readonly value: EntitlementValue;
  readonly type?: ShortType;
  readonly reset_period?: ShortResetPeriod;
}

/** What one use says of its feature; checked once all documents are read, when it is known what is declared anyway. */
export interface FeatureUse {
  readonly feature: Feature;
  /** The use says the type itself instead of leaving it to the value. */
  readonly explicit: boolean;
  readonly node: SourceNode;
}

const uses = new WeakMap<ReadingRoom['draft'], FeatureUse[]>();

export function featureUses(draft: ReadingRoom['draft']): readonly FeatureUse[] {
  return uses.get(draft) ?? [];
}

function keyOf(node: SourceNode): string | undefined {
  const key = memberOf(node, 'key')?.value;
  return key?.kind === 'scalar' && typeof key.value === 'string' ? key.value : undefined;
}

export function readShortPlan(node: SourceNode, room: ReadingRoom): void {
  const key = keyOf(node);
  const reference = key === undefined ? undefined : ({ kind: 'plan', key: `${key}@0` } as const);
  room.issues.within(reference, () => {
    const read = room.reader.read(definition('shortPlan'), node) as JsonObject | undefined;
    const fresh = reference === undefined || claimKey('plan', reference.key, node, room);
    if (read === undefined || !fresh) return;
    const authored = read.entitlements as unknown as readonly ShortEntitlement[];
    const entitlements = authored.map((use) => {
      noteUse(use, room);
      const entitlement = { feature: use.feature, value: use.value };
      const written = room.sources.nodeOf(use);
      if (written) room.sources.set(entitlement, written);
      return entitlement;
    });
    room.sources.set(entitlements, memberOf(node, 'entitlements')?.value ?? node);
    const value = { ...read, entitlements: entitlements as unknown as JsonValue };
    room.sources.set(value, node);
    admit({ kind: 'plan', value }, node, room);
  });
}

function noteUse(use: ShortEntitlement, room: ReadingRoom): void {
  const node = room.sources.nodeOf(use);
  if (node === undefined) return;
  const list = uses.get(room.draft) ?? [];
  uses.set(room.draft, list);
  if (use.reset_period !== undefined && use.type !== undefined && use.type !== 'NUMBER') {
    room.issues.at(
      memberOf(node, 'reset_period')?.value ?? node,
      'NOT_FOR_TYPE',
      `Only a \`NUMBER\` has a \`reset_period\`, and ${quoted(use.feature)} is ${quoted(use.type)}.`,
    );
  }
  list.push({
    feature: declaredBy(use),
    explicit: use.type !== undefined || use.reset_period !== undefined,
    node: memberOf(node, 'feature')?.value ?? node,
  });
}

function declaredBy(use: ShortEntitlement): Feature {
  if (use.reset_period !== undefined && (use.type === undefined || use.type === 'NUMBER')) {
    const every = SHORT_RESET_PERIODS[use.reset_period];
    return { key: use.feature, type: 'metered', reset: { every, anchor: 'license' }, enforcement: 'hard' };
  }
  return { key: use.feature, type: typeOf(use) };
}

function typeOf(use: ShortEntitlement): FeatureType {
  switch (use.type) {
    case 'BOOLEAN':
      return 'boolean';
    case 'NUMBER':
      return 'limit';
    case 'CONFIG':
    case 'JSON':
      return 'config';
    default:
      if (typeof use.value === 'boolean') return 'boolean';
      return typeof use.value === 'object' ? 'config' : 'limit';
  }
}

export function readShortFlag(node: SourceNode, room: ReadingRoom): void {
  const key = keyOf(node);
  room.issues.within(key === undefined ? undefined : { kind: 'flag', key }, () => {
    const read = room.reader.read(definition('shortFlag'), node) as JsonObject | undefined;
    const fresh = key === undefined || claimKey('flag', key, node, room);
    if (read === undefined || !fresh) return;
    const { targeting, rollout, ...governed } = read;
    const rule: Record<string, JsonValue> = {};
    const constraints = (targeting ?? []) as unknown as readonly { readonly constraint: string }[];
    const texts = constraints.map(({ constraint }) => constraint);
    if (texts.length > 0)
      rule.if = texts.length === 1 ? (texts[0] ?? '') : texts.map(parenthesized).join(' && ');
    if (rollout === undefined) rule.serve = true;
    else rule.rollout = rollout;
    const rules = [rule];
    // The place of a rule's expression is that of the constraints; a lone one is found character by character.
    room.sources.set(rule, node);
    room.sources.set(rules, node);
    shortConstraints.set(
      rule,
      constraints.map((constraint) => room.sources.nodeOf(constraint) ?? node),
    );
    const value = { ...governed, type: 'boolean', off: false, default: false, rules };
    room.sources.set(value, node);
    admit({ kind: 'flag', value }, node, room);
  });
}

/** A comment at the end must not swallow the parenthesis. */
function parenthesized(text: string): string {
  return text.includes('//') ? `(${text}\n)` : `(${text})`;
}

const shortConstraints = new WeakMap<object, readonly SourceNode[]>();

/** The nodes of the constraints that a rule was made from; they are checked one by one, so that faults have their places. */
export function constraintsOf(rule: object): readonly SourceNode[] {
  return shortConstraints.get(rule) ?? [];
}
