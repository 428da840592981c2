import { createHash, randomBytes } from 'node:crypto';

/*
 * Codes (K-8). A generated one is 19 random characters of Crockford's base 32, which are 95 bits, and a check character, in five
 * groups of four. One that a person chose is letters and digits. Both are read alike: in any case, without hyphens, spaces and
 * underscores, `O` as `0`, `I` and `L` as `1`; and both are stored as a hash alone.
 */

const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const RANDOM_CHARACTERS = 19;
const GROUP = 4;
const HINT_CHARACTERS = 4;

/** What is random in a generated code. */
export const GENERATED_BITS = RANDOM_CHARACTERS * 5;

/** A new code, grouped for reading. */
export function generateCode(): string {
  // Five bits of a byte are as even as the byte.
  const random = [...randomBytes(RANDOM_CHARACTERS)].map((byte) => byte & 31);
  const text = [...random, checkOf(random)].map((value) => ALPHABET[value] ?? '').join('');
  return (text.match(new RegExp(`.{${GROUP}}`, 'g')) ?? []).join('-');
}

/**
 * A weighted sum over the field of 32 elements (x^5 + x^2 + 1), so that one wrong character and two that changed places always
 * show.
 */
function checkOf(values: readonly number[]): number {
  let sum = 0;
  for (const value of values) sum = timesX(sum ^ value);
  return sum;
}

function timesX(value: number): number {
  const shifted = value << 1;
  return shifted >= 32 ? (shifted ^ 0b100101) & 31 : shifted;
}

/** Whether a normal text has the length of generated codes, which none that a person chose may have. */
export function isGeneratedLength(normal: string): boolean {
  return normal.length === RANDOM_CHARACTERS + 1;
}

/** Whether a normal text is of that length and no code: a slip of the pen, which can be told without asking anybody. */
export function isMistyped(normal: string): boolean {
  if (!isGeneratedLength(normal)) return false;
  const values = [...normal].map((character) => ALPHABET.indexOf(character));
  return values.includes(-1) || checkOf(values.slice(0, -1)) !== values.at(-1);
}

/** The one form of a code. What is not a letter or a digit is left out. */
export function normalCode(text: string): string {
  return text
    .normalize('NFKC')
    .toUpperCase()
    .replace(/[^0-9A-Z]/g, '')
    .replaceAll('O', '0')
    .replace(/[IL]/g, '1');
}

/**
 * What is stored and looked up: SHA-256 of the environment and the normal form. The environment makes it another hash
 * everywhere; see the decision on hashes of codes.
 */
export function hashCode(environmentId: string, normal: string): Buffer {
  return createHash('sha256').update(`pennon voucher\u0000${environmentId}\u0000${normal}`).digest();
}

/** The last characters, to tell codes apart in a list. Of a short one, which a person chose, less than half. */
export function codeHint(normal: string): string {
  return `…${normal.slice(-Math.min(HINT_CHARACTERS, Math.floor((normal.length - 1) / 2)))}`;
}
