import { describe, expect, it } from 'vitest';
import { evaluateAll } from '../flag/evaluate-all.js';
import { evaluateFlag } from '../flag/evaluate-flag.js';
import type { Catalog, Flag } from '../model/catalog.js';
import type { EvaluationRequest } from '../model/evaluation.js';
import { compileSnapshot, compileSnapshotInSlices } from './compile-snapshot.js';
import { readsOf } from './reads-of.js';
import type { Snapshot } from './snapshot.js';

const EMPTY: Catalog = {
  product: { key: 'p', defaultPlan: 'free' },
  features: [{ key: 'paid', type: 'boolean' }],
  plans: [
    { key: 'free', entitlements: [] },
    { key: 'pro', version: 0, entitlements: [{ feature: 'paid', value: true }] },
  ],
  addons: [],
  groups: [],
  segments: [{ key: 'adults', condition: 'user.age >= 18' }],
  flags: [],
  billing: [],
  tests: [],
};

const GOOD: Flag = { key: 'good', type: 'boolean', rules: [{ if: 'user.key == "a"', serve: true }] };

function compile(
  flags: readonly Flag[],
  more: { environment?: string; previous?: Snapshot; revision?: number } = {},
) {
  const { environment = 'production', revision = 1, previous } = more;
  const input = { catalog: { ...EMPTY, flags }, environment, revision, productId: 'id' };
  return compileSnapshot(previous === undefined ? input : { ...input, previous });
}

function ask(snapshot: Snapshot): EvaluationRequest<Snapshot> {
  const subject = { proven: true, customerKey: null, instance: null, userKey: 'a', teamKey: null, sku: null };
  return { snapshot, customer: null, subject, context: { parts: { user: { key: 'a', age: 20 } } }, now: 0 };
}

describe('compileSnapshot', () => {
  it('a broken item that was forced into the data disables only itself', () => {
    const broken: Flag[] = [
      { key: 'bad-variant', type: 'boolean', default: 'maybe' },
      { key: 'no-default', type: 'string', variants: { a: 'a' } },
      { key: 'bad-rule', type: 'boolean', rules: [{ if: 'user.key ==', serve: true }, { serve: true }] },
      {
        key: 'bad-weights',
        type: 'boolean',
        rules: [{ rollout: { weights: [{ variant: 'on', weight: -1 }] } }],
      },
      { key: 'bad-ramp', type: 'boolean', rules: [{ rollout: { ramp: [{ at: 'soon', percentage: 1 }] } }] },
    ];
    const { snapshot, disabled } = compile([...broken, GOOD]);
    expect(disabled.map(({ kind, key }) => `${kind} ${key}`)).toEqual(broken.map(({ key }) => `flag ${key}`));
    for (const { message } of disabled) expect(message.length).toBeGreaterThan(10);
    expect(evaluateFlag(ask(snapshot), 'good')).toMatchObject({ value: true, cause: 'RULE' });
    expect(evaluateFlag(ask(snapshot), 'bad-variant')).toMatchObject({ kind: 'error', errorCode: 'GENERAL' });
    // A broken rule is skipped and named; the one after it works.
    expect(evaluateFlag(ask(snapshot), 'bad-rule')).toMatchObject({
      value: true,
      ruleIndex: 1,
      faults: [{ ruleIndex: 0, code: 'EXPRESSION_ERROR' }],
    });
  });

  it('K-2 the kill switch works however broken the rest is', () => {
    const killed = { environments: { production: { enabled: false } } };
    const { snapshot } = compile([
      { key: 'a', type: 'boolean', default: 'maybe', off: false, ...killed },
      {
        key: 'b',
        type: 'boolean',
        requires: ['nope'],
        prerequisites: [{ flag: 'b', variant: true }],
        ...killed,
      },
    ]);
    for (const key of ['a', 'b']) {
      expect(evaluateFlag(ask(snapshot), key)).toMatchObject({
        value: false,
        cause: 'DISABLED',
        reason: 'STATIC',
      });
    }
  });

  it('a circle that was forced into the data disables those in it, and nobody who asks for them', () => {
    const { snapshot, disabled } = compile([
      { key: 'a', type: 'boolean', prerequisites: [{ flag: 'b', variant: true }], rules: [{ serve: true }] },
      { key: 'b', type: 'boolean', prerequisites: [{ flag: 'a', variant: true }], rules: [{ serve: true }] },
      { key: 'self', type: 'boolean', rules: [{ if: 'flag("self") == true', serve: true }] },
      {
        key: 'asks',
        type: 'boolean',
        prerequisites: [{ flag: 'a', variant: true }],
        rules: [{ serve: true }],
      },
      { key: 'hopes', type: 'boolean', rules: [{ if: 'flag("self") == true', serve: true }] },
      {
        key: 'killed',
        type: 'boolean',
        prerequisites: [{ flag: 'killed', variant: true }],
        environments: { production: { enabled: false } },
      },
    ]);
    for (const key of ['a', 'b', 'self']) {
      expect(evaluateFlag(ask(snapshot), key)).toMatchObject({ kind: 'error', errorCode: 'GENERAL' });
    }
    expect(evaluateFlag(ask(snapshot), 'asks')).toMatchObject({ value: false, cause: 'PREREQUISITE' });
    expect(evaluateFlag(ask(snapshot), 'hopes')).toMatchObject({ value: false, cause: 'NO_RULE_MATCHED' });
    expect(evaluateFlag(ask(snapshot), 'killed')).toMatchObject({ value: false, cause: 'DISABLED' });
    expect(disabled.map(({ key }) => key).sort()).toEqual(['a', 'b', 'self']);
  });

  it('10 a chain of ten thousand flags that was forced into the data exhausts no stack, and answers the same alone and among all', () => {
    const { snapshot } = compile(
      Array.from({ length: 10_000 }, (_, index): Flag => {
        const below = { prerequisites: [{ flag: `f${index - 1}`, variant: true }] };
        return { key: `f${index}`, type: 'boolean', default: true, ...(index === 0 ? {} : below) };
      }),
    );
    const all = new Map(
      evaluateAll(ask(snapshot), { clientVisibleOnly: false }).map((one) => [one.key, one]),
    );
    expect(all.get('f49')).toMatchObject({ value: true, cause: 'NO_RULES' });
    expect(all.get('f50')).toMatchObject({ kind: 'error', errorCode: 'GENERAL' });
    for (const key of ['f49', 'f50', 'f51', 'f5000', 'f9999']) {
      expect(evaluateFlag(ask(snapshot), key)).toEqual(all.get(key));
    }
    expect([...readsOf(snapshot, 'f49').flags]).toHaveLength(49);
  });

  it('7 who asks twice on every level, of flags or of segments, is answered once', () => {
    const twice = (name: string, index: number): string =>
      `${name}("${name}${index - 1}") == true || ${name}("${name}${index - 1}") == false && false`;
    const levels = Array.from({ length: 45 }, (_, index) => index);
    // Without anybody to tell apart, each flag ends in an error, which costs as much as an answer.
    const flags = levels.map((index): Flag => {
      const asks = index === 0 ? [] : [{ if: twice('flag', index), serve: true }];
      return { key: `flag${index}`, type: 'boolean', rules: [...asks, { rollout: { percentage: 50 } }] };
    });
    const segments = levels.map((index) => ({
      key: `segment${index}`,
      condition: index === 0 ? 'user.age > 99' : twice('segment', index),
    }));
    const asking: Flag = {
      key: 'asks-segment',
      type: 'boolean',
      rules: [{ if: 'segment("segment44")', serve: true }],
    };
    const input = { environment: 'production', revision: 1, productId: 'id' };
    const { snapshot, disabled } = compileSnapshot({
      ...input,
      catalog: { ...EMPTY, segments, flags: [...flags, asking] },
    });
    expect(disabled).toEqual([]);
    const nobody = { ...ask(snapshot), context: { parts: { user: { age: 3 } } } };
    expect(evaluateFlag(nobody, 'flag44')).toMatchObject({ errorCode: 'TARGETING_KEY_MISSING' });
    expect(evaluateFlag(nobody, 'asks-segment')).toMatchObject({ cause: 'NO_RULE_MATCHED', faults: [] });
  });

  it('segments in a circle that was forced into the data are told apart for nobody, and open nothing by `!`', () => {
    const segments = [
      { key: 'x', condition: 'segment("y")' },
      { key: 'y', condition: 'segment("x")' },
      { key: 'odd', condition: 'user.name' },
    ];
    const flags = ['x', 'odd'].map(
      (key): Flag => ({
        key,
        type: 'boolean',
        rules: [
          { if: `!segment("${key}")`, serve: true },
          { if: `segment("${key}")`, serve: true },
        ],
      }),
    );
    const input = { environment: 'production', revision: 1, productId: 'id' };
    const { snapshot } = compileSnapshot({ ...input, catalog: { ...EMPTY, segments, flags } });
    const named = { ...ask(snapshot), context: { parts: { user: { name: 'ada' } } } };
    for (const key of ['x', 'odd']) {
      expect(evaluateFlag(named, key)).toMatchObject({
        value: false,
        faults: [
          { ruleIndex: 0, code: 'EXPRESSION_ERROR' },
          { ruleIndex: 1, code: 'EXPRESSION_ERROR' },
        ],
      });
    }
  });

  it('a condition that gives neither true nor false is skipped and named', () => {
    const { snapshot } = compile([{ key: 'a', type: 'boolean', rules: [{ if: 'user.name', serve: true }] }]);
    const named = { ...ask(snapshot), context: { parts: { user: { name: 'ada' } } } };
    expect(evaluateFlag(named, 'a')).toMatchObject({
      cause: 'NO_RULE_MATCHED',
      faults: [{ code: 'EXPRESSION_ERROR' }],
    });
  });

  it('a ramp begins at every instant that can be published', () => {
    const ramp = [{ at: '2026-01-01t00:00z', percentage: 100 }];
    const { snapshot, disabled } = compile([{ key: 'a', type: 'boolean', rules: [{ rollout: { ramp } }] }]);
    expect(disabled).toEqual([]);
    const before = Date.parse('2026-01-01T00:00:00Z') - 1;
    expect(evaluateFlag({ ...ask(snapshot), now: before }, 'a')).toMatchObject({ cause: 'NO_RULE_MATCHED' });
    expect(evaluateFlag({ ...ask(snapshot), now: before + 1 }, 'a')).toMatchObject({ value: true });
  });

  it('a required feature that is not there closes the gate', () => {
    const { snapshot } = compile([
      { key: 'a', type: 'boolean', requires: ['nope'], rules: [{ serve: true }] },
    ]);
    expect(evaluateFlag(ask(snapshot), 'a')).toMatchObject({
      value: false,
      cause: 'NOT_ENTITLED',
      sources: ['nope'],
    });
  });

  it('what did not change is the very object of the snapshot before', () => {
    const flags: Flag[] = Array.from({ length: 50 }, (_, index) => ({ ...GOOD, key: `f${index}` }));
    const first = compile(flags).snapshot;
    const changed = structuredClone(flags).map((flag) =>
      flag.key === 'f7' ? { ...flag, default: true } : flag,
    );
    const second = compile(changed, { previous: first, revision: 2 }).snapshot;
    for (const { key } of flags) {
      expect(second.flags.get(key) === first.flags.get(key)).toBe(key !== 'f7');
    }
    expect(second.features.get('paid')).toBe(first.features.get('paid'));
    expect(second.hash).not.toBe(first.hash);
    expect(second.revision).toBe(2);
    expect(compile(changed).snapshot.hash).toBe(second.hash);
  });

  it('an item that was broken for what it lacked works once that is there', () => {
    const asks: Flag = {
      key: 'asks',
      type: 'boolean',
      rules: [{ if: 'flag("later") == true', serve: true }],
    };
    const first = compile([asks]);
    expect(first.disabled).toHaveLength(1);
    const second = compile([asks, { key: 'later', type: 'boolean', default: true }], {
      previous: first.snapshot,
    });
    expect(second.disabled).toHaveLength(0);
    expect(evaluateFlag(ask(second.snapshot), 'asks')).toMatchObject({ value: true });
  });

  it('what no decision reads, and a change of it must still reach, is in the hash', () => {
    const hash = (pastDueGraceDays?: number) => {
      const product = {
        key: 'acme',
        name: 'Acme',
        ...(pastDueGraceDays === undefined ? {} : { pastDueGraceDays }),
      };
      const catalog = { ...EMPTY, product };
      return compileSnapshot({ catalog, environment: 'production', revision: 1, productId: 'id' }).snapshot
        .hash;
    };
    expect(new Set([hash(), hash(3), hash(5)]).size).toBe(3);
    expect(hash(3)).toBe(hash(3));
  });

  it('the hash is of what is effective here: other environments and words for people leave it alone', () => {
    const hash = (flag: Flag, environment = 'production') => compile([flag], { environment }).snapshot.hash;
    const before = hash(GOOD);
    expect(hash({ ...GOOD, owner: 'x@y.z', purpose: 'p', removal: 'r', tags: ['t'] })).toBe(before);
    expect(hash({ ...GOOD, environments: { development: { enabled: false } } })).toBe(before);
    expect(hash({ ...GOOD, environments: { production: { enabled: false } } })).not.toBe(before);
    expect(hash({ ...GOOD, rules: [{ if: 'user.key == "b"', serve: true }] })).not.toBe(before);
    expect(hash({ ...GOOD, type: 'object', variants: { on: { name: 'a' }, off: {} }, off: 'off' })).not.toBe(
      hash({ ...GOOD, type: 'object', variants: { on: { name: 'b' }, off: {} }, off: 'off' }),
    );
  });

  it('in slices it gives the same, and yields often', () => {
    const flags: Flag[] = Array.from({ length: 500 }, (_, index) => ({ ...GOOD, key: `f${500 - index}` }));
    const input = { catalog: { ...EMPTY, flags }, environment: 'production', revision: 1, productId: 'id' };
    const slices = compileSnapshotInSlices(input);
    let yields = 0;
    let step = slices.next();
    while (step.done !== true) {
      yields += 1;
      step = slices.next();
    }
    expect(yields).toBeGreaterThan(30);
    expect(step.value.snapshot.hash).toBe(compileSnapshot(input).snapshot.hash);
    expect(step.value.snapshot.keys).toEqual([...step.value.snapshot.keys].sort());
  });

  it('the default plan is the highest offered version', () => {
    const plans = [0, 1, 2].map((version) => ({
      key: 'free',
      version,
      offered: version < 2,
      entitlements: [],
    }));
    const input = { catalog: { ...EMPTY, plans }, environment: 'production', revision: 1, productId: 'id' };
    expect(compileSnapshot(input).snapshot.defaultPlan?.name).toBe('free@1');
  });
});

describe('readsOf', () => {
  it('names what an answer rests on, through prerequisites and segments', () => {
    const { snapshot } = compile([
      {
        key: 'dated',
        type: 'boolean',
        rules: [{ if: 'now > timestamp("2027-01-01T00:00:00Z")', serve: true }],
      },
      {
        key: 'asks',
        type: 'boolean',
        requires: ['paid'],
        prerequisites: [{ flag: 'dated', variant: true }],
        rules: [{ if: 'segment("adults")', rollout: { by: 'team.key', percentage: 50 } }],
      },
    ]);
    const reads = readsOf(snapshot, 'asks');
    expect(reads.now).toBe(true);
    expect(reads.customer).toBe(true);
    expect([...reads.parts].sort()).toEqual(['team', 'user']);
    expect([...reads.entitlements]).toEqual(['paid']);
    expect(readsOf(snapshot, 'nope').customer).toBe(false);
  });
});
