import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bucketNumber, bucketSeed, bucketText } from './bucket.js';
import { murmur3, utf8 } from './murmur3.js';

describe('murmur3', () => {
  it('gives the published values', () => {
    expect(murmur3('')).toBe(0);
    expect(murmur3('test')).toBe(0xba6bd213);
    expect(murmur3('hello')).toBe(0x248bfa47);
    expect(murmur3('Hello, world!')).toBe(0xc0363e43);
    expect(murmur3('The quick brown fox jumps over the lazy dog')).toBe(0x2e4ff723);
  });

  it('encodes UTF-8 as the platform does, lone surrogates too', () => {
    const unit = fc.integer({ min: 0, max: 0xffff }).map((code) => String.fromCharCode(code));
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.array(unit).map((units) => units.join('')),
    );
    fc.assert(
      fc.property(text, (value) => {
        expect([...utf8(value)]).toEqual([...new TextEncoder().encode(value)]);
      }),
    );
  });
});

describe('bucketNumber', () => {
  it('K-4 hashes seed, zero byte and value, whichever of them is ASCII', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme' }), (seed, value) => {
        const whole = murmur3(`${seed}\u0000${value}`);
        expect(bucketNumber(bucketSeed(seed), value, 1_000_000)).toBe(
          Number((BigInt(whole) * 1_000_000n) >> 32n),
        );
      }),
    );
  });

  it('K-4 is exact for every total, against integers of any size', () => {
    fc.assert(
      fc.property(fc.string(), fc.integer({ min: 1, max: 1_000_000 }), (value, total) => {
        const exact = (BigInt(murmur3(`x\u0000${value}`)) * BigInt(total)) / 4_294_967_296n;
        const number = bucketNumber(bucketSeed('x'), value, total);
        expect(number).toBe(Number(exact));
        expect(number).toBeLessThan(total);
      }),
    );
  });

  it('refuses totals that are none', () => {
    for (const total of [0, -1, 1.5, 1_000_001, Number.NaN]) {
      expect(() => bucketNumber(bucketSeed('x'), 'y', total)).toThrow(/`total`/);
    }
  });

  it('K-4 is uniform: chi-square over 100 buckets for keys that differ in a counter', () => {
    for (const seed of ['a', 'analytics-v2', 'ключ']) {
      const counts = new Array<number>(100).fill(0);
      const state = bucketSeed(seed);
      const users = 100_000;
      for (let index = 0; index < users; index += 1) {
        const number = bucketNumber(state, `user-${index}`, 100);
        counts[number] = (counts[number] ?? 0) + 1;
      }
      const expected = users / 100;
      const chi = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
      // 99 degrees of freedom: beyond 160 less often than once in ten thousand times.
      expect(chi).toBeLessThan(160);
    }
  });

  it('K-4 two seeds bucket independently', () => {
    let both = 0;
    for (let index = 0; index < 20_000; index += 1) {
      const one = bucketNumber(bucketSeed('one'), `u${index}`, 2) === 0;
      const two = bucketNumber(bucketSeed('two'), `u${index}`, 2) === 0;
      if (one && two) both += 1;
    }
    expect(Math.abs(both - 5000)).toBeLessThan(300);
  });
});

describe('bucketText', () => {
  it('takes strings, safe integers and booleans, and nothing else', () => {
    expect([bucketText('a'), bucketText(''), bucketText(-7), bucketText(true)]).toEqual([
      'a',
      '',
      '-7',
      'true',
    ]);
    for (const value of [undefined, null, 1.5, 2 ** 53, Number.NaN, {}, [], 1n])
      expect(bucketText(value)).toBeNull();
  });
});
