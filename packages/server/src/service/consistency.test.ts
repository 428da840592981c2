import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { awaitConsistency, decodeConsistency, encodeConsistency } from './consistency.js';
import type { CustomerStates, Snapshots } from './ports.js';
import { ServiceError } from './service-error.js';

describe('R-16 consistency tokens', () => {
  it('come back as they were made', () => {
    const revision = fc.record({ productId: fc.uuid(), environmentId: fc.uuid(), revision: fc.nat() });
    const customer = fc.record({ environmentId: fc.uuid(), customerKey: fc.string(), version: fc.nat() });
    const points = fc.record({
      revisions: fc.array(revision, { maxLength: 5 }),
      customers: fc.array(customer, { maxLength: 5 }),
    });
    fc.assert(
      fc.property(points, (point) => {
        expect(decodeConsistency(encodeConsistency(point))).toEqual(point);
      }),
    );
  });

  it('are refused as 400 when this software never made them, and nothing else is thrown', () => {
    const broken = fc.oneof(
      fc.string(),
      fc.string().map((text) => `p1.${text}`),
      fc.json().map((text) => `p1.${Buffer.from(text).toString('base64url')}`),
    );
    fc.assert(
      fc.property(broken, (token) => {
        try {
          decodeConsistency(token);
        } catch (error) {
          expect(error).toBeInstanceOf(ServiceError);
          expect(error).toMatchObject({ kind: 'invalid', code: 'BAD_CONSISTENCY_TOKEN' });
        }
      }),
    );
    expect(() => decodeConsistency('p2.e30')).toThrow(ServiceError);
  });

  it('law 11: only what lies in the scope is waited for', async () => {
    const asked: string[] = [];
    const snapshots = {
      atLeast: (productId: string, environmentId: string, revision: number) => {
        asked.push(`${productId} ${environmentId} ${revision}`);
        return Promise.resolve();
      },
    } as unknown as Snapshots;
    const customers = {
      atLeast: (environmentId: string, key: string, version: number) => {
        asked.push(`${environmentId} ${key} ${version}`);
        return Promise.resolve();
      },
    } as unknown as CustomerStates;
    const token = encodeConsistency({
      revisions: [
        { productId: 'p', environmentId: 'mine', revision: 3 },
        { productId: 'q', environmentId: 'mine', revision: 4 },
        { productId: 'p', environmentId: 'theirs', revision: 5 },
      ],
      customers: [
        { environmentId: 'mine', customerKey: 'acme', version: 6 },
        { environmentId: 'theirs', customerKey: 'acme', version: 7 },
      ],
    });
    await awaitConsistency({ snapshots, customers }, token, { environmentId: 'mine', productId: 'p' }, 50);
    expect(asked).toEqual(['p mine 3', 'mine acme 6']);
    await awaitConsistency(
      { snapshots, customers },
      undefined,
      { environmentId: 'mine', productId: null },
      50,
    );
  });
});
