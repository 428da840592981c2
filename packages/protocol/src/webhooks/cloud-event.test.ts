import type { JsonObject } from '@pennon/engine/model/json';
import type { TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { describe, expect, it } from 'vitest';
import { type ToldEvent, toCloudEvent, toTestEvent } from './cloud-event.js';
import { CloudEventSchema, HOOK_EVENT_TYPES, HOOK_EVENTS, type HookEventType } from './events.js';

const ID = '0199f0d4-0000-7000-8000-000000000001';
const TIME = '2026-03-01T12:00:00.000Z';

function told(type: HookEventType, more: Partial<ToldEvent>): ToldEvent {
  return {
    id: ID,
    type,
    occurredAt: TIME,
    environment: 'production',
    product: 'saleshub',
    customer: 'acme',
    subject: 'calls',
    scope: '',
    sequence: 7,
    data: {},
    ...more,
  };
}

const license = {
  id: ID,
  customer: 'acme',
  product: 'saleshub',
  plan: 'pro',
  planVersion: 2,
  quantity: 1,
  kind: 'paid',
  status: 'active',
  startsAt: TIME,
  endsAt: null,
  graceEndsAt: null,
  anchor: '2026-03-01T12:00:00+00:00[UTC]',
  anchorSince: null,
  timeZone: null,
  sku: null,
  contractReference: null,
  addons: [],
  nextPlan: null,
  earlierPlans: [],
  beforeCancel: null,
  version: 1,
  createdAt: TIME,
};
const grant = {
  id: ID,
  product: 'saleshub',
  target: { kind: 'user', key: 'ann' },
  kind: 'support',
  effect: { type: 'unlimited', feature: 'calls' },
  alsoGrants: [],
  startsAt: TIME,
  endsAt: null,
  reason: 'A test.',
  owner: null,
  contractReference: null,
  source: null,
  application: null,
  revokedAt: null,
  revokeReason: null,
  version: 1,
  createdAt: TIME,
};
const membership = {
  product: 'saleshub',
  container: { kind: 'group', key: 'beta' },
  member: { kind: 'customer', key: 'acme' },
  startsAt: TIME,
  endsAt: null,
  reason: 'A test.',
  version: 1,
  createdAt: TIME,
};
const redemption = {
  id: ID,
  voucher: 'spring',
  product: 'saleshub',
  customer: 'acme',
  target: { kind: 'customer', key: 'acme' },
  codeHint: '…A1B2',
  grants: [],
  redeemedAt: TIME,
  endsAt: null,
  revokedAt: null,
  revokeReason: null,
  version: 1,
};
const topUp = {
  id: ID,
  customer: 'acme',
  product: 'saleshub',
  feature: 'credits',
  target: { kind: 'customer', key: 'acme' },
  kind: 'topup',
  priority: 50,
  amount: 100,
  remaining: 100,
  state: 'open',
  startsAt: TIME,
  endsAt: null,
  source: null,
  reason: 'A test.',
  grant: null,
  voidedAt: null,
  voidReason: null,
  version: 1,
  createdAt: TIME,
};

const usage = {
  used: 8,
  reserved: 1,
  limit: 10,
  percent: 80,
  overage: 0,
  enforcement: 'hard',
  period: { start: TIME, end: null },
};
const given = {
  type: 'metered',
  granted: true,
  hasAccess: true,
  reason: 'PLAN',
  value: null,
  limit: { kind: 'finite', value: 10, enforcement: 'hard' },
  state: 'within_limit',
};
const change = (action: string, more: JsonObject): JsonObject => ({ action, customerVersion: 3, ...more });

function faultsOf(schema: TSchema, value: unknown): readonly unknown[] {
  return Compile(schema).Errors(value);
}

/** One of each type, as the outbox holds it. */
const SAMPLES: Readonly<Record<HookEventType, ToldEvent>> = {
  'license.changed': told('license.changed', {
    subject: `license/${ID}`,
    data: change('license.create', { license }),
  }),
  'plan.changed': told('plan.changed', {
    subject: `license/${ID}`,
    data: change('license.change-plan', {
      license: ID,
      before: { plan: 'free', planVersion: 1 },
      after: { plan: 'pro', planVersion: 2 },
    }),
  }),
  'grant.changed': told('grant.changed', { subject: `grant/${ID}`, data: change('grant.create', { grant }) }),
  'membership.changed': told('membership.changed', {
    subject: `membership/${ID}`,
    data: change('membership.remove', { membership, id: ID }),
  }),
  'voucher.changed': told('voucher.changed', {
    subject: `redemption/${ID}`,
    data: change('voucher.redeem', { redemption }),
  }),
  'top-up.changed': told('top-up.changed', {
    subject: `top-up/${ID}`,
    data: change('top-up.create', { topUp }),
  }),
  'entitlement.changed': told('entitlement.changed', {
    subject: 'feature/calls',
    data: { customerVersion: 3, revision: 12, feature: 'calls', before: null, after: given },
  }),
  'customer.state_changed': told('customer.state_changed', {
    subject: `customer/${ID}`,
    data: {
      customerVersion: 3,
      revision: 12,
      licenses: [],
      groups: [{ key: 'beta', startsAt: TIME, endsAt: null }],
      segments: [],
      grants: [
        {
          id: ID,
          kind: 'support',
          effect: { type: 'unlimited', feature: 'calls' },
          startsAt: TIME,
          endsAt: null,
        },
      ],
      entitlements: [
        {
          key: 'calls',
          ...given,
          usage: 8,
          reserved: 1,
          balance: 1,
          over: 0,
          period: { start: TIME, end: TIME },
          validUntil: TIME,
          sources: [{ type: 'plan', key: 'pro@2', effect: 'set', value: 10, until: null }],
        },
      ],
    },
  }),
  'limit.warned': told('limit.warned', { data: { ...usage, level: 80 } }),
  'limit.reached': told('limit.reached', { data: { ...usage, level: 100 }, scope: 'ann' }),
  'limit.exceeded': told('limit.exceeded', { data: { ...usage, level: 100, wouldHaveDenied: true } }),
  'limit.reset': told('limit.reset', {
    data: { ...usage, level: null, previous: { start: TIME, end: TIME, used: 9 } },
  }),
  'ends.soon': told('ends.soon', {
    subject: `grant/${ID}`,
    data: { kind: 'grant', id: ID, target: { kind: 'user', key: 'ann' }, endsAt: TIME, days: 7 },
  }),
  'catalog.published': told('catalog.published', {
    customer: null,
    subject: 'catalog/saleshub',
    data: { revision: 12 },
  }),
};

describe('CloudEvents', () => {
  it.each(HOOK_EVENT_TYPES)('%s is what its schema says, in an envelope that is', (type) => {
    const event = toCloudEvent(SAMPLES[type]);
    expect(faultsOf(CloudEventSchema, event)).toEqual([]);
    expect(faultsOf(HOOK_EVENTS[type], event.data)).toEqual([]);
    expect(faultsOf(HOOK_EVENTS[type], { ...event.data, more: 1 })).not.toEqual([]);
    expect(faultsOf(HOOK_EVENTS[type], { ...event.data, environment: null })).not.toEqual([]);
    expect(event).toMatchObject({ specversion: '1.0', id: ID, type, time: TIME });
  });

  it('name only attributes that CloudEvents allows', () => {
    for (const name of Object.keys(toCloudEvent(SAMPLES['limit.warned'])))
      expect(name).toMatch(/^[a-z0-9]+$/);
  });

  it('are the same bytes each time', () => {
    for (const type of HOOK_EVENT_TYPES) {
      expect(JSON.stringify(toCloudEvent(SAMPLES[type]))).toBe(
        JSON.stringify(toCloudEvent(structuredClone(SAMPLES[type]))),
      );
    }
  });

  it('say where they come from in a URI, whatever keys hold', () => {
    const odd = toCloudEvent({ ...SAMPLES['limit.warned'], environment: 'a b', product: 'x/ü' });
    expect(odd.source).toBe('/environments/a%20b/products/x%2F%C3%BC');
    expect(toCloudEvent({ ...SAMPLES['limit.warned'], product: null }).source).toBe(
      '/environments/production',
    );
  });

  it('number so that texts sort as numbers do', () => {
    const numbers = [1, 9, 10, 99, 100, 2 ** 31, Number.MAX_SAFE_INTEGER];
    const texts = numbers.map((sequence) => toCloudEvent({ ...SAMPLES['limit.warned'], sequence }).sequence);
    expect([...texts].sort()).toEqual(texts);
    expect(new Set(texts.map((text) => text.length))).toEqual(new Set([16]));
  });

  it('a feature of usage is the subject, its account the scope', () => {
    const event = toCloudEvent(SAMPLES['limit.reached']);
    expect(event.subject).toBe('feature/calls');
    expect(event.data).toMatchObject({
      customer: 'acme',
      feature: 'calls',
      scope: 'ann',
      used: 8,
      level: 100,
    });
  });

  it('a test says that it is one, and has no number of its own', () => {
    const event = toTestEvent({ id: ID, occurredAt: TIME, environment: 'production', endpoint: 'e1' });
    expect(event).toMatchObject({
      type: 'webhook.test',
      subject: 'webhook/e1',
      sequence: '0000000000000000',
    });
    expect(faultsOf(CloudEventSchema, event)).toEqual([]);
  });
});
