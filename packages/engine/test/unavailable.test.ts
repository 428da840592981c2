import { resolveAllEntitlements, resolveEntitlement } from '@pennon/engine/entitlement/resolve-entitlement';
import { explain } from '@pennon/engine/explain/recorder';
import { evaluateAll } from '@pennon/engine/flag/evaluate-all';
import { evaluateFlag } from '@pennon/engine/flag/evaluate-flag';
import type { EvaluationRequest } from '@pennon/engine/model/evaluation';
import type { Snapshot } from '@pennon/engine/snapshot/snapshot';
import { describe, expect, it } from 'vitest';
import { snapshotNamed } from './conformance-cases.js';

function away(catalog: string): EvaluationRequest<Snapshot> {
  return {
    snapshot: snapshotNamed(catalog, 'production'),
    customer: 'unavailable',
    subject: { proven: true, customerKey: 'acme', instance: null, userKey: 'u1', teamKey: null, sku: null },
    context: { targetingKey: 't1', parts: { user: { key: 'u1', country: 'de' } } },
    now: 0,
  };
}

describe('law 1: unreachable is not unknown', () => {
  it('a gate denies', () => {
    expect(evaluateFlag(away('pricing'), 'analytics-ui')).toMatchObject({
      value: false,
      cause: 'NOT_ENTITLED',
      sources: ['analytics'],
    });
  });

  it('an entitlement is an error, alone, in bulk and read as a flag; the default plan is never served instead', () => {
    const asked = away('pricing');
    const unavailable = { kind: 'error', errorCode: 'CUSTOMER_STATE_UNAVAILABLE' };
    expect(resolveEntitlement(asked, 'minutes')).toMatchObject(unavailable);
    for (const decision of resolveAllEntitlements(asked)) expect(decision).toMatchObject(unavailable);
    expect(evaluateFlag(asked, 'minutes')).toMatchObject(unavailable);
  });

  it.each([
    'reads-right',
    'reads-limit',
    'reads-usage',
    'reads-remaining',
    'reads-segment',
    'reads-tier',
    'reads-version',
    'reads-license',
    'reads-vip',
  ])('a rule that needs a fact is skipped and named: %s', (key) => {
    expect(evaluateFlag(away('pricing'), key)).toMatchObject({
      cause: 'NO_RULE_MATCHED',
      faults: [
        { ruleIndex: 0, code: 'CUSTOMER_STATE_UNAVAILABLE' },
        ...(key === 'reads-tier' ? [{ ruleIndex: 1 }] : []),
      ],
    });
  });

  it('what needs no fact answers', () => {
    const asked = away('flags');
    expect(evaluateFlag(asked, 'ordered')).toMatchObject({ value: 'one', cause: 'RULE' });
    expect(evaluateFlag(asked, 'killed')).toMatchObject({ value: false, cause: 'DISABLED' });
    expect(evaluateFlag(asked, 'half')).toMatchObject({ cause: 'ROLLOUT' });
    expect(evaluateAll(asked, { clientVisibleOnly: false }).filter(({ kind }) => kind === 'error')).toEqual(
      [],
    );
  });

  it('a segment by condition over the context still answers yes, and never no', () => {
    const asked = away('flags');
    const adult = { ...asked, context: { parts: { user: { age: 20 } } } };
    expect(evaluateFlag(adult, 'in-adults')).toMatchObject({ value: true });
    const minor = { ...asked, context: { parts: { user: { age: 2 } } } };
    expect(evaluateFlag(minor, 'in-adults')).toMatchObject({
      value: false,
      faults: [{ code: 'CUSTOMER_STATE_UNAVAILABLE' }],
    });
  });
});

describe('bulk', () => {
  it('K-1 is sorted by key, and a client key sees what is client-visible', () => {
    const asked = { ...away('pricing'), customer: null };
    const all = evaluateAll(asked, { clientVisibleOnly: false }).map(({ key }) => key);
    expect(all).toEqual([...all].sort());
    expect(all).toContain('minutes');
    const visible = evaluateAll(asked, { clientVisibleOnly: true }).map(({ key }) => key);
    expect(visible).toEqual(['analytics-ui', 'minutes', 'smart-send']);
  });
});

describe('explain', () => {
  it('X-2 gives the steps in order, from subject to bucket, and what decided last', () => {
    const asked = { ...away('flags'), customer: null };
    const { steps, decision } = explain(asked, 'three-ways');
    expect(steps.map(({ step }) => step)).toEqual(['subject', 'rule', 'rollout']);
    expect(steps.at(-1)?.outcome).toBe('decided');
    expect(decision).toMatchObject({ kind: 'answer', cause: 'ROLLOUT' });
    for (const { message } of steps) expect(message).toMatch(/^[A-Z`].*\.$/s);
  });

  it('P-2 names a SKU that names no plan', () => {
    const asked = away('pricing');
    const subject = { ...asked.subject, sku: 'us-gold-x-01-v0' };
    const { steps, decision } = explain({ ...asked, customer: null, subject }, 'minutes');
    expect(decision.planNotFound).toBe(true);
    expect(steps.map(({ message }) => message).join('\n')).toContain('PLAN_NOT_FOUND');
    expect(evaluateFlag({ ...asked, customer: null, subject }, 'reads-country')).toMatchObject({
      value: true,
      planNotFound: true,
    });
  });

  it('an unknown key is explained too', () => {
    const { steps, decision } = explain({ ...away('flags'), customer: null }, 'nope');
    expect(decision).toMatchObject({ errorCode: 'FLAG_NOT_FOUND' });
    expect(steps.at(-1)).toMatchObject({ step: 'flag-lookup', outcome: 'decided' });
  });
});
