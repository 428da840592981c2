import { tests } from '@bufbuild/cel-spec/testdata/conformance.js';
import { compileExpression } from '../src/cel/compile-expression.js';
import { parseDuration, parseTimestamp } from '../src/cel/time.js';
import type { CelType, CelVariable } from '../src/cel/types.js';
import {
  BOOL,
  BYTES,
  DOUBLE,
  DURATION,
  DYN,
  INT,
  listOf,
  mapOf,
  NULL,
  STRING,
  TIMESTAMP,
  TYPE,
  typeText,
  UINT,
} from '../src/cel/types.js';
import {
  CelBytes,
  CelDuration,
  CelError,
  CelMap,
  CelTimestamp,
  CelTypeValue,
  CelUint,
  type CelValue,
  isList,
  kindOf,
  mapKey,
} from '../src/cel/values.js';

/** The official suite as data: protobuf's JSON of `cel.expr.conformance.test.SimpleTest`. */
interface OfficialCase {
  readonly name?: string;
  readonly expr: string;
  readonly disableCheck?: boolean;
  readonly checkOnly?: boolean;
  readonly disableMacros?: boolean;
  readonly container?: string;
  readonly typeEnv?: readonly { readonly name: string; readonly ident?: { readonly type: OfficialType } }[];
  readonly bindings?: Readonly<Record<string, { readonly value?: OfficialValue }>>;
  readonly value?: OfficialValue;
  readonly typedResult?: { readonly result?: OfficialValue; readonly deducedType?: OfficialType };
  readonly evalError?: unknown;
  readonly anyEvalErrors?: unknown;
  readonly unknown?: unknown;
  readonly anyUnknowns?: unknown;
}

type OfficialType = Readonly<Record<string, unknown>>;
type OfficialValue = Readonly<Record<string, unknown>>;

export interface ConformanceCase {
  /** `group/section/name`, with `#2` and so on where a section uses a name again. */
  readonly id: string;
  readonly group: string;
  readonly test: OfficialCase;
  /** Speaks of protobuf messages, enums or wrappers, which Pennon has none of. */
  readonly needsMessages: boolean;
}

export function conformanceCases(): ConformanceCase[] {
  const cases: ConformanceCase[] = [];
  const used = new Map<string, number>();
  for (const group of tests.suites ?? []) {
    for (const section of group.suites ?? []) {
      for (const entry of section.tests ?? []) {
        const test = entry.original as OfficialCase;
        const name = `${group.name}/${section.name}/${test.name ?? test.expr}`;
        const count = (used.get(name) ?? 0) + 1;
        used.set(name, count);
        const id = count === 1 ? name : `${name}#${count}`;
        cases.push({ id, group: group.name, test, needsMessages: needsMessages(test) });
      }
    }
  }
  return cases;
}

const MESSAGE_WORDS = [
  /TestAllTypes|TestRequired|NestedEnum|GlobalEnum|messageType|enumValue|proto2|proto3/,
  /google\.protobuf\.(?!Timestamp|Duration)|protobuf\.(?:Timestamp|Duration) ?\{/,
  /"container":"(?:google|cel)\.|\b\w*Value\{/,
  /"@type":"type\.googleapis\.com\/(?!google\.protobuf\.(?:Timestamp|Duration))/,
];

function needsMessages(test: OfficialCase): boolean {
  const text = JSON.stringify(test);
  return MESSAGE_WORDS.some((words) => words.test(text));
}

/** `undefined` when the case passes, else what is wrong. */
export function runCase(test: OfficialCase): string | undefined {
  const frame = new Map<string, CelValue>();
  for (const [name, binding] of Object.entries(test.bindings ?? {})) {
    const value = fromOfficial(binding.value ?? {});
    if (value === undefined) return 'binding of a kind that is not supported';
    frame.set(name, value);
  }
  const compiled = compileExpression(
    test.expr,
    { variables: variablesOf(test, frame), functions: new Map() },
    {
      lenient: test.disableCheck === true,
    },
  );
  const wantsError = test.evalError !== undefined || test.anyEvalErrors !== undefined;
  if (!compiled.ok) return wantsError ? undefined : compiled.issues.map((issue) => issue.message).join(' | ');
  const deduced = test.typedResult?.deducedType;
  if (deduced !== undefined) {
    const [wanted, actual] = [fromOfficialType(deduced), typeText(compiled.expression.type)];
    if (wanted === undefined || typeText(wanted) !== actual) return `type ${actual}`;
  }
  if (test.checkOnly === true) return undefined;
  const actual = compiled.expression.evaluate(frame);
  if (wantsError) return actual instanceof CelError ? undefined : `no error: ${show(actual)}`;
  if (actual instanceof CelError) return `${actual.code}: ${actual.message}`;
  const wanted = fromOfficial(test.value ?? test.typedResult?.result ?? { boolValue: true });
  if (wanted === undefined) return 'result of a kind that is not supported';
  return sameValue(actual, wanted) ? undefined : `got ${show(actual)}, wanted ${show(wanted)}`;
}

function variablesOf(
  test: OfficialCase,
  frame: ReadonlyMap<string, CelValue>,
): Map<string, CelVariable<ReadonlyMap<string, CelValue>>> {
  const variables = new Map<string, CelVariable<ReadonlyMap<string, CelValue>>>();
  const declare = (name: string, type: CelType): void => {
    variables.set(name, { type, read: (values) => values.get(name) });
  };
  for (const name of frame.keys()) declare(name, DYN);
  for (const declaration of test.typeEnv ?? []) {
    if (declaration.ident !== undefined)
      declare(declaration.name, fromOfficialType(declaration.ident.type) ?? DYN);
  }
  return variables;
}

const PRIMITIVES: Readonly<Record<string, CelType>> = {
  BOOL,
  INT64: INT,
  UINT64: UINT,
  DOUBLE,
  STRING,
  BYTES,
};

function fromOfficialType(type: OfficialType): CelType | undefined {
  const list = type.listType as { elemType?: OfficialType } | undefined;
  if (list !== undefined) return within(list.elemType, listOf);
  const map = type.mapType as { keyType?: OfficialType; valueType?: OfficialType } | undefined;
  if (map !== undefined)
    return within(map.keyType, (key) => within(map.valueType, (value) => mapOf(key, value)));
  if (typeof type.primitive === 'string') return PRIMITIVES[type.primitive];
  if (type.wellKnown === 'TIMESTAMP') return TIMESTAMP;
  if (type.wellKnown === 'DURATION') return DURATION;
  if ('null' in type) return NULL;
  if ('type' in type) return TYPE;
  return 'dyn' in type ? DYN : undefined;
}

function within<Made>(type: OfficialType | undefined, make: (type: CelType) => Made): Made | undefined {
  const made = type === undefined ? DYN : fromOfficialType(type);
  return made === undefined ? undefined : make(made);
}

function fromOfficial(value: OfficialValue): CelValue | undefined {
  const [[kind, content] = ['', undefined]] = Object.entries(value);
  switch (kind) {
    case 'nullValue':
      return null;
    case 'boolValue':
      return content === true;
    case 'stringValue':
      return String(content);
    case 'int64Value':
      return BigInt(String(content));
    case 'uint64Value':
      return new CelUint(BigInt(String(content)));
    case 'doubleValue':
      return Number(content);
    case 'bytesValue':
      return new CelBytes(Uint8Array.from(Buffer.from(String(content), 'base64')));
    case 'typeValue':
      return new CelTypeValue(String(content));
    case 'listValue':
      return listFrom((content as { values?: OfficialValue[] }).values ?? []);
    case 'mapValue':
      return mapFrom((content as { entries?: { key: OfficialValue; value: OfficialValue }[] }).entries ?? []);
    case 'objectValue':
      return objectFrom(content as { '@type'?: string; value?: string });
    default:
      return undefined;
  }
}

function listFrom(values: readonly OfficialValue[]): CelValue | undefined {
  const list: CelValue[] = [];
  for (const value of values) {
    const made = fromOfficial(value);
    if (made === undefined) return undefined;
    list.push(made);
  }
  return list;
}

function mapFrom(entries: readonly { key: OfficialValue; value: OfficialValue }[]): CelValue | undefined {
  const map = new Map<string, readonly [CelValue, CelValue]>();
  for (const entry of entries) {
    const [key, value] = [fromOfficial(entry.key), fromOfficial(entry.value)];
    if (key === undefined || value === undefined) return undefined;
    map.set(mapKey(key) ?? '', [key, value]);
  }
  return new CelMap(map);
}

/** Times are the only messages that CEL itself has. */
function objectFrom(message: { '@type'?: string; value?: string }): CelValue | undefined {
  const text = message.value ?? '';
  const made = message['@type']?.endsWith('.Timestamp')
    ? parseTimestamp(text)
    : message['@type']?.endsWith('.Duration')
      ? parseDuration(text)
      : undefined;
  return made instanceof CelError ? undefined : made;
}

/** Equal in value and in type: the suite tells `1` from `1.0`, and takes every NaN for the same. */
export function sameValue(one: CelValue, other: CelValue): boolean {
  if (kindOf(one) !== kindOf(other)) return false;
  if (typeof one === 'number') return one === other || (Number.isNaN(one) && Number.isNaN(other));
  if (one instanceof CelUint) return other instanceof CelUint && one.value === other.value;
  if (one instanceof CelBytes) return other instanceof CelBytes && one.octets.join() === other.octets.join();
  if (one instanceof CelTypeValue) return other instanceof CelTypeValue && one.name === other.name;
  if (one instanceof CelTimestamp || one instanceof CelDuration) {
    const time = other as CelTimestamp | CelDuration;
    return one.seconds === time.seconds && one.nanos === time.nanos;
  }
  if (isList(one) && isList(other)) {
    return (
      one.length === other.length && one.every((element, index) => sameValue(element, other[index] ?? null))
    );
  }
  if (kindOf(one) === 'map') return sameMap(mapEntries(one), mapEntries(other));
  return one === other;
}

function mapEntries(map: CelValue): ReadonlyMap<string, readonly [CelValue, CelValue]> {
  if (map instanceof CelMap) return map.entries;
  return new Map(
    Object.entries(map as Record<string, CelValue>).map(([key, value]) => [`s${key}`, [key, value]]),
  );
}

function sameMap(
  one: ReadonlyMap<string, readonly [CelValue, CelValue]>,
  other: ReadonlyMap<string, readonly [CelValue, CelValue]>,
): boolean {
  if (one.size !== other.size) return false;
  return [...one].every(([name, [key, value]]) => {
    const entry = other.get(name);
    return entry !== undefined && sameValue(key, entry[0]) && sameValue(value, entry[1]);
  });
}

export function show(value: CelValue): string {
  return JSON.stringify(value, (_, part: unknown) => {
    if (typeof part === 'bigint') return `${part}`;
    return part instanceof Map ? [...part.values()] : part;
  });
}
