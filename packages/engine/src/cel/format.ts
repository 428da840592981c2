import { entriesOf } from './compare.js';
import { toText } from './conversions.js';
import { OVER_BUDGET, type RunState, spend, spendRebuild, tooLong } from './run-state.js';
import { encodeUtf8 } from './utf8.js';
import {
  CelBytes,
  CelError,
  type CelMap,
  type CelRecord,
  CelTypeValue,
  CelUint,
  type CelValue,
  isList,
  kindOf,
} from './values.js';

const CLAUSE = /%(?:(%)|(?:\.(\d{1,3}))?([a-zA-Z])?)/g;
const DEFAULT_PRECISION = 6;
const MOST_PRECISION = 100;
const DEEPEST = 16;

class FormatFault {
  readonly message: string;
  constructor(message: string) {
    this.message = message;
  }
}

/** `"%s has %d".format([name, count])`: the clauses s, d, f, e, b, o, x, X and `%%`. */
export function format(template: string, args: readonly CelValue[], state: RunState): CelValue | CelError {
  let text = '';
  let last = 0;
  let used = 0;
  for (const match of template.matchAll(CLAUSE)) {
    text += template.slice(last, match.index);
    last = match.index + match[0].length;
    if (match[1] !== undefined) text += '%';
    else {
      if (used >= args.length) return invalid(`There is no value for clause ${used + 1}`);
      const precision = match[2] === undefined ? undefined : Number(match[2]);
      const part = clause(match[3], precision, args[used] ?? null, state);
      if (part instanceof FormatFault) return invalid(part.message);
      text += part;
      used += 1;
    }
    if (text.length > state.limits.stringLength) return tooLong('string', state.limits.stringLength);
    if (!spend(state, 1)) return OVER_BUDGET;
  }
  text += template.slice(last);
  return spend(state, text.length >> 4) ? text : OVER_BUDGET;
}

function invalid(message: string): CelError {
  return new CelError('INVALID_ARGUMENT', `\`format\`: ${message}`);
}

function clause(
  letter: string | undefined,
  precision: number | undefined,
  value: CelValue,
  state: RunState,
): string | FormatFault {
  switch (letter) {
    case 's':
      return textOf(value, state, 0);
    case 'd':
      return decimal(value);
    case 'f':
    case 'e':
      return real(letter, precision ?? DEFAULT_PRECISION, value);
    case 'b':
      return typeof value === 'boolean' ? String(Number(value)) : radix(letter, 2, value);
    case 'o':
      return radix(letter, 8, value);
    case 'x':
      return hexadecimal(letter, value, state);
    case 'X': {
      const text = hexadecimal(letter, value, state);
      return typeof text === 'string' ? text.toUpperCase() : text;
    }
    default:
      return new FormatFault(`\`%${letter ?? ''}\` is not a clause`);
  }
}

function unfit(letter: string, value: CelValue): FormatFault {
  return new FormatFault(`\`%${letter}\` cannot show a \`${kindOf(value)}\``);
}

function integerOf(value: CelValue): bigint | undefined {
  if (typeof value === 'bigint') return value;
  return value instanceof CelUint ? value.value : undefined;
}

function decimal(value: CelValue): string | FormatFault {
  if (typeof value === 'number') return String(value);
  const integer = integerOf(value);
  return integer === undefined ? unfit('d', value) : String(integer);
}

function radix(letter: string, base: 2 | 8 | 16, value: CelValue): string | FormatFault {
  const integer = integerOf(value);
  return integer === undefined ? unfit(letter, value) : integer.toString(base);
}

function hexadecimal(letter: string, value: CelValue, state: RunState): string | FormatFault {
  const length =
    typeof value === 'string' ? value.length : value instanceof CelBytes ? value.octets.length : 0;
  if (!spendRebuild(state, length)) return new FormatFault('the value is too long to be shown');
  const octets =
    typeof value === 'string' ? encodeUtf8(value) : value instanceof CelBytes ? value.octets : undefined;
  if (octets === undefined) return radix(letter, 16, value);
  return Array.from(octets, (octet) => octet.toString(16).padStart(2, '0')).join('');
}

function real(letter: 'f' | 'e', precision: number, value: CelValue): string | FormatFault {
  const integer = integerOf(value);
  const number = integer === undefined ? value : Number(integer);
  if (typeof number !== 'number') return unfit(letter, value);
  if (precision > MOST_PRECISION)
    return new FormatFault(`a precision above ${MOST_PRECISION} is not supported`);
  if (!Number.isFinite(number)) return String(number);
  if (letter === 'e') return number.toExponential(precision).replace(/e([+-])(\d)$/, 'e$10$2');
  return fixed(number, precision);
}

/** Halves go to the even neighbour; `toFixed` alone takes them up. */
function fixed(number: number, precision: number): string {
  const plain = number.toFixed(precision);
  if (precision > MOST_PRECISION - 25 || Math.abs(number) >= 2 ** 53) return plain;
  const exact = Math.abs(number).toFixed(precision + 25);
  const cut = exact.length - 25;
  const down = exact.slice(0, cut).replace(/\.$/, '');
  const isHalf = /^50*$/.test(exact.slice(cut));
  const lastDigit = Number(down.at(-1));
  return isHalf && lastDigit % 2 === 0 ? `${number < 0 ? '-' : ''}${down}` : plain;
}

function textOf(value: CelValue, state: RunState, depth: number): string | FormatFault {
  if (!spend(state, 1) || depth > DEEPEST) return new FormatFault('the value is too large to be shown');
  if (value === null) return 'null';
  if (value instanceof CelTypeValue) return value.name;
  if (isList(value))
    return bracket(
      '[',
      ']',
      value.map((element) => textOf(element, state, depth + 1)),
    );
  if (kindOf(value) === 'map') return mapText(value as CelMap | CelRecord, state, depth);
  if (value instanceof CelBytes && !spendRebuild(state, value.octets.length)) {
    return new FormatFault('the value is too long to be shown');
  }
  const text = toText(value);
  if (text instanceof CelError) return new FormatFault(text.message);
  return typeof text === 'string' ? text : unfit('s', value);
}

/** Entries stand in the order of their keys' text, so that the same map gives the same text. */
function mapText(map: CelMap | CelRecord, state: RunState, depth: number): string | FormatFault {
  const parts: { key: string; text: string }[] = [];
  for (const [key, value] of entriesOf(map)) {
    const [keyText, valueText] = [textOf(key, state, depth + 1), textOf(value, state, depth + 1)];
    if (typeof keyText !== 'string') return keyText;
    if (typeof valueText !== 'string') return valueText;
    parts.push({ key: keyText, text: `${keyText}: ${valueText}` });
  }
  parts.sort((one, other) => (one.key < other.key ? -1 : one.key > other.key ? 1 : 0));
  return bracket(
    '{',
    '}',
    parts.map((part) => part.text),
  );
}

function bracket(
  open: string,
  close: string,
  parts: readonly (string | FormatFault)[],
): string | FormatFault {
  for (const part of parts) if (typeof part !== 'string') return part;
  return `${open}${parts.join(', ')}${close}`;
}
