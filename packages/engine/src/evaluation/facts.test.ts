import { describe, expect, it } from 'vitest';
import type { Subject } from '../model/context.js';
import type { CustomerState } from '../model/customer.js';
import { customerFacts, instanceFacts } from './facts.js';

const subject = {
  proven: true,
  customerKey: 'acme',
  instance: { id: 'i-1', key: 'acme-eu', metadata: { region: 'eu' } },
} as unknown as Subject;
const customer = { key: 'acme', attributes: { region: 'eu', key: 'forged' } } as unknown as CustomerState;

describe('server facts', () => {
  it('P-1: attributes of the customer stand flat and under `attributes`, and none of them passes for its key', () => {
    expect(customerFacts(subject, customer)).toEqual({
      region: 'eu',
      key: 'acme',
      attributes: { region: 'eu', key: 'forged' },
    });
  });

  it('P-1: an instance brings its own metadata', () => {
    expect(instanceFacts(subject)).toEqual({ key: 'acme-eu', id: 'i-1', metadata: { region: 'eu' } });
  });

  it('says nothing of a customer that is not proven', () => {
    const forged = { ...subject, proven: false };
    expect(customerFacts(forged, customer)).toBeUndefined();
    expect(instanceFacts(forged)).toBeUndefined();
  });
});
