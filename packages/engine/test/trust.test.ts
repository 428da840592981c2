import { resolveEntitlement } from '@pennon/engine/entitlement/resolve-entitlement';
import { evaluateFlag } from '@pennon/engine/flag/evaluate-flag';
import type { Catalog } from '@pennon/engine/model/catalog';
import type { Subject } from '@pennon/engine/model/context';
import type { CustomerState, SegmentMembership } from '@pennon/engine/model/customer';
import type { EvaluationRequest } from '@pennon/engine/model/evaluation';
import type { JsonObject } from '@pennon/engine/model/json';
import { compileSnapshot } from '@pennon/engine/snapshot/compile-snapshot';
import type { Snapshot } from '@pennon/engine/snapshot/snapshot';
import { namedParts } from '@pennon/engine/subject/named-parts';
import { resolveSubject } from '@pennon/engine/subject/resolve-subject';
import { describe, expect, it } from 'vitest';

/* What gives a feature rests on what the server knows, on every way there. */

const CATALOG: Catalog = {
  product: { key: 'p' },
  features: [
    { key: 'paid', type: 'boolean' },
    { key: 'minutes', type: 'metered', reset: 'never' },
    { key: 'quota', type: 'limit' },
  ],
  plans: [
    {
      key: 'pro',
      entitlements: [
        {
          feature: 'quota',
          split: {
            by: 'customer.address.country',
            seed: 's',
            values: [
              { value: 1, weight: 50 },
              { value: 2, weight: 50 },
            ],
          },
        },
      ],
    },
  ],
  addons: [],
  groups: [],
  segments: [
    { key: 'demo', entitlements: [{ feature: 'paid', value: true }] },
    { key: 'blocked', condition: 'has(user.blocked) && user.blocked' },
    // Published so: neither gives a feature by itself; a grant to one of them does.
    { key: 'unblocked', condition: '!segment("blocked")' },
    { key: 'people', condition: 'false' },
    {
      key: 'people-of',
      condition: 'segment("people")',
      entitlements: [{ feature: 'minutes', value: 100 }],
    },
  ],
  flags: [
    { key: 'gated', type: 'boolean', requires: ['paid'], rules: [{ serve: true }] },
    { key: 'told', type: 'boolean', rules: [{ if: 'segment("demo")', serve: true }] },
    {
      key: 'by-region',
      type: 'boolean',
      rules: [{ rollout: { by: 'customer.region', percentage: 50 } }, { serve: true }],
    },
    { key: 'asks', type: 'boolean', rules: [{ if: 'flag("by-region") == true', serve: true }] },
  ],
  billing: [],
  tests: [],
};

const { snapshot } = compileSnapshot({
  catalog: CATALOG,
  environment: 'production',
  revision: 1,
  productId: 'p',
});

const ACME: Subject = {
  proven: true,
  customerKey: 'acme',
  instance: null,
  userKey: null,
  teamKey: null,
  sku: null,
};

const STATE: CustomerState = {
  id: 'acme',
  key: 'acme',
  version: 1,
  createdAt: 0,
  timeZone: null,
  attributes: {},
  licenses: [],
  groups: [],
  memberships: [],
  grants: [],
  accounts: [],
};

function member(segment: string, kind: 'team' | 'user', key: string): SegmentMembership {
  return { segment, member: { kind, key }, startsAt: 0, endsAt: null };
}

function ask(
  state: Partial<CustomerState>,
  subject: Partial<Subject> = {},
  parts: JsonObject = {},
): EvaluationRequest<Snapshot> {
  return {
    snapshot,
    customer: { ...STATE, ...state },
    subject: { ...ACME, ...subject },
    context: { targetingKey: 'acme', parts },
    now: 10,
  };
}

function askWithTeam(
  credential: 'server' | 'token',
  team: string,
  state: Partial<CustomerState>,
): EvaluationRequest<Snapshot> {
  const read = namedParts({ customer: 'acme', team });
  if (!read.ok) throw new Error(read.message);
  const resolved = resolveSubject({
    credential: credential === 'server' ? 'server' : { token: { customer: 'acme', user: null } },
    context: read.context,
    named: read.named,
    lookup: { customers: new Set(['acme']), instance: null, customersOfUsers: new Map() },
  });
  if (!resolved.ok) throw new Error(resolved.message);
  return { ...ask(state), subject: resolved.subject, context: resolved.context };
}

describe('who holds a customer token', () => {
  const state = { memberships: [member('demo', 'team', 'red')] };

  it('P-5 opens nothing by the name of a team, which a server key does', () => {
    expect(evaluateFlag(askWithTeam('server', 'red', state), 'gated')).toMatchObject({ value: true });
    expect(evaluateFlag(askWithTeam('token', 'red', state), 'gated')).toMatchObject({
      value: false,
      cause: 'NOT_ENTITLED',
    });
    expect(resolveEntitlement(askWithTeam('token', 'red', state), 'paid')).toMatchObject({ granted: false });
    expect(evaluateFlag(askWithTeam('token', 'red', state), 'told')).toMatchObject({ value: true });
  });

  it('P-5 may name the team that is its own customer', () => {
    const own = { memberships: [member('demo', 'team', 'acme')] };
    expect(evaluateFlag(askWithTeam('token', 'acme', own), 'gated')).toMatchObject({ value: true });
  });
});

describe('a segment that asks for another', () => {
  it('K-3 gives nothing by what a caller says or leaves out, however far below', () => {
    const grant = {
      id: 'g',
      product: 'p',
      startsAt: 0,
      endsAt: null,
      kind: 'demo' as const,
      target: { kind: 'segment' as const, key: 'unblocked' },
      effect: { type: 'set' as const, feature: 'paid', value: true },
    };
    for (const parts of [{}, { user: { blocked: true } }, { user: { blocked: false } }]) {
      expect(resolveEntitlement(ask({ grants: [grant] }, {}, parts), 'paid')).toMatchObject({
        granted: false,
      });
    }
  });

  it('K-5 does not enlarge a shared account for one of its users', () => {
    const state = { memberships: [member('people', 'user', 'ada')] };
    expect(resolveEntitlement(ask(state, { userKey: 'ada' }), 'minutes')).toMatchObject({
      limit: { kind: 'finite', value: 0 },
    });
  });
});

it('P-9 a split follows an attribute that lies deeper', () => {
  const limits = ['de', 'us', 'fr', 'at', 'ch', 'it', 'es', 'pl', 'nl', 'be'].map((country) => {
    const license = {
      id: 'l',
      product: 'p',
      plan: 'pro',
      planVersion: 0,
      quantity: 1,
      kind: 'paid' as const,
      status: 'active' as const,
      graceEndsAt: null,
      anchor: '1970-01-01T00:00:00[UTC]',
      timeZone: null,
      sku: null,
      addons: [],
      startsAt: 0,
      endsAt: null,
    };
    const decision = resolveEntitlement(
      ask({ licenses: [license], attributes: { address: { country } } }),
      'quota',
    );
    return decision.kind === 'entitlement' && decision.limit?.kind === 'finite' ? decision.limit.value : null;
  });
  expect(new Set(limits)).toEqual(new Set([1, 2]));
});

describe('law 1: a rollout by a fact that could not be read', () => {
  const away = { ...ask({}), customer: 'unavailable' as const };

  it('is skipped and named so', () => {
    expect(evaluateFlag(away, 'by-region')).toMatchObject({
      value: true,
      cause: 'RULE',
      ruleIndex: 1,
      faults: [{ ruleIndex: 0, code: 'CUSTOMER_STATE_UNAVAILABLE' }],
    });
  });

  it('is the affair of its flag: who asks for the flag has its answer', () => {
    expect(evaluateFlag(away, 'asks')).toMatchObject({ value: true, cause: 'RULE', faults: [] });
  });
});
