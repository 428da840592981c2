import type { JsonObject } from '@pennon/engine/model/json';
import { describe, expect, it } from 'vitest';
import { type ChangeEntry, tellChanges } from './told-changes.js';

const NOW = Date.parse('2026-03-01T12:00:00.000Z');
const AT = '2026-03-01T12:00:00.000Z';

function entry(objectKind: string, after: JsonObject | null, more: Partial<ChangeEntry> = {}): ChangeEntry {
  return { action: `${objectKind}.change`, productId: 'p', objectKind, objectId: 'id', after, ...more };
}

describe('what a change tells', () => {
  it('a license is told as its customer’s, with its plan where that changed in this very change', () => {
    const license = { id: 'id', customer: 'acme', plan: 'pro', planVersion: 2, earlierPlans: [] };
    const [only, ...none] = tellChanges([entry('license', license)], NOW);
    expect(none).toEqual([]);
    expect(only).toMatchObject({
      type: 'license.changed',
      subject: 'license/id',
      owner: { kind: 'customer', key: 'acme' },
      data: { action: 'license.change', license },
    });
    const earlier = { plan: 'free', planVersion: 1, until: AT };
    const moved = tellChanges([entry('license', { ...license, earlierPlans: [earlier] })], NOW);
    expect(moved.map(({ type }) => type)).toEqual(['license.changed', 'plan.changed']);
    expect(moved[1]?.data).toEqual({
      action: 'license.change',
      license: 'id',
      before: { plan: 'free', planVersion: 1 },
      after: { plan: 'pro', planVersion: 2 },
    });
    // One that it had before, and kept since, is no change of now.
    const long = { ...earlier, until: '2026-02-01T00:00:00.000Z' };
    expect(tellChanges([entry('license', { ...license, earlierPlans: [long] })], NOW)).toHaveLength(1);
  });

  it('a grant is told as whoever’s it is for', () => {
    for (const kind of ['user', 'customer', 'instance', 'group', 'segment']) {
      const [told] = tellChanges([entry('grant', { target: { kind, key: 'k' } })], NOW);
      expect(told).toMatchObject({ type: 'grant.changed', owner: { kind, key: 'k' } });
    }
  });

  it('a membership that was taken out is told as it was', () => {
    const removed = { member: { kind: 'customer', key: 'acme' } };
    const [told] = tellChanges([entry('membership', null, { removed })], NOW);
    expect(told).toMatchObject({ type: 'membership.changed', data: { membership: removed, id: 'id' } });
    expect(tellChanges([entry('membership', null)], NOW)).toEqual([]);
  });

  it('a redemption says nothing of accounts of users', () => {
    const [told] = tellChanges([entry('redemption', { customer: 'acme', kept: [{ scope: 'ann' }] })], NOW);
    expect(told?.data).toEqual({ action: 'redemption.change', redemption: { customer: 'acme' } });
  });

  it('of what nobody listens to nothing is told', () => {
    for (const kind of ['customer', 'user', 'bundle', 'webhook', 'toString', 'constructor']) {
      expect(tellChanges([entry(kind, { customer: 'acme' })], NOW)).toEqual([]);
    }
  });
});
