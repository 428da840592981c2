import type { AccountState, Grant, SegmentMembership, TargetKind } from '@pennon/engine/model/customer';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { CustomerFacts, Facts, FactsQuestion, InstanceFacts } from './customer-facts.js';
import { createCustomerStates } from './customer-states.js';
import type { ChangeNotice, CustomerLookup, CustomerLookupResult } from './ports.js';

/* A store of a few customers that answers by the question alone, as the real one does. */

const CUSTOMERS = ['a', 'b', 'c', 'd'];
/** Whom each user belongs to. */
const OWNERS: Readonly<Record<string, readonly string[]>> = { a: ['a'], u: ['b'], v: ['a', 'c'], w: [] };
const INSTANCES: Readonly<Record<string, string>> = { i: 'c', j: 'd' };
const ENVIRONMENT = 'e';
const PRODUCT = 'p';

function grantOf(kind: TargetKind, key: string): Grant {
  const effect = { type: 'set', feature: 'f', value: true } as const;
  return {
    id: `${kind}-${key}`,
    product: PRODUCT,
    target: { kind, key },
    kind: 'demo',
    effect,
    startsAt: 0,
    endsAt: null,
  };
}

function memberOf(team: string): SegmentMembership {
  return { segment: 's', member: { kind: 'team', key: team }, startsAt: 0, endsAt: null };
}

function customerOf(key: string, version: number): CustomerFacts {
  const isKnown = CUSTOMERS.includes(key);
  const record = { id: `id-${key}`, version, createdAt: 0, timeZone: null, attributes: { key } };
  return {
    key,
    record: isKnown ? record : null,
    licenses: [],
    groups: [],
    memberships: [],
    grants: [grantOf('customer', key)],
  };
}

function balanceOf(customerKey: string, scope: string): AccountState {
  const used = customerKey.charCodeAt(0) * 1000 + (scope === '' ? 0 : scope.charCodeAt(0));
  return { feature: 'f', scope, periodStart: null, used, reserved: 0 };
}

function answer(question: FactsQuestion, version: number): Facts {
  const { customerKeys, instanceRef, userKeys, teamKeys, balanceCustomerKeys } = question;
  const held = (kind: TargetKind, key: string) => ({
    memberships: [],
    grants: [grantOf(kind, key)],
    version,
  });
  const found = new Set(customerKeys);
  const owner = instanceRef === null ? undefined : INSTANCES[instanceRef];
  if (owner !== undefined) found.add(owner);
  for (const key of userKeys) if (OWNERS[key]?.length === 1) for (const only of OWNERS[key]) found.add(only);
  const instance = (ref: string): InstanceFacts => ({
    key: ref,
    record: owner === undefined ? null : { id: `id-${ref}`, key: ref, customerKey: owner, metadata: {} },
    ...held('instance', ref),
  });
  const scopes = new Set(['', ...question.scopes, ...(owner === undefined ? [] : [instanceRef ?? ''])]);
  const metered = [...new Set([...found, ...balanceCustomerKeys])].filter((key) => CUSTOMERS.includes(key));
  return {
    customers: new Map([...found].map((key) => [key, customerOf(key, version)])),
    instance: instanceRef === null ? null : instance(instanceRef),
    users: new Map(userKeys.map((key) => [key, { customerKeys: OWNERS[key] ?? [], ...held('user', key) }])),
    teams: new Map(teamKeys.map((key) => [key, { memberships: [memberOf(key)], grants: [], version }])),
    shared: question.shared ? { memberships: [], grants: [grantOf('group', 'g')], version } : null,
    balances: metered.flatMap((customerKey) =>
      [...scopes].map((scope) => ({ customerKey, scope, accounts: [balanceOf(customerKey, scope)] })),
    ),
  };
}

function statesOver() {
  let version = 1;
  const statements: number[] = [];
  const held: (() => void)[] = [];
  const listeners: ((notice: ChangeNotice) => void | Promise<void>)[] = [];
  const loadTogether = async (questions: readonly FactsQuestion[]): Promise<readonly Facts[]> => {
    statements.push(questions.length);
    const facts = questions.map((question) => answer(question, version));
    await new Promise<void>((resolve) => held.push(resolve));
    return facts;
  };
  const states = createCustomerStates({
    store: {
      loadTogether,
      load: () => Promise.reject(new Error('Nobody asks for one.')),
      balances: () => Promise.resolve([]),
      versionOf: () => Promise.resolve(version),
    },
    changes: { subscribe: (listener) => void listeners.push(listener), subscribeToReset: () => undefined },
    deadlineMilliseconds: 10_000,
    maxCustomers: 100,
  });
  return {
    states,
    statements,
    release: () => held.shift()?.(),
    /** A customer is written, and this process hears of it. */
    change: async (customerKey: string) => {
      version += 1;
      const notice = { kind: 'customer', environmentId: ENVIRONMENT, customerKey, version } as const;
      for (const listener of listeners) await listener(notice);
    },
  };
}

async function untilAnswered<Value>(at: ReturnType<typeof statesOver>, work: Promise<Value>): Promise<Value> {
  let isOver = false;
  const over = (): void => {
    isOver = true;
  };
  work.then(over, over);
  while (!isOver) {
    at.release();
    await new Promise((resolve) => setImmediate(resolve));
  }
  return work;
}

function asked(named: Partial<CustomerLookup>): CustomerLookup {
  return {
    environmentId: ENVIRONMENT,
    productId: PRODUCT,
    customerKeys: [],
    instanceRef: null,
    userKeys: [],
    teamKey: null,
    ...named,
  };
}

function told(request: CustomerLookup, result: CustomerLookupResult): unknown {
  const stated = [...request.customerKeys, ...result.customers.keys()];
  return {
    customers: [...result.customers.keys()].sort(),
    instance: result.instance,
    customersOfUsers: [...result.customersOfUsers],
    states: stated.map((key) => result.stateOf(key)),
    nobody: result.stateOfNobody(),
  };
}

const lookups = fc.record({
  customerKeys: fc.uniqueArray(fc.constantFrom(...CUSTOMERS, 'unknown'), { maxLength: 3 }),
  instanceRef: fc.option(fc.constantFrom('i', 'j', 'none')),
  userKeys: fc.uniqueArray(fc.constantFrom(...Object.keys(OWNERS)), { maxLength: 2 }),
  teamKey: fc.option(fc.constantFrom('a', 'team')),
});

describe('cold look-ups that share statements', () => {
  it('law 1: answer what each would have been answered alone, and leave the same in memory', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(lookups, { minLength: 1, maxLength: 25 }), async (named) => {
        const requests = named.map(asked);
        const together = statesOver();
        const ask = async (request: CustomerLookup) => told(request, await together.states.lookup(request));
        const answers = await untilAnswered(together, Promise.all(requests.map(ask)));
        for (const [place, request] of requests.entries()) {
          const alone = statesOver();
          const looked = Promise.resolve(alone.states.lookup(request));
          const expected = told(request, await untilAnswered(alone, looked));
          expect(answers[place]).toEqual(expected);
          const again = together.states.lookup(request);
          if (again instanceof Promise) throw new Error('It is not in memory.');
          expect(told(request, again)).toEqual(expected);
        }
        together.states.stop();
      }),
      { numRuns: 60 },
    );
  });

  it('are fewer statements than look-ups', async () => {
    const at = statesOver();
    const keys = Array.from({ length: 100 }, (_, index) => `customer-${index}`);
    const looked = keys.map((key) => at.states.lookup(asked({ customerKeys: [key] })));
    await untilAnswered(at, Promise.all(looked));
    expect(at.statements.length).toBeLessThan(6);
    expect(at.statements[0]).toBe(1);
    expect(at.statements.reduce((sum, count) => sum + count, 0)).toBe(100);
  });

  it('after a change, join what still waits and nothing that was sent before', async () => {
    const at = statesOver();
    // Two are sent, the third waits.
    const [sent, , waiting] = ['a', 'b', 'c'].map((key) =>
      Promise.resolve(at.states.lookup(asked({ customerKeys: [key] }))),
    );
    expect(at.statements).toEqual([1, 1]);
    await at.change('a');
    await at.change('c');
    const afterSent = Promise.resolve(at.states.lookup(asked({ customerKeys: ['a'] })));
    const afterWaiting = Promise.resolve(at.states.lookup(asked({ customerKeys: ['c'] })));
    const results = await untilAnswered(at, Promise.all([sent, waiting, afterSent, afterWaiting]));
    expect(results.map((result, place) => result?.stateOf(place % 2 === 0 ? 'a' : 'c').version)).toEqual([
      1, 3, 3, 3,
    ]);
    // The piece that waited was asked for once: the two that were sent, one for `a` again and the one for `c`.
    expect(at.statements.reduce((sum, count) => sum + count, 0)).toBe(4);
  });
});
