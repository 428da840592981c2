import type { Run } from './emit-types.js';
import type { CelPosition } from './issue.js';
import { memberReader } from './member-reader.js';
import { pathText } from './reads.js';
import { OVER_BUDGET, type RunState, spend } from './run-state.js';
import { type CelType, type CelVariable, typeText } from './types.js';
import {
  CelError,
  type CelRecord,
  CelUint,
  type CelValue,
  isFreeName,
  isList,
  isRecord,
  kindOf,
  memberOf,
  selectKey,
} from './values.js';

/** A variable and the names behind it, all known when the expression is compiled. */
export interface AttributePath<Frame> {
  readonly name: string;
  readonly variable: CelVariable<Frame>;
  readonly keys: readonly string[];
  readonly type: CelType;
  readonly position: CelPosition;
}

export type RawReader<Frame> = (frame: Frame) => unknown;

/** What stands at the path, as the host gives it; `undefined` when anything on the way is absent or no map. */
export function rawReader<Frame>(path: AttributePath<Frame>): RawReader<Frame> {
  return memberPath(path.variable.read, path.keys);
}

/** The value behind those names in what `owner` reads. */
export function memberPath<Frame>(owner: RawReader<Frame>, names: readonly string[]): RawReader<Frame> {
  return names.reduce<RawReader<Frame>>(readingMember, owner);
}

function readingMember<Frame>(owner: RawReader<Frame>, name: string): RawReader<Frame> {
  if (!isFreeName(name)) return (frame) => selectKey(owner(frame), name);
  const member = memberReader(name);
  return (frame) => {
    const value = owner(frame);
    const found = memberOf(value, member);
    return found === undefined ? selectKey(value, name) : found;
  };
}

/** JSON's null says that a declared attribute has no value. */
function isAbsent(value: unknown, type: CelType): boolean {
  return value === undefined || (value === null && type.kind !== 'dyn' && type.kind !== 'null');
}

/** An absent attribute, or the error that the variable itself is. */
function absence<Frame>(path: AttributePath<Frame>, missing: CelError): (frame: Frame) => CelError {
  return (frame) => {
    const root = path.variable.read(frame);
    return root instanceof CelError ? root.at(path.position) : missing;
  };
}

export function emitPath<Frame>(path: AttributePath<Frame>): Run<Frame> {
  const raw = rawReader(path);
  const text = pathText(path.name, path.keys);
  const missing = new CelError('NO_SUCH_ATTRIBUTE', `The attribute \`${text}\` is absent`, path.position);
  const absent = absence(path, missing);
  const { type } = path;
  const wrong = (value: unknown): CelError => {
    if (value instanceof CelError) return value.at(path.position);
    const message = `The attribute \`${text}\` is a \`${kindOf(value)}\`, declared as \`${typeText(type)}\``;
    return new CelError('ATTRIBUTE_TYPE', message, path.position);
  };
  switch (type.kind) {
    case 'string':
      return (frame) => {
        const value = raw(frame);
        if (typeof value === 'string') return value;
        return isAbsent(value, type) ? absent(frame) : wrong(value);
      };
    case 'bool':
      return (frame) => {
        const value = raw(frame);
        if (typeof value === 'boolean') return value;
        return isAbsent(value, type) ? absent(frame) : wrong(value);
      };
    case 'dyn':
      return (frame) => {
        const value = raw(frame);
        switch (typeof value) {
          case 'string':
          case 'number':
          case 'boolean':
          case 'bigint':
            return value;
          case 'undefined':
            return absent(frame);
          default:
            return kindOf(value) === 'unknown' ? wrong(value) : (value as CelValue);
        }
      };
    default:
      return (frame, state) => {
        const value = raw(frame);
        if (isAbsent(value, type)) return absent(frame);
        const converted = convert(value, type, state);
        if (converted === undefined) return wrong(value);
        return converted === OVER_BUDGET ? OVER_BUDGET.at(path.position) : converted;
      };
  }
}

/** `has(path)`: the last name may be absent, those before it may not. */
export function emitHasPath<Frame>(path: AttributePath<Frame>): Run<Frame> {
  const raw = rawReader(path);
  const last = path.keys.at(-1) ?? '';
  const parent = { ...path, keys: path.keys.slice(0, -1) };
  const parentRaw = rawReader(parent);
  const text = pathText(parent.name, parent.keys);
  const missing = new CelError('NO_SUCH_ATTRIBUTE', `The attribute \`${text}\` is absent`, path.position);
  const absent = absence(path, missing);
  const unfit = new CelError('NO_SUCH_OVERLOAD', `\`${text}\` has no attribute \`${last}\``, path.position);
  return (frame) => {
    if (!isAbsent(raw(frame), path.type)) return true;
    const owner = parentRaw(frame);
    if (owner === undefined || owner === null || owner instanceof CelError) return absent(frame);
    return kindOf(owner) === 'map' ? false : unfit;
  };
}

/** Whether JSON of this type reads differently as CEL. */
function needsConversion(type: CelType): boolean {
  switch (type.kind) {
    case 'int':
    case 'uint':
      return true;
    case 'list':
      return needsConversion(type.element);
    case 'map':
      return needsConversion(type.value);
    case 'object':
      return [...type.attributes.values(), ...(type.additional === undefined ? [] : [type.additional])].some(
        needsConversion,
      );
    default:
      return false;
  }
}

type Converted = CelValue | CelError | undefined;

/** The value as its declared type has it; `undefined` when it is of another one. */
function convert(value: unknown, type: CelType, state: RunState): Converted {
  const kind = kindOf(value);
  switch (type.kind) {
    case 'dyn':
      return kind === 'unknown' ? undefined : (value as CelValue);
    case 'int':
      if (typeof value === 'bigint') return value;
      return typeof value === 'number' && Number.isSafeInteger(value) ? BigInt(value) : undefined;
    case 'uint':
      if (value instanceof CelUint) return value;
      return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
        ? new CelUint(BigInt(value))
        : undefined;
    case 'double':
      return typeof value === 'bigint' ? Number(value) : typeof value === 'number' ? value : undefined;
    case 'list':
      if (!isList(value)) return undefined;
      return needsConversion(type) ? convertList(value, type.element, state) : value;
    case 'map':
    case 'object':
      if (kind !== 'map') return undefined;
      return isRecord(value) && needsConversion(type)
        ? convertRecord(value, type, state)
        : (value as CelValue);
    default:
      return kind === type.kind ? (value as CelValue) : undefined;
  }
}

function convertList(list: readonly unknown[], element: CelType, state: RunState): Converted {
  if (!spend(state, list.length)) return OVER_BUDGET;
  const converted: CelValue[] = [];
  for (const item of list) {
    const value = convert(item, element, state);
    if (value === undefined || value instanceof CelError) return value;
    converted.push(value);
  }
  return converted;
}

function convertRecord(record: CelRecord, type: CelType, state: RunState): Converted {
  const entries: [string, CelValue][] = [];
  for (const [key, item] of Object.entries(record)) {
    if (!spend(state, 1)) return OVER_BUDGET;
    const member =
      type.kind === 'map' ? type.value : type.kind === 'object' ? memberType(type, key) : undefined;
    const value = member === undefined ? item : convert(item, member, state);
    if (value === undefined || value instanceof CelError) return value;
    entries.push([key, value]);
  }
  return Object.fromEntries(entries);
}

function memberType(type: CelType & { kind: 'object' }, key: string): CelType | undefined {
  return type.attributes.get(key) ?? type.additional;
}
