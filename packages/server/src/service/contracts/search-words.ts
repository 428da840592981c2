import { LIMITS } from '@pennon/engine/model/limits';

/*
 * What a customer, user or instance is found by (P-4). Everything is folded here, when it is written and when it is asked, so
 * that the database compares bytes: no locale, no pattern, and `%` or `_` are letters like any other.
 */

/** Whoever writes Muller means Müller; in other scripts a mark is a letter of its own, and stays. */
const MARKS = /([\p{Script=Latin}\p{Script=Greek}\p{Script=Cyrillic}])\p{M}+/gu;

/** Lower case without accents: "ÜBER" and "uber" are the same. */
export function fold(text: string): string {
  return text
    .normalize('NFKC')
    .toLowerCase()
    .replaceAll('ς', 'σ')
    .normalize('NFD')
    .replace(MARKS, '$1')
    .normalize('NFC');
}

const SPACES = /[\s\p{Z}]+/u;
/** Marks belong to the letter before them: the vowels of Hindi and Thai are marks. */
const BETWEEN_WORDS = /[^\p{L}\p{N}\p{M}]+/u;
/** Scripts that put no space between words. */
const UNSPACED =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]/u;

function shortened(word: string): string {
  return [...word].slice(0, LIMITS.searchWordLength.value).join('');
}

/** Words begin after spaces and after punctuation; where a script has no spaces, at every character. */
function wordsOf(text: string): string[] {
  const words: string[] = [];
  for (const token of fold(text).split(SPACES)) {
    words.push(token);
    for (const word of token.split(BETWEEN_WORDS)) {
      words.push(word);
      if (UNSPACED.test(word)) words.push(...beginnings(word));
    }
  }
  return words;
}

function beginnings(word: string): string[] {
  const characters = [...word];
  return characters.flatMap((character, index) =>
    index > 0 && UNSPACED.test(character) && !/\p{M}/u.test(character)
      ? [characters.slice(index).join('')]
      : [],
  );
}

/**
 * The words of some texts, each once. References (keys, mail addresses) are found by their beginning only, texts by that of
 * every word.
 */
export function searchWords(texts: {
  readonly references: readonly (string | null)[];
  readonly name: string | null;
}): string[] {
  const references = texts.references.flatMap((reference) => fold(reference ?? '').split(SPACES));
  const words = [...references, ...wordsOf(texts.name ?? '')].map(shortened).filter((word) => word !== '');
  return [...new Set(words)].slice(0, LIMITS.searchWords.value);
}

/** The beginnings that are asked for; what is found has a word for each of them. */
export function searchTerms(search: string): string[] {
  const terms = [...new Set(fold(search).split(SPACES).map(shortened))].filter((term) => term !== '');
  // Who has "acme" has "a".
  return terms.filter((term) => !terms.some((other) => other !== term && other.startsWith(term)));
}
