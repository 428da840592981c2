import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ServiceError } from '../service/service-error.js';
import { type JsonReadLimits, readJson } from './json-reader.js';
import { readBody } from './read-body.js';

const LIMITS: JsonReadLimits = { depth: 32, members: 1000, duplicates: 'refuse', inexactIntegers: 'refuse' };

function faultOf(text: string, limits: JsonReadLimits = LIMITS) {
  try {
    readJson(text, limits);
  } catch (error) {
    if (error instanceof ServiceError) return { code: error.code, ...error.items[0] };
    throw error;
  }
  return null;
}

describe('readJson', () => {
  it('reads whatever JSON.stringify writes, with and without white space', () => {
    const value = fc
      .jsonValue({ maxDepth: 6 })
      .filter((one) => !JSON.stringify(one).match(/__proto__|constructor|prototype|\\u0000/));
    fc.assert(
      fc.property(value, fc.constantFrom(0, 2), (one, indent) => {
        const text = JSON.stringify(one, null, indent);
        // A number like 1e21 is not an integer literal, and a large one without an exponent is refused.
        fc.pre(!/\d{16}/.test(text));
        expect(readJson(text, LIMITS)).toEqual(JSON.parse(text));
      }),
    );
  });

  it('refuses exactly what JSON.parse refuses, as a typed fault', () => {
    const piece = fc.constantFrom(
      '{',
      '}',
      '[',
      ']',
      ',',
      ':',
      '"a"',
      '"',
      '1',
      '-',
      '0',
      '.',
      'e5',
      'true',
      'null',
      ' ',
      '\\',
      '\n',
      'x',
    );
    const lenient = { ...LIMITS, duplicates: 'last', inexactIntegers: 'round' } as const;
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        const text = pieces.join('');
        let parsed: unknown;
        try {
          parsed = JSON.parse(text);
        } catch {
          expect(faultOf(text, lenient)).not.toBeNull();
          return;
        }
        fc.pre(!/e5e5|\d{16}/.test(text));
        const fault = faultOf(text, lenient);
        if (fault?.code === 'BODY_NUMBER_INEXACT') return;
        expect(fault).toBeNull();
        expect(readJson(text, lenient)).toEqual(parsed);
      }),
      { numRuns: 3000 },
    );
  });

  it('names line, column and pointer of the fault', () => {
    expect(faultOf('{\n  "a": [1, {"b": 1, "b": 2}]\n}')).toMatchObject({
      code: 'BODY_MEMBER_DUPLICATE',
      line: 2,
      column: 21,
      pointer: '/a/1',
    });
    expect(faultOf('{"a": 9007199254740993}')).toMatchObject({ code: 'BODY_NUMBER_INEXACT', pointer: '/a' });
  });

  it.each([
    ['{"__proto__": 1}', 'BODY_MEMBER_REFUSED'],
    ['{"\\u005f_proto__": 1}', 'BODY_MEMBER_REFUSED'],
    ['"\\u0000"', 'BODY_TEXT_REFUSED'],
    ['"\\ud83d"', 'BODY_TEXT_REFUSED'],
    ['1e999', 'BODY_NUMBER_INEXACT'],
    ['', 'BODY_NOT_JSON'],
    ['"\t"', 'BODY_NOT_JSON'],
  ])('refuses %s as %s', (text, code) => {
    expect(faultOf(text)?.code).toBe(code);
  });

  it('bounds depth and members exactly', () => {
    const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth);
    expect(faultOf(nested(32))).toBeNull();
    expect(faultOf(nested(33))?.code).toBe('BODY_TOO_DEEP');
    const many = (count: number) => JSON.stringify(Array.from({ length: count }, () => 0));
    expect(faultOf(many(1000))).toBeNull();
    expect(faultOf(many(1001))?.code).toBe('BODY_TOO_MANY_MEMBERS');
  });
});

describe('readBody, fast', () => {
  it('S-4 S-19 agrees with the careful reader on every body', () => {
    const limits = { depth: 22, members: 1100, duplicates: 'last', inexactIntegers: 'round' } as const;
    const key = fc.oneof(
      fc.string({ maxLength: 6 }),
      fc.constantFrom('__proto__', 'constructor', 'a\\u0041', 'context'),
    );
    const object = fc.dictionary(key, fc.jsonValue({ maxDepth: 3 }), { maxKeys: 6, noNullPrototype: true });
    fc.assert(
      fc.property(object, fc.nat(60), (one, cut) => {
        const whole = JSON.stringify(one);
        const text = cut < 40 ? whole : whole.slice(0, -1);
        const careful = attempt(() => readJson(text, limits));
        expect(attempt(() => readBody(Buffer.from(text), 'fast', 'application/json'))).toEqual(careful);
      }),
      { numRuns: 2000 },
    );
  });

  it('an empty body is none', () => {
    expect(readBody(Buffer.alloc(0), 'fast', 'application/json')).toBeUndefined();
  });

  it('a document of people passes, a deep one never reaches a parser', () => {
    const yaml = 'flags:\n  - { key: a, rules: [{ if: "user.role in [\'[[[\']", serve: true }] }\n';
    expect(readBody(Buffer.from(yaml), 'document', 'application/yaml')).toEqual({
      mediaType: 'application/yaml',
      text: yaml,
    });
    for (const [text, mediaType] of [
      ['['.repeat(33), 'application/json'],
      ['['.repeat(300), 'application/yaml'],
      ['- '.repeat(100), 'application/yaml'],
      [`${' '.repeat(600)}a: 1`, 'application/yaml'],
    ] as const) {
      expect(() => readBody(Buffer.from(text), 'document', mediaType)).toThrow('deeper than');
    }
  });
});

function attempt(read: () => unknown): unknown {
  try {
    return { value: read() };
  } catch (error) {
    return { code: error instanceof ServiceError ? error.code : `not typed: ${String(error)}` };
  }
}
