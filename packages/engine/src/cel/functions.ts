import { noOverload, sizeOfMap } from './compare.js';
import {
  toBool,
  toBytes,
  toDouble,
  toDuration,
  toInt,
  toText,
  toTimestamp,
  toUint,
  typeValue,
} from './conversions.js';
import { format } from './format.js';
import { OVER_BUDGET, type RunState, spend, spendRebuild, spendScan } from './run-state.js';
import * as strings from './strings.js';
import { durationPart, TIMESTAMP_GETTERS, timestampPart } from './time.js';
import {
  BOOL,
  BYTES,
  type CelType,
  DOUBLE,
  DURATION,
  DYN,
  INT,
  listOf,
  mapOf,
  STRING,
  TIMESTAMP,
  TYPE,
  UINT,
} from './types.js';
import {
  CelBytes,
  type CelDuration,
  type CelError,
  type CelMap,
  type CelRecord,
  type CelTimestamp,
  type CelValue,
  isList,
  kindOf,
  typeNameOf,
} from './values.js';

type Result = CelValue | CelError;

/** One form of a standard function. A member's target is its first parameter. */
export interface Overload {
  readonly member: boolean;
  readonly parameters: readonly CelType[];
  readonly result: CelType;
  /** Units of cost beside the arguments. */
  readonly cost: number;
  /** Called only with arguments of these kinds. */
  call(args: readonly CelValue[], state: RunState): Result;
}

type Implementation = (args: readonly CelValue[], state: RunState) => Result;

const table = new Map<string, Overload[]>();

function define(
  name: string,
  member: boolean,
  parameters: readonly CelType[],
  result: CelType,
  call: Implementation,
  cost = 1,
): void {
  const overloads = table.get(name) ?? [];
  overloads.push({ member, parameters, result, cost, call });
  table.set(name, overloads);
}

/** Scanning functions pay by the length of their target beyond what the bound on nodes covers. */
function defineText(
  name: string,
  parameters: readonly CelType[],
  result: CelType,
  call: (text: string, rest: readonly CelValue[], state: RunState) => Result,
  pay: (state: RunState, length: number) => boolean = spendScan,
): void {
  const scan: Implementation = (args, state) => {
    const text = args[0] as string;
    return pay(state, text.length) ? call(text, args.slice(1), state) : OVER_BUDGET;
  };
  define(name, true, [STRING, ...parameters], result, scan, 2);
}

function sizeOf(value: CelValue): Result {
  if (typeof value === 'string') return BigInt(strings.codePointLength(value));
  if (isList(value)) return BigInt(value.length);
  if (value instanceof CelBytes) return BigInt(value.octets.length);
  return kindOf(value) === 'map' ? BigInt(sizeOfMap(value as CelMap | CelRecord)) : noOverload('size', value);
}

for (const type of [STRING, BYTES, listOf(DYN), mapOf(DYN, DYN)]) {
  for (const member of [true, false]) {
    define('size', member, [type], INT, ([value = null], state) => {
      return typeof value === 'string' && !spendScan(state, value.length) ? OVER_BUDGET : sizeOf(value);
    });
  }
}

defineText('contains', [STRING], BOOL, (text, [part]) => text.includes(part as string));
defineText('startsWith', [STRING], BOOL, (text, [part]) => text.startsWith(part as string));
defineText('endsWith', [STRING], BOOL, (text, [part]) => text.endsWith(part as string));

function lengthOf(value: CelValue): number {
  if (typeof value === 'string') return value.length;
  return value instanceof CelBytes ? value.octets.length : 0;
}

const conversions: readonly [string, CelType, readonly CelType[], (value: CelValue) => Result][] = [
  ['int', INT, [INT, UINT, DOUBLE, STRING, TIMESTAMP, DURATION], toInt],
  ['uint', UINT, [UINT, INT, DOUBLE, STRING], toUint],
  ['double', DOUBLE, [DOUBLE, INT, UINT, STRING], toDouble],
  ['string', STRING, [STRING, INT, UINT, DOUBLE, BOOL, BYTES, TIMESTAMP, DURATION], toText],
  ['bytes', BYTES, [BYTES, STRING], toBytes],
  ['bool', BOOL, [BOOL, STRING], toBool],
  ['timestamp', TIMESTAMP, [TIMESTAMP, STRING, INT], toTimestamp],
  ['duration', DURATION, [DURATION, STRING], toDuration],
];
for (const [name, result, parameters, convert] of conversions) {
  for (const parameter of parameters) {
    const call: Implementation = ([value = null], state) => {
      const length = parameter.kind === result.kind ? 0 : lengthOf(value);
      return spendRebuild(state, length) ? convert(value) : OVER_BUDGET;
    };
    define(name, false, [parameter], result, call, 2);
  }
}
define('dyn', false, [DYN], DYN, ([value = null]) => value);
define('type', false, [DYN], TYPE, ([value = null]) => typeValue(typeNameOf(value)));

const UTC = 'UTC';
/** Finding the offset of a zone takes as long as this many simple steps. */
const ZONE_COST = 100;
for (const part of TIMESTAMP_GETTERS) {
  define(part, true, [TIMESTAMP], INT, ([time]) => timestampPart(time as CelTimestamp, part, UTC), 2);
  const inZone: Implementation = ([time, zone], state) => {
    return spend(state, ZONE_COST) ? timestampPart(time as CelTimestamp, part, zone as string) : OVER_BUDGET;
  };
  define(part, true, [TIMESTAMP, STRING], INT, inZone, ZONE_COST);
}
for (const part of ['getHours', 'getMinutes', 'getSeconds', 'getMilliseconds'] as const) {
  define(part, true, [DURATION], INT, ([value]) => durationPart(value as CelDuration, part));
}

defineText('charAt', [INT], STRING, (text, [position]) => strings.charAt(text, position as bigint));
defineText('indexOf', [STRING], INT, (text, [part]) => strings.indexOf(text, part as string, undefined));
defineText('indexOf', [STRING, INT], INT, (text, [part, from]) =>
  strings.indexOf(text, part as string, from as bigint),
);
defineText('lastIndexOf', [STRING], INT, (text, [part]) =>
  strings.lastIndexOf(text, part as string, undefined),
);
defineText('lastIndexOf', [STRING, INT], INT, (text, [part, from]) =>
  strings.lastIndexOf(text, part as string, from as bigint),
);
defineText('substring', [INT], STRING, (text, [from]) => strings.substring(text, from as bigint, undefined));
defineText('substring', [INT, INT], STRING, (text, [from, to]) =>
  strings.substring(text, from as bigint, to as bigint),
);
defineText('lowerAscii', [], STRING, (text) => strings.lowerAscii(text), spendRebuild);
defineText('upperAscii', [], STRING, (text) => strings.upperAscii(text), spendRebuild);
defineText('trim', [], STRING, (text) => strings.trim(text), spendRebuild);
defineText('reverse', [], STRING, (text) => strings.reverse(text), spendRebuild);
defineText('replace', [STRING, STRING], STRING, (text, [part, by], state) =>
  strings.replace(text, part as string, by as string, -1n, state),
);
defineText('replace', [STRING, STRING, INT], STRING, (text, [part, by, limit], state) =>
  strings.replace(text, part as string, by as string, limit as bigint, state),
);
defineText('split', [STRING], listOf(STRING), (text, [separator], state) =>
  strings.split(text, separator as string, -1n, state),
);
defineText('split', [STRING, INT], listOf(STRING), (text, [separator, limit], state) =>
  strings.split(text, separator as string, limit as bigint, state),
);
defineText('format', [listOf(DYN)], STRING, (text, [list], state) =>
  format(text, list as readonly CelValue[], state),
);
define(
  'join',
  true,
  [listOf(STRING)],
  STRING,
  ([list], state) => strings.join(list as readonly CelValue[], '', state),
  10,
);
define(
  'join',
  true,
  [listOf(STRING), STRING],
  STRING,
  ([list, separator], state) => strings.join(list as readonly CelValue[], separator as string, state),
  10,
);
define('strings.quote', false, [STRING], STRING, ([text], state) => {
  return spendRebuild(state, (text as string).length) ? strings.quote(text as string) : OVER_BUDGET;
});

/** CEL's standard functions and its extension for strings, by name. `matches` is the compiler's own. */
export const STANDARD_FUNCTIONS: ReadonlyMap<string, readonly Overload[]> = table;

/** Whether a value may be given to a parameter. Elements are looked at by those who use them. */
export function fitsParameter(value: CelValue, parameter: CelType): boolean {
  if (parameter.kind === 'dyn') return true;
  const kind = kindOf(value);
  return kind === parameter.kind || (parameter.kind === 'object' && kind === 'map');
}

/** The first overload that fits the values, called. */
export function callOverloads(
  name: string,
  overloads: readonly Overload[],
  args: readonly CelValue[],
  state: RunState,
): Result {
  for (const overload of overloads) {
    if (overload.parameters.every((parameter, index) => fitsParameter(args[index] ?? null, parameter))) {
      return overload.call(args, state);
    }
  }
  return noOverload(name, ...args);
}
