import { describe, expect, it } from 'vitest';
import { toCelType, toCelValue, toJsonValue } from './json.js';
import { typeText } from './types.js';
import { CelBytes, CelDuration, CelError, CelMap, CelTimestamp, CelTypeValue, CelUint } from './values.js';

describe('the way from JSON Schema to types', () => {
  it.each([
    [{ type: 'integer' }, 'int'],
    [{ type: 'number' }, 'double'],
    [{ type: 'string' }, 'string'],
    [{ enum: ['a', 'b'] }, 'string'],
    [{ type: ['string', 'null'] }, 'dyn'],
    [{ type: 'array', items: { type: 'integer' } }, 'list<int>'],
    [{ type: 'array' }, 'list<dyn>'],
    [{ type: 'object', additionalProperties: { type: 'number' } }, 'map<string, double>'],
    [{ type: 'object' }, 'map<string, dyn>'],
    [{ properties: { a: { type: 'string' } } }, 'object'],
    [{}, 'dyn'],
  ])('%j is %s', (schema, wanted) => {
    expect(typeText(toCelType(schema))).toBe(wanted);
  });

  it('is closed where it names properties, unless it says otherwise', () => {
    const properties = { a: { type: 'string' } };
    expect(toCelType({ properties })).not.toHaveProperty('additional');
    expect(toCelType({ properties, additionalProperties: true })).toHaveProperty('additional', {
      kind: 'dyn',
    });
  });
});

describe('the way back to JSON', () => {
  it('writes every kind of value', () => {
    const map = new CelMap(new Map([['1', [1n, new CelUint(2n)]]]));
    const value = [
      1n,
      1.5,
      'x',
      null,
      true,
      map,
      new CelTimestamp(0, 500_000_000),
      new CelDuration(-2, 500_000_000),
    ];
    expect(toJsonValue(value)).toEqual([
      1,
      1.5,
      'x',
      null,
      true,
      { 1: 2 },
      '1970-01-01T00:00:00.5Z',
      '-1.5s',
    ]);
    expect(toJsonValue(new CelBytes(Uint8Array.from([104, 105, 33, 63])))).toBe('aGkhPw==');
    expect(toJsonValue(new CelTypeValue('int'))).toBe('int');
    expect(toJsonValue(toCelValue({ a: [1, { b: null }] }))).toEqual({ a: [1, { b: null }] });
  });

  it('refuses what JSON does not hold', () => {
    for (const value of [2n ** 62n, Number.NaN, Number.POSITIVE_INFINITY, [2n ** 60n]]) {
      expect(toJsonValue(value)).toBeInstanceOf(CelError);
    }
  });
});
