import { expect, it } from 'vitest';
import { interned, memberReader } from './member-reader.js';

const NAMES = Array.from({ length: 60 }, (_, index) => `name${index}`);

it('S-4 reads own members only, whichever place a name has, and also where prototypes are tampered with', () => {
  const object = Object.fromEntries(NAMES.map((name) => [name, `value of ${name}`]));
  const prototype = Object.prototype as Record<string, unknown>;
  for (const name of [...NAMES, 'constructor', '__proto__', 'toString']) {
    const read = memberReader(name);
    expect(read({})).toBeUndefined();
    expect(read(object)).toBe(Object.hasOwn(object, name) ? object[name] : undefined);
  }
  for (const name of NAMES) {
    prototype[name] = 'inherited';
    try {
      expect(memberReader(name)({})).toBeUndefined();
      expect(memberReader(name)(object)).toBe(object[name]);
    } finally {
      delete prototype[name];
    }
  }
});

it('interns a text as it is', () => {
  for (const text of ['', 'a', '7', '__proto__', 'é🐱', '\ud800', 'x'.repeat(5000)])
    expect(interned(text)).toBe(text);
});
