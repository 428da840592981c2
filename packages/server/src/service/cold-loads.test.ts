import { LIMITS } from '@pennon/engine/model/limits';
import { describe, expect, it } from 'vitest';
import { type ColdLoad, ColdLoads } from './cold-loads.js';
import type { Facts, FactsQuestion } from './customer-facts.js';
import { CustomerMemory } from './customer-memory.js';

const LANES = LIMITS.coldStatements.value;
const TOGETHER = LIMITS.coldTogether.value;

function question(key: string, named: Partial<FactsQuestion> = {}): FactsQuestion {
  return {
    environmentId: 'e',
    productId: 'p',
    customerKeys: [key],
    instanceRef: null,
    userKeys: [],
    teamKeys: [],
    shared: false,
    balanceCustomerKeys: [],
    scopes: [],
    ...named,
  };
}

function factsOf({ customerKeys }: FactsQuestion): Facts {
  const facts = (key: string) => ({
    key,
    record: { id: `id-${key}`, version: 1, createdAt: 0, timeZone: null, attributes: {} },
    licenses: [],
    groups: [],
    memberships: [],
    grants: [],
  });
  return {
    customers: new Map(customerKeys.map((key) => [key, facts(key)])),
    instance: null,
    users: new Map(),
    teams: new Map(),
    shared: null,
    balances: customerKeys.map((customerKey) => ({ customerKey, scope: '', accounts: [] })),
  };
}

/** A store that answers when it is told to. */
function scripted(isAway: (error: unknown) => boolean = () => true) {
  const statements: {
    readonly keys: readonly string[];
    readonly answer: () => void;
    readonly fail: (error: Error) => void;
  }[] = [];
  const memory = new CustomerMemory(100_000);
  let time = 0;
  const loads = new ColdLoads({
    memory,
    isAway,
    monotonic: () => time,
    store: {
      loadTogether: (questions) =>
        new Promise((resolve, reject) => {
          statements.push({
            keys: questions.flatMap(({ customerKeys }) => customerKeys),
            answer: () => resolve(questions.map(factsOf)),
            fail: reject,
          });
        }),
    },
  });
  return {
    memory,
    loads,
    statements,
    keys: () => statements.map(({ keys }) => keys),
    pass: (milliseconds: number) => {
      time += milliseconds;
    },
    ask: (key: string, named: Partial<FactsQuestion> = {}): ColdLoad => {
      const load = loads.ask(question(key, named));
      if (load === null) throw new Error('It was refused.');
      load.overlay.catch(() => undefined);
      return load;
    },
    answer: async (place: number) => {
      statements[place]?.answer();
      await turn();
    },
    fail: async (place: number, error: Error) => {
      statements[place]?.fail(error);
      await turn();
    },
  };
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** One question for each statement that may be under way. */
function fillLanes(at: ReturnType<typeof scripted>): void {
  for (let lane = 0; lane < LANES; lane += 1) at.ask(`lane-${lane}`);
}

describe('cold loads', () => {
  it('sends the first at once and alone, and the next alone when nothing is under way', async () => {
    const at = scripted();
    const load = at.ask('a');
    expect(at.keys()).toEqual([['a']]);
    expect(load.isSent).toBe(true);
    await at.answer(0);
    expect((await load.overlay).customers.get('a')?.facts.record?.id).toBe('id-a');
    at.ask('b');
    expect(at.keys()).toEqual([['a'], ['b']]);
  });

  it('sends together what was asked while as many statements as may were under way', async () => {
    const at = scripted();
    fillLanes(at);
    const waiting = ['a', 'b', 'c'].map((key) => at.ask(key));
    expect(at.statements).toHaveLength(LANES);
    expect(waiting.map(({ isSent }) => isSent)).toEqual([false, false, false]);
    await at.answer(0);
    expect(at.keys().slice(LANES)).toEqual([['a', 'b', 'c']]);
    expect(waiting.map(({ isSent }) => isSent)).toEqual([true, true, true]);
    await at.answer(LANES);
    for (const key of ['a', 'b', 'c']) expect(at.memory.customer('e', 'p', key)?.balances.has('')).toBe(true);
    const [, second] = await Promise.all(waiting.map(({ overlay }) => overlay));
    expect([...(second?.customers.keys() ?? [])]).toEqual(['b']);
  });

  it('law 11: never asks for different environments or products in one statement', async () => {
    const at = scripted();
    fillLanes(at);
    at.ask('a');
    at.ask('b', { environmentId: 'other' });
    at.ask('c', { productId: 'other' });
    at.ask('d');
    for (let place = 0; place < LANES + 3; place += 1) await at.answer(place);
    expect(at.keys().slice(LANES)).toEqual([['a', 'd'], ['b'], ['c']]);
  });

  it('asks for no more at once than the limit', async () => {
    const at = scripted();
    fillLanes(at);
    for (let index = 0; index < TOGETHER + 1; index += 1) at.ask(`c-${index}`);
    for (let place = 0; place < LANES; place += 1) await at.answer(place);
    expect(at.keys().map(({ length }) => length)).toEqual([...Array(LANES).fill(1), TOGETHER, 1]);
  });

  it('takes no more than the limit, and takes again when some were answered', async () => {
    const at = scripted();
    for (let index = 0; index < LIMITS.coldLookups.value; index += 1) at.ask(`c-${index}`);
    expect(at.loads.ask(question('late'))).toBeNull();
    await at.answer(0);
    expect(at.loads.ask(question('late'))).not.toBeNull();
    expect(at.loads.ask(question('later'))).toBeNull();
  });

  it('what changed while a question waited is in what it reads, what changed after it was sent is not', async () => {
    const at = scripted();
    fillLanes(at);
    at.ask('a');
    at.memory.forget('e', 'customer', 'a');
    at.memory.distrustLoads('e', 'a');
    await at.answer(0);
    await at.answer(LANES);
    expect(at.memory.customer('e', 'p', 'a')).toBeDefined();

    const next = scripted();
    fillLanes(next);
    const loads = ['a', 'b'].map((key) => next.ask(key));
    await next.answer(0);
    next.memory.forget('e', 'customer', 'a');
    await next.answer(LANES);
    expect(next.memory.customer('e', 'p', 'a')).toBeUndefined();
    expect(next.memory.customer('e', 'p', 'b')).toBeDefined();
    // Whoever waited for it gets it all the same: it was asked for before the change.
    expect((await loads[0]?.overlay)?.customers.has('a')).toBe(true);
  });

  it('with the store away, all that went together fail at once, and are not asked for again', async () => {
    const at = scripted();
    fillLanes(at);
    const loads = ['a', 'b'].map((key) => at.ask(key));
    await at.answer(0);
    await at.fail(LANES, new Error('away'));
    for (const { overlay } of loads) await expect(overlay).rejects.toThrow('away');
    expect(at.statements).toHaveLength(LANES + 1);
    at.ask('c');
    expect(at.keys().at(-1)).toEqual(['c']);
  });

  it('asks for each alone when one of them made the statement fail', async () => {
    const at = scripted(() => false);
    fillLanes(at);
    const [bad, good] = ['bad', 'good'].map((key) => at.ask(key));
    await at.answer(0);
    at.ask('c');
    at.ask('d');
    await at.fail(LANES, new Error('invalid'));
    expect(at.keys().slice(LANES)).toEqual([['bad', 'good'], ['bad']]);
    await at.fail(LANES + 1, new Error('invalid'));
    await at.answer(LANES + 2);
    expect(at.keys().slice(LANES + 2)).toEqual([['good'], ['c', 'd']]);
    await expect(bad?.overlay).rejects.toThrow('invalid');
    expect((await good?.overlay)?.customers.has('good')).toBe(true);
  });

  it('is not held up by statements that never return', async () => {
    const at = scripted();
    fillLanes(at);
    at.ask('a');
    at.pass(1001);
    at.ask('b');
    expect(at.keys().slice(LANES)).toEqual([['a', 'b']]);
  });
});
