import { bucketNumber, bucketSeed, bucketText } from '@pennon/engine/bucket/bucket';
import { resolveEntitlement } from '@pennon/engine/entitlement/resolve-entitlement';
import { explain, StepRecorder } from '@pennon/engine/explain/recorder';
import { evaluateFlag } from '@pennon/engine/flag/evaluate-flag';
import type { ResetDocument } from '@pennon/engine/model/catalog';
import type {
  ConsumptionDecision,
  EntitlementDecision,
  EntitlementError,
  FlagDecision,
} from '@pennon/engine/model/decision';
import type { EvaluationRequest } from '@pennon/engine/model/evaluation';
import type { JsonObject, JsonValue } from '@pennon/engine/model/json';
import { limitStateOf, overLimitOf, overOf } from '@pennon/engine/model/over-limit';
import { periodAt } from '@pennon/engine/period/period-at';
import type { Snapshot } from '@pennon/engine/snapshot/snapshot';
import { decideConsumption, refuseConsumption } from '@pennon/engine/usage/decide-consumption';
import { decideConsumptions } from '@pennon/engine/usage/decide-consumptions';
import { decideRelease, refuseRelease } from '@pennon/engine/usage/decide-release';
import { measureAmount } from '@pennon/engine/usage/measure';
import { describe, expect, it } from 'vitest';
import { type Case, instantText, limitValue, readCases, requestOf } from './conformance-cases.js';

const SUITES = {
  evaluation: readCases('evaluation'),
  buckets: readCases('buckets'),
  entitlements: readCases('entitlements'),
  periods: readCases('periods'),
  consumption: readCases('consumption'),
  downgrade: readCases('downgrade'),
};

it('conformance: there are as many cases as promised', () => {
  expect(SUITES.evaluation.length).toBeGreaterThanOrEqual(120);
  expect(SUITES.buckets.length).toBeGreaterThanOrEqual(40);
  expect(SUITES.entitlements.length).toBeGreaterThanOrEqual(80);
  expect(SUITES.periods.length).toBeGreaterThanOrEqual(30);
  expect(SUITES.consumption.length).toBeGreaterThanOrEqual(60);
  const all = Object.values(SUITES).flat();
  expect(SUITES.downgrade.length).toBeGreaterThanOrEqual(40);
  expect(all.length).toBeGreaterThanOrEqual(300);
});

function flagAnswer(decision: FlagDecision): JsonObject {
  const { validUntil, customerNotProven } = decision;
  if (decision.kind === 'error') return { errorCode: decision.errorCode };
  const { value, variant, type, reason, cause, ruleIndex, bucket, sources, faults } = decision;
  return {
    ...(variant === null ? { valueAbsent: true } : { value, variant }),
    type,
    reason,
    cause,
    ruleIndex,
    bucket: bucket?.number ?? null,
    sources,
    faults: faults.map((fault) => `${fault.ruleIndex}:${fault.code}`),
    validUntil: instantText(validUntil),
    customerNotProven,
  };
}

function overAnswer(decision: EntitlementDecision): JsonObject {
  const told = overLimitOf(decision);
  const overLimit =
    told === null
      ? null
      : {
          limit: told.limit,
          policy: told.policy,
          since: instantText(told.since),
          graceEndsAt: instantText(told.standsUntil),
          readOnly: told.readOnly,
        };
  return { state: limitStateOf(decision), over: overOf(decision), overLimit };
}

function entitlementAnswer(decision: EntitlementDecision | EntitlementError): JsonObject {
  if (decision.kind === 'error') return { errorCode: decision.errorCode };
  const { period, sources, limit, validUntil, overageAllowance, downgrade, fallback, ...rest } = decision;
  return {
    ...overAnswer(decision),
    ...rest,
    limit: limitValue(limit),
    sources: sources.map(({ type, key, effect, value }) => [type, key, effect, value]),
    period:
      period === null
        ? null
        : { start: instantText(period.start), end: instantText(period.end), interval: period.interval },
    validUntil: instantText(validUntil),
  };
}

function consumptionAnswer(decision: ConsumptionDecision): JsonObject {
  const { entitlement, reservation: _, ...rest } = decision;
  return {
    ...rest,
    ...overAnswer(entitlement),
    balance: entitlement.balance,
    overage: entitlement.overage,
    hasAccess: entitlement.hasAccess,
  };
}

function check(actual: JsonObject, expected: JsonObject | null): void {
  expect(actual).toMatchObject(expected ?? {});
}

function requested(one: Case): EvaluationRequest<Snapshot> {
  const read = requestOf(one);
  if (!read.ok) throw new Error(read.message);
  return read.request;
}

describe('conformance: evaluation', () => {
  it.each(SUITES.evaluation.map((one) => [one.name, one] as const))('%s', (_name, one) => {
    const read = requestOf(one);
    if (!read.ok) {
      check({ errorCode: read.code }, one.expect);
      return;
    }
    const key = one.ask.flag ?? '';
    const decision = evaluateFlag(read.request, key);
    check(flagAnswer(decision), one.expect);
    const recorder = new StepRecorder();
    expect(evaluateFlag(read.request, key, recorder)).toEqual(decision);
    expect(recorder.steps.length).toBeGreaterThan(0);
  });
});

const ENTITLEMENTS = [...SUITES.entitlements, ...SUITES.downgrade.filter((one) => one.steps === undefined)];
const CONSUMPTIONS = [...SUITES.consumption, ...SUITES.downgrade.filter((one) => one.steps !== undefined)];

describe('conformance: entitlements', () => {
  it.each(ENTITLEMENTS.map((one) => [one.name, one] as const))('%s', (_name, one) => {
    const request = requested(one);
    const { entitlement: key = '', amount } = one.ask;
    const options = amount === undefined ? {} : { amount };
    const decision = resolveEntitlement(request, key, options);
    check(entitlementAnswer(decision), one.expect);
    expect(resolveEntitlement(request, key, options, new StepRecorder())).toEqual(decision);
    if (amount === undefined && request.snapshot.features.has(key)) {
      expect(explain(request, key).decision).toEqual(decision);
    }
  });
});

describe('conformance: buckets', () => {
  it.each(SUITES.buckets.map((one) => [one.name, one] as const))('%s', (_name, one) => {
    const asked = one.ask.bucket;
    if (asked === undefined) throw new Error('no bucket is asked for');
    const text = bucketText(asked.value);
    const bucket = text === null ? null : bucketNumber(bucketSeed(asked.seed), text, asked.total);
    expect({ bucket }).toEqual(one.expect);
  });
});

describe('conformance: periods', () => {
  it.each(SUITES.periods.map((one) => [one.name, one] as const))('%s', (_name, one) => {
    const asked = one.ask.period;
    if (asked === undefined) throw new Error('no period is asked for');
    const reset = asked.reset as unknown as ResetDocument | 'never';
    const period = periodAt({ reset, anchor: asked.anchor, now: Date.parse(one.now) });
    const found = period === null ? null : { start: instantText(period.start), end: instantText(period.end) };
    expect(found).toEqual(one.expect);
  });
});

/** The account after a decision is what the store would hold. */
function withUsed(
  request: EvaluationRequest<Snapshot>,
  entitlement: EntitlementDecision,
): EvaluationRequest<Snapshot> {
  const state = request.customer;
  if (state === null || state === 'unavailable') return request;
  const { key: feature, scope, usage: used, reserved, period } = entitlement;
  const rest = state.accounts.filter((one) => one.feature !== feature || one.scope !== scope);
  const account = { feature, scope, used, reserved, periodStart: period?.start ?? null };
  return { ...request, customer: { ...state, accounts: [...rest, account] } };
}

type StepOutcome = { readonly answer: JsonObject; readonly after: EvaluationRequest<Snapshot> };

function consumeOne(
  request: EvaluationRequest<Snapshot>,
  asked: { key?: string; amount?: number; mode?: 'all' | 'upTo'; attributes?: JsonObject },
): StepOutcome {
  const key = asked.key ?? '';
  const entitlement = resolveEntitlement(request, key);
  if (entitlement.kind === 'error') return { answer: { errorCode: entitlement.errorCode }, after: request };
  const feature = request.snapshot.features.get(key);
  if (feature === undefined) throw new Error(`no feature ${key}`);
  const measured = measureAmount(feature, asked);
  if (!measured.ok) return { answer: { errorCode: measured.refusal.errorCode }, after: request };
  const input = { entitlement, amount: measured.amount, mode: asked.mode ?? ('all' as const) };
  const refusal = refuseConsumption(input);
  const decision = decideConsumption(input);
  if (refusal !== null) {
    expect(decision).toMatchObject({ allowed: false, consumed: 0 });
    return { answer: { errorCode: refusal.errorCode }, after: request };
  }
  return { answer: consumptionAnswer(decision), after: withUsed(request, decision.entitlement) };
}

function consumeSeveral(
  request: EvaluationRequest<Snapshot>,
  items: readonly { readonly key: string; readonly amount: number }[],
): StepOutcome {
  const inputs = items.map(({ key, amount }) => {
    const entitlement = resolveEntitlement(request, key);
    if (entitlement.kind === 'error') throw new Error(entitlement.message);
    return { entitlement, amount, mode: 'all' as const };
  });
  const { allowed, decisions } = decideConsumptions(inputs);
  const after = decisions.reduce((state, { entitlement }) => withUsed(state, entitlement), request);
  return { answer: { allowed, items: decisions.map(consumptionAnswer) as JsonValue }, after };
}

function releaseOne(
  request: EvaluationRequest<Snapshot>,
  { key, amount }: { readonly key: string; readonly amount: number },
): StepOutcome {
  const entitlement = resolveEntitlement(request, key);
  if (entitlement.kind === 'error') return { answer: { errorCode: entitlement.errorCode }, after: request };
  const refusal = refuseRelease({ entitlement, amount });
  const decision = decideRelease({ entitlement, amount });
  if (refusal !== null) {
    expect(decision.released).toBe(0);
    return { answer: { errorCode: refusal.errorCode }, after: request };
  }
  const { entitlement: after, ...answer } = decision;
  return { answer, after: withUsed(request, after) };
}

describe('conformance: consumption', () => {
  it.each(CONSUMPTIONS.map((one) => [one.name, one] as const))('%s', (_name, one) => {
    let request = requested(one);
    expect(one.steps?.length).toBeGreaterThan(0);
    for (const { consume, release, expect: expected } of one.steps ?? []) {
      const step =
        release !== undefined
          ? releaseOne(request, release)
          : consume?.items === undefined
            ? consumeOne(request, consume ?? {})
            : consumeSeveral(request, consume.items);
      check(step.answer, expected);
      request = step.after;
    }
  });
});
