import { HOOK_EVENT_TYPES } from '@pennon/protocol/webhooks/events';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HookLane } from './hook-lane.js';
import { isWanted } from './wanted-events.js';

const keys = fc.constantFrom('a', 'b', 'c');
const type = fc.constantFrom(...HOOK_EVENT_TYPES);

describe('which webhook is told of what', () => {
  it('nothing of another environment or product, nothing that it did not ask for, and all of the rest', () => {
    fc.assert(
      fc.property(
        keys,
        fc.option(keys, { nil: null }),
        fc.option(fc.uniqueArray(type, { minLength: 1 }), { nil: null }),
        fc.record({ environment_id: keys, product_id: fc.option(keys, { nil: null }), type }),
        (environment_id, product_id, types, event) => {
          const filter = { id: 'w', environment_id, product_id, types: types && JSON.stringify(types) };
          expect(isWanted(filter, event)).toBe(
            event.environment_id === environment_id &&
              (product_id === null || product_id === event.product_id) &&
              (types === null || types.includes(event.type)),
          );
        },
      ),
    );
  });

  it('nothing that this release has no words for', () => {
    const filter = { id: 'w', environment_id: 'e', product_id: null, types: null };
    for (const unknown of ['later.release', 'toString', '']) {
      expect(isWanted(filter, { environment_id: 'e', product_id: null, type: unknown })).toBe(false);
    }
  });
});

describe('how much is under way to one listener', () => {
  it('never more than 32, and one at a time while it fails', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom('claim', 'works', 'fails'), { maxLength: 300 }), (steps) => {
        let now = 0;
        const lane = new HookLane(() => now);
        let underWay = 0;
        let failures = 0;
        for (const step of steps) {
          if (step === 'claim') {
            const room = lane.room();
            expect(room).toBeLessThanOrEqual(failures >= 3 ? 1 : 32);
            for (let one = 0; one < room; one += 1) lane.begin();
            underWay += room;
          } else if (underWay > 0) {
            lane.end(step === 'works');
            underWay -= 1;
            failures = step === 'works' ? 0 : failures + 1;
            // One that refuses at once is left in peace for a moment.
            if (failures >= 3) expect(lane.room()).toBe(0);
          }
          expect(underWay).toBeLessThanOrEqual(32);
          expect(lane.isFailing()).toBe(failures >= 3);
          now += 200;
          // Whoever waits for nothing is given something, or it would wait for ever.
          if (underWay === 0) expect(lane.room()).toBeGreaterThan(0);
        }
      }),
    );
  });
});
