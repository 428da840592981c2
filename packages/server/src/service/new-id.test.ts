import { describe, expect, it } from 'vitest';
import { isId, newId } from './new-id.js';

describe('newId', () => {
  it('is a UUIDv7 of the instant', () => {
    const at = 4_102_444_800_123;
    const id = newId(at);
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(Number.parseInt(id.replaceAll('-', '').slice(0, 12), 16)).toBe(at);
    expect(isId(id)).toBe(true);
  });

  it('sorts in the order of making, over more ids than a millisecond has counters and when the clock steps back', () => {
    const at = 4_102_444_900_000;
    const ids = Array.from({ length: 20_000 }, (_, index) => newId(at - (index % 3)));
    expect([...ids].sort()).toEqual(ids);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it.each([
    '',
    'x',
    '0190A000-0000-7000-8000-000000000001',
    '0190a000000070008000000000000001',
    "'; drop table",
  ])('isId refuses %s', (text) => {
    expect(isId(text)).toBe(false);
  });
});
