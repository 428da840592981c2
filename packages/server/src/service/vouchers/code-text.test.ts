import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { codeHint, GENERATED_BITS, generateCode, hashCode, isMistyped, normalCode } from './code-text.js';

const ENVIRONMENT = '0190a000-0000-7000-8000-000000000001';
const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';

describe('voucher codes', () => {
  it('K-8 have at least 80 bits in groups that can be read out, and no two are alike', () => {
    expect(GENERATED_BITS).toBeGreaterThanOrEqual(80);
    const codes = Array.from({ length: 5000 }, generateCode);
    for (const code of codes) expect(code).toMatch(/^(?:[0-9A-HJKMNP-TV-Z]{4}-){4}[0-9A-HJKMNP-TV-Z]{4}$/);
    expect(new Set(codes).size).toBe(codes.length);
    // Every character stands in every place: no bit is stuck.
    for (const place of [0, 6, 13, 23]) {
      expect(new Set(codes.map((code) => code[place])).size).toBe(32);
    }
  });

  it('K-8 are read in any case, with or without hyphens, O as 0, I and L as 1', () => {
    const code = generateCode();
    const normal = normalCode(code);
    const said = [...normal].map((one) => (one === '0' ? 'o' : one === '1' ? 'l' : one.toLowerCase()));
    expect(normalCode(` ${said.join(' ')} `)).toBe(normal);
    expect(normalCode(code.replaceAll('-', '‐'))).toBe(normal);
    expect(hashCode(ENVIRONMENT, normalCode(code.toLowerCase()))).toEqual(hashCode(ENVIRONMENT, normal));
    expect(normalCode('spring_26-i')).toBe('SPR1NG261');
  });

  it('show a slip: any one character, and any two neighbours that changed places', () => {
    fc.assert(
      fc.property(fc.nat(19), fc.nat(30), (place, shift) => {
        const normal = normalCode(generateCode());
        expect(isMistyped(normal)).toBe(false);
        const at = ALPHABET.indexOf(normal[place] ?? '');
        const other = ALPHABET[(at + 1 + shift) % 32] ?? '';
        expect(isMistyped(`${normal.slice(0, place)}${other}${normal.slice(place + 1)}`)).toBe(true);
        const [left, right] = [normal[place] ?? '', normal[place + 1] ?? ''];
        if (right !== '' && left !== right) {
          const swapped = `${normal.slice(0, place)}${right}${left}${normal.slice(place + 2)}`;
          expect(isMistyped(swapped)).toBe(true);
        }
      }),
    );
    expect(isMistyped('SPR1NG26')).toBe(false);
  });

  it('are told apart by a hint that gives less than half of them away', () => {
    expect(codeHint('SPR1NG26')).toBe('…G26');
    expect(codeHint(normalCode(generateCode()))).toHaveLength(5);
    expect(codeHint('ABCDEF')).toBe('…EF');
  });

  it('have another hash in another environment', () => {
    expect(hashCode(ENVIRONMENT, 'SPR1NG26')).not.toEqual(hashCode('another', 'SPR1NG26'));
  });
});
