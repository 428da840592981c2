import { LIMITS } from '@pennon/engine/model/limits';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fold, searchTerms, searchWords } from './search-words.js';

function found(name: string, search: string): boolean {
  const words = searchWords({ references: [], name });
  return searchTerms(search).every((term) => words.some((word) => word.startsWith(term)));
}

describe('P-4 what somebody is found by', () => {
  it.each([
    ['Zeppelin Überflug AG', 'über'],
    ['Zeppelin Überflug AG', 'UBER zep'],
    ['Müller-Lüdenscheidt GmbH', 'lüden'],
    ['Hotel Müller-Lüdenscheidt', 'müller-lü'],
    ["Sinéad O'Brien", 'brien'],
    ["Sinéad O'Brien", "o'br"],
    ['"Acme" (Europe)', 'acme eur'],
    ['Ａｃｍｅ ﬁeld', 'acme field'],
    ['İstanbul Ticaret', 'istanbul'],
    ['ΟΔΟΣ Αθηνών', 'οδοσ αθηνων'],
    ['Ёлка Йога', 'елка'],
    ['株式会社東京電力', '東京'],
    ['株式会社東京電力', '東京電力'],
    ['トヨタ自動車', '自動'],
    ['บริษัทไทยออยล์', 'ไทย'],
    ['हिन्दी समाचार', 'समा'],
    ['한국 전력', '전력'],
    ['مصر للطيران', 'للطي'],
    ['100% _real_ company', '100%'],
    ['100% _real_ company', '_real'],
    ['C++ Gilde', 'c++'],
    ['Acme🚀Rockets', 'rockets'],
  ])('%s is found by %s', (name, search) => expect(found(name, search)).toBe(true));

  it.each([
    ['Zeppelin', 'eppelin'],
    ['Acme', '%'],
    ['Acme', 'ac_e'],
    ['Acme Rockets', 'acme x'],
    ['हिन्दी', 'न्दी'],
  ])('%s is not found by %s', (name, search) => expect(found(name, search)).toBe(false));

  it('asks for each beginning once, and not for one that another says already', () => {
    expect(searchTerms('  acme A ac ACME  beta ')).toEqual(['acme', 'beta']);
    expect(searchTerms(' \u3000\t')).toEqual([]);
  });

  it('finds a reference by its beginning only', () => {
    const words = searchWords({ references: ['SF-0042', 'info@zeppelin.example', null], name: null });
    expect(words).toEqual(['sf-0042', 'info@zeppelin.example']);
  });

  it('property: whatever the text, it is found by each beginning of it and of its words, and the index stays bounded', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 60 }), fc.nat(60), (name, length) => {
        const words = searchWords({ references: [], name });
        expect(words.length).toBeLessThanOrEqual(LIMITS.searchWords.value);
        expect(new Set(words).size).toBe(words.length);
        for (const word of words) {
          expect([...word].length).toBeLessThanOrEqual(LIMITS.searchWordLength.value);
          expect(word).not.toMatch(/\s/);
        }
        // Folding twice is folding once: what is stored and what is asked meet.
        expect(fold(fold(name))).toBe(fold(name));
        const beginning = [...name].slice(0, length).join('');
        if (words.length < LIMITS.searchWords.value && !/\p{M}/u.test(name)) {
          expect(found(name, beginning)).toBe(true);
        }
      }),
    );
  });
});
