import { describe, expect, it } from 'vitest';
import type { Credential } from './credential.js';
import type { EvaluationInput } from './evaluation-request.js';
import type { KnownCustomer } from './known-customer.js';
import type { Snapshots } from './ports.js';
import { createRecentPreparations } from './recent-preparations.js';

const CREDENTIAL = { kind: 'server', keyId: 'k1', environmentId: 'e', productId: null } as Credential;
const INPUT: EvaluationInput = {
  context: {},
  product: undefined,
  environment: undefined,
  consistency: undefined,
};
const CONTEXT = '{"targetingKey":"acme"}';

function recentAt(clock: { now: number }) {
  let snapshot = { revision: 1 };
  const known = {
    customerKey: 'acme',
    scope: { productId: 'p', environmentId: 'e' },
    evaluation: { snapshot },
  } as unknown as KnownCustomer;
  const snapshots = { current: () => snapshot } as unknown as Snapshots;
  const recent = createRecentPreparations(snapshots, () => clock.now);
  const publish = (): void => {
    snapshot = { revision: 2 };
  };
  return { recent, known, publish };
}

describe('recent preparations', () => {
  it('are found for the same credential, headers and context, for a second', () => {
    const clock = { now: 0 };
    const { recent, known } = recentAt(clock);
    recent.keep(CREDENTIAL, INPUT, CONTEXT, known);
    expect(recent.find(CREDENTIAL, INPUT, CONTEXT)).toBe(known);
    expect(recent.find({ ...CREDENTIAL, keyId: 'k2' } as Credential, INPUT, CONTEXT)).toBeUndefined();
    expect(recent.find(CREDENTIAL, { ...INPUT, environment: 'test' }, CONTEXT)).toBeUndefined();
    expect(recent.find(CREDENTIAL, { ...INPUT, product: 'other' }, CONTEXT)).toBeUndefined();
    expect(recent.find(CREDENTIAL, INPUT, '{"targetingKey":"globex"}')).toBeUndefined();
    clock.now = 1000;
    expect(recent.find(CREDENTIAL, INPUT, CONTEXT)).toBeUndefined();
  });

  it('are given up when another revision is served, or when the store knew more', () => {
    const { recent, known, publish } = recentAt({ now: 0 });
    recent.keep(CREDENTIAL, INPUT, CONTEXT, known);
    publish();
    expect(recent.find(CREDENTIAL, INPUT, CONTEXT)).toBeUndefined();
    const other = recentAt({ now: 0 });
    other.recent.keep(CREDENTIAL, INPUT, CONTEXT, other.known);
    other.recent.forget();
    expect(other.recent.find(CREDENTIAL, INPUT, CONTEXT)).toBeUndefined();
  });

  it('X-4 answer no question that asks for freshness, and none of a customer’s token', () => {
    const { recent, known } = recentAt({ now: 0 });
    const fresh = { ...INPUT, consistency: 'token' };
    const token = { kind: 'customer-token' } as Credential;
    recent.keep(CREDENTIAL, fresh, CONTEXT, known);
    recent.keep(token, INPUT, CONTEXT, known);
    expect(recent.find(CREDENTIAL, fresh, CONTEXT)).toBeUndefined();
    expect(recent.find(CREDENTIAL, INPUT, CONTEXT)).toBeUndefined();
    expect(recent.find(token, INPUT, CONTEXT)).toBeUndefined();
  });
});
