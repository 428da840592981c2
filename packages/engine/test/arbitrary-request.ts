import type { Subject } from '@pennon/engine/model/context';
import type { CustomerState, Grant, GrantEffect, License, TargetKind } from '@pennon/engine/model/customer';
import type { EvaluationRequest } from '@pennon/engine/model/evaluation';
import type { Snapshot } from '@pennon/engine/snapshot/snapshot';
import fc from 'fast-check';
import { snapshotNamed } from './conformance-cases.js';

/* Any customer that the pricing catalog could have, with spans that begin and end on few days, so that they meet. */

const DAY = 86_400_000;
export const ORIGIN = Date.parse('2026-06-01T00:00:00Z');
const DAYS = 40;

const day = fc.integer({ min: 0, max: DAYS }).map((days) => ORIGIN + days * DAY);

const span = fc
  .tuple(day, fc.option(day, { nil: null }))
  .map(([startsAt, endsAt]) => ({ startsAt, endsAt: endsAt !== null && endsAt <= startsAt ? null : endsAt }));

const product = 'saleshub';

const plans = [
  ['free', 0],
  ['starter', 0],
  ['pro', 0],
  ['pro', 1],
  ['enterprise', 0],
  ['trial', 0],
  ['bare', 0],
] as const;

const license: fc.Arbitrary<Omit<License, 'id'>> = fc
  .record({
    plan: fc.constantFrom(...plans),
    status: fc.constantFrom('trialing', 'active', 'past_due', 'paused', 'canceled', 'ended'),
    grace: fc.option(day, { nil: null }),
    addons: fc.uniqueArray(
      fc.constantFrom('minutes-pack', 'seat-floor', 'big-seats', 'sso-pack', 'bytes-pack'),
      {
        maxLength: 3,
      },
    ),
    quantity: fc.integer({ min: 1, max: 3 }),
    span,
  })
  .map(({ plan: [plan, planVersion], status, grace, addons, quantity, span: when }) => ({
    product,
    plan,
    planVersion,
    quantity: 1,
    kind: 'paid' as const,
    status,
    graceEndsAt: grace,
    anchor: `${new Date(when.startsAt).toISOString().replace('Z', '')}[America/New_York]`,
    timeZone: null,
    sku: null,
    addons: addons.map((addon) => ({ addon, version: 0, quantity })),
    ...when,
  }));

const BOOLEANS = ['analytics', 'smart-send', 'sso', 'exports'] as const;
const NUMBERS = ['minutes', 'tokens', 'seats', 'professionals', 'runs'] as const;
const FLAGS = ['analytics-ui', 'analytics-half', 'minutes-ui', 'reads-right'] as const;

const effect: fc.Arbitrary<GrantEffect> = fc.oneof(
  fc.record({
    type: fc.constant('flag' as const),
    flag: fc.constantFrom(...FLAGS),
    variant: fc.constantFrom('on', 'off'),
    requires: fc.constantFrom('grant' as const, 'respect' as const),
    limits: fc.constantFrom({}, { tokens: 5 }, { tokens: 7, minutes: 3 }),
  }),
  fc.record({
    type: fc.constant('set' as const),
    feature: fc.constantFrom(...BOOLEANS),
    value: fc.boolean(),
  }),
  fc.record({ type: fc.constant('set' as const), feature: fc.constantFrom(...NUMBERS), value: fc.nat(100) }),
  fc.record({ type: fc.constant('add' as const), feature: fc.constantFrom(...NUMBERS), amount: fc.nat(50) }),
  fc.record({
    type: fc.constant('multiply' as const),
    feature: fc.constantFrom(...NUMBERS),
    factor: fc.constantFrom('1.5', '0.25', '1.3333', '2'),
  }),
  fc.record({ type: fc.constant('unlimited' as const), feature: fc.constantFrom(...NUMBERS) }),
  fc.record({ type: fc.constant('deny' as const), feature: fc.constantFrom(...BOOLEANS, ...NUMBERS) }),
);

const KEYS: Record<TargetKind, readonly string[]> = {
  user: ['ada', 'bob'],
  instance: ['acme-eu', 'acme-us'],
  customer: ['acme', 'other'],
  group: ['beta', 'partners'],
  segment: ['demoing', 'big-accounts', 'vip'],
};

const target = fc
  .constantFrom<TargetKind>('user', 'instance', 'customer', 'group', 'segment')
  .chain((kind) => fc.constantFrom(...KEYS[kind]).map((key) => ({ kind, key })));

const grant: fc.Arbitrary<Omit<Grant, 'id'>> = fc
  .record({ target, effect, span, kind: fc.constantFrom('demo', 'beta', 'contract', 'support', 'voucher') })
  .map(({ span: when, ...rest }) => ({ product, ...rest, ...when }));

const member = fc.constantFrom(
  { kind: 'customer' as const, key: 'acme' },
  { kind: 'user' as const, key: 'ada' },
  { kind: 'team' as const, key: 'red' },
  { kind: 'instance' as const, key: 'acme-eu' },
);

const account = fc.record({
  feature: fc.constantFrom('minutes', 'tokens', 'professionals', 'runs', 'mails', 'calls', 'probes'),
  scope: fc.constantFrom('', 'acme-eu', 'ada'),
  periodStart: fc.option(day, { nil: null }),
  used: fc.nat(120),
  reserved: fc.nat(10),
});

export const customerState: fc.Arbitrary<CustomerState> = fc
  .record({
    licenses: fc.array(license, { maxLength: 3 }),
    groups: fc.array(
      fc
        .record({ group: fc.constantFrom('beta', 'partners', 'frozen'), span })
        .map(({ group, span: when }) => ({
          group,
          ...when,
        })),
      { maxLength: 2 },
    ),
    memberships: fc.array(
      fc
        .record({ member, span })
        .map(({ span: when, ...rest }) => ({ segment: 'demoing', ...rest, ...when })),
      { maxLength: 2 },
    ),
    grants: fc.array(grant, { maxLength: 5 }),
    accounts: fc.uniqueArray(account, {
      maxLength: 5,
      selector: ({ feature, scope }) => `${feature} ${scope}`,
    }),
    vip: fc.boolean(),
  })
  .map(({ licenses, grants, vip, ...rest }) => ({
    id: 'id-acme',
    key: 'acme',
    version: 1,
    createdAt: ORIGIN,
    timeZone: null,
    attributes: { vip },
    licenses: licenses.map((one, index) => ({ id: `l${index}`, ...one })),
    grants: grants.map((one, index) => ({ id: `g${index}`, ...one })),
    ...rest,
  }));

const subject: fc.Arbitrary<Subject> = fc
  .record({
    user: fc.constantFrom(null, 'ada', 'bob'),
    instance: fc.constantFrom(null, 'acme-eu', 'acme-us'),
    team: fc.constantFrom(null, 'red'),
  })
  .map(({ user, instance, team }) => ({
    proven: true,
    customerKey: 'acme',
    instance: instance === null ? null : { key: instance, id: null, metadata: {} },
    userKey: user,
    teamKey: team,
    sku: null,
  }));

export const request: fc.Arbitrary<EvaluationRequest<Snapshot>> = fc
  .record({ customer: customerState, subject, now: day, shift: fc.integer({ min: -1, max: 1 }) })
  .map(({ customer, subject: who, now, shift }) => ({
    snapshot: snapshotNamed('pricing', 'production'),
    customer,
    subject: who,
    context: {
      targetingKey: 'acme',
      parts: {
        ...(who.userKey === null ? {} : { user: { key: who.userKey } }),
        ...(who.teamKey === null ? {} : { team: { key: who.teamKey } }),
      },
    },
    now: now + shift,
  }));
