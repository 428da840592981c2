import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fromJournalBytes, toJournalLine } from './journal-lines.js';

const texts = fc.array(
  fc.string({ unit: 'binary' }).map((text) => JSON.stringify(text)),
  { maxLength: 12 },
);

function bytesOf(lines: readonly string[]): Buffer {
  return Buffer.concat(lines.map(toJournalLine));
}

describe('lines of a journal', () => {
  it('any prefix of the bytes gives a prefix of the texts, and never a damage', () => {
    fc.assert(
      fc.property(texts, fc.double({ min: 0, max: 1, noNaN: true }), (lines, share) => {
        const bytes = bytesOf(lines);
        const length = Math.floor(bytes.length * share);
        const read = fromJournalBytes(bytes.subarray(0, length));
        expect(read.texts).toEqual(lines.slice(0, read.texts.length));
        expect(read.damaged).toBe(0);
        // Every line that is whole is there.
        const whole = lines.filter((_, index) => bytesOf(lines.slice(0, index + 1)).length <= length);
        expect(read.texts.length).toBe(whole.length);
      }),
      { numRuns: 500 },
    );
  });

  it('whatever a torn tail holds, what stands before it is read', () => {
    fc.assert(
      fc.property(texts, fc.uint8Array({ maxLength: 60 }), (lines, tail) => {
        const read = fromJournalBytes(Buffer.concat([bytesOf(lines), tail]));
        expect(read.texts.slice(0, lines.length)).toEqual(lines);
      }),
      { numRuns: 300 },
    );
  });

  it('one flipped bit loses its line at most, and is told where whole lines follow', () => {
    fc.assert(
      fc.property(texts, fc.nat(), fc.integer({ min: 0, max: 7 }), (lines, place, bit) => {
        const bytes = bytesOf(lines);
        if (bytes.length === 0) return;
        const at = place % bytes.length;
        bytes[at] = (bytes[at] ?? 0) ^ (1 << bit);
        const read = fromJournalBytes(bytes);
        // A line end that is lost joins two lines; one that is made cuts one in two.
        expect(read.texts.length).toBeGreaterThanOrEqual(lines.length - 2);
        for (const text of read.texts) expect(lines).toContain(text);
      }),
      { numRuns: 300 },
    );
  });
});
