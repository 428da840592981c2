import { describe, expect, it } from 'vitest';
import exclusions from './cel-conformance-exclusions.json' with { type: 'json' };
import { conformanceCases, runCase } from './cel-conformance-suite.js';

/** The groups of the language itself; the others are extensions of it. */
const CORE_GROUPS: ReadonlySet<string> = new Set([
  'basic',
  'comparisons',
  'conversions',
  'dynamic',
  'enums',
  'fields',
  'fp_math',
  'integer_math',
  'lists',
  'logic',
  'macros',
  'namespace',
  'parse',
  'plumbing',
  'proto2',
  'proto3',
  'string',
  'timestamps',
  'unknowns',
  'wrappers',
]);

const excluded: ReadonlyMap<string, string> = new Map(
  exclusions.flatMap(({ reason, cases }) => cases.map((id): [string, string] => [id, reason])),
);

describe('the official CEL conformance suite', () => {
  const cases = conformanceCases();
  const outcomes = cases.map((one) => ({ ...one, fault: runCase(one.test) }));

  it('passes every case that is not excluded', () => {
    const faults = outcomes.filter(({ id, fault }) => fault !== undefined && !excluded.has(id));
    expect(faults.map(({ id, test, fault }) => `${id}: ${test.expr}: ${fault}`)).toEqual([]);
  });

  it('excludes no case that passes', () => {
    const passing = outcomes.filter(({ id, fault }) => fault === undefined && excluded.has(id));
    expect(passing.map(({ id }) => id)).toEqual([]);
  });

  it('excludes only cases that there are, each once and with a reason', () => {
    const known = new Set(cases.map(({ id }) => id));
    const ids = exclusions.flatMap((entry) => entry.cases);
    expect(ids.filter((id) => !known.has(id))).toEqual([]);
    expect(new Set(ids).size).toBe(ids.length);
    expect(exclusions.every(({ reason }) => reason.length > 20)).toBe(true);
  });

  it('runs the whole suite, and at least 98 % of the core groups that need no messages pass', () => {
    const core = outcomes.filter(({ group, needsMessages }) => CORE_GROUPS.has(group) && !needsMessages);
    const passed = core.filter(({ fault }) => fault === undefined);
    const all = outcomes.filter(({ fault }) => fault === undefined);
    console.log(
      `cel conformance: core ${passed.length} of ${core.length}, all ${all.length} of ${outcomes.length}`,
    );
    expect(outcomes).toHaveLength(2344);
    expect(core.length).toBeGreaterThanOrEqual(1076);
    expect(passed.length / core.length).toBeGreaterThanOrEqual(0.98);
  });
});
