import { parseCatalog } from '@pennon/engine/catalog/parse-catalog';
import type { CustomerState } from '@pennon/engine/model/customer';
import type { EvaluationRequest } from '@pennon/engine/model/evaluation';
import { compileSnapshot } from '@pennon/engine/snapshot/compile-snapshot';
import type { Snapshot } from '@pennon/engine/snapshot/snapshot';
import { NOTHING_TOLD } from '@pennon/engine/usage/notices';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { LockedAccount, LockedFrame } from '../store/account-transaction.js';
import { heldAccountName, type StoredReservation } from '../store/reservation-statements.js';
import type { ConsumeRequest } from './consume-request.js';
import { createBatchDecider } from './decide-batch.js';

/*
 * Reservations as laws: any sequence of reserve, settle (less, the same, more), release, consume, waiting and a moving limit, decided by
 * the batch as it runs and kept by a store of three maps. The reference counts whole units and shares no line with what it judges.
 */

const POLICIES = (['refuse', 'all', 'upTo'] as const).flatMap((more) =>
  (['refuse', 'consume'] as const).map((late) => ({ more, late, key: `${more}-${late}`.toLowerCase() })),
);
const CATALOG = `
product: { key: test, name: Test }
features:
${POLICIES.map(({ key, more, late }) => `  - { key: ${key}, type: metered, category: limit, reset: never, settle: { more: ${more}, late: ${late} }, owner: a@example.com, purpose: A test, removal: permanent }`).join('\n')}
`;

function snapshot(): Snapshot {
  const { catalog, issues } = parseCatalog([{ name: 'catalog.yaml', text: CATALOG }]);
  if (catalog === null) throw new Error(JSON.stringify(issues));
  return compileSnapshot({ catalog, environment: 'production', revision: 1, productId: 'p' }).snapshot;
}
const SNAPSHOT = snapshot();

type Step =
  | { readonly kind: 'reserve'; readonly amount: number; readonly ttl: number; readonly upTo: boolean }
  | { readonly kind: 'settle'; readonly which: number; readonly amount: number | null }
  | { readonly kind: 'release'; readonly which: number }
  | { readonly kind: 'consume'; readonly amount: number; readonly upTo: boolean }
  | { readonly kind: 'wait'; readonly time: number }
  | { readonly kind: 'limit'; readonly value: number };

const amount = fc.integer({ min: 0, max: 9 });
const steps: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.oneof(
    fc.record({
      kind: fc.constant('reserve' as const),
      amount,
      ttl: fc.integer({ min: 1, max: 60 }),
      upTo: fc.boolean(),
    }),
    fc.record({
      kind: fc.constant('settle' as const),
      which: fc.nat(6),
      amount: fc.option(amount, { nil: null }),
    }),
    fc.record({ kind: fc.constant('release' as const), which: fc.nat(6) }),
    fc.record({ kind: fc.constant('consume' as const), amount, upTo: fc.boolean() }),
    fc.record({ kind: fc.constant('wait' as const), time: fc.integer({ min: 1, max: 40 }) }),
    fc.record({ kind: fc.constant('limit' as const), value: fc.integer({ min: 0, max: 25 }) }),
  ),
  { minLength: 1, maxLength: 30 },
);

interface Answer {
  readonly code: string | null;
  readonly allowed: boolean;
  readonly consumed: number;
}

/** What a store keeps of one account between two transactions. */
class World {
  readonly key: string;
  limit = 12;
  now = 1_000_000;
  account: LockedAccount;
  readonly reservations = new Map<string, StoredReservation>();
  #calls = 0;

  constructor(key: string) {
    this.key = key;
    this.account = {
      ...{ feature: key, scope: '', periodStart: null, periodEnd: null, used: 0, reserved: 0 },
      ...{ nextHoldEnd: null, covered: 0, hasLots: false, limitKnown: null, told: NOTHING_TOLD },
    };
  }

  held(): StoredReservation[] {
    return [...this.reservations.values()].filter(({ state }) => state === 'held');
  }

  /** One transaction with one call. */
  call(
    operation: ConsumeRequest['operation'],
    asked: { readonly amount: number | null; readonly upTo?: boolean },
    reservation?: ConsumeRequest['reservation'],
  ): Answer {
    const { key, now } = this;
    const due = this.account.nextHoldEnd !== null && this.account.nextHoldEnd <= now;
    const ended = due ? this.held().filter(({ expiresAt }) => expiresAt <= now) : [];
    const later = this.held().flatMap(({ expiresAt }) => (expiresAt > now ? [expiresAt] : []));
    const nextEnds = new Map(later.length === 0 ? [] : [[heldAccountName(this.account), Math.min(...later)]]);
    const named = reservation?.kind === 'end' ? this.reservations.get(reservation.id) : undefined;
    const frame: LockedFrame = {
      now,
      customer: { version: 1 },
      revision: 1,
      versions: { subjects: 0, shared: 0 },
      accounts: [this.account],
      earlier: [],
      reservations: named === undefined ? [] : [named],
      holders: [],
    };
    const decider = createBatchDecider(frame, { ended, more: false, nextEnds }, new Map());
    this.#calls += 1;
    const request = {
      operation,
      idempotencyKey: `call-${this.#calls}`,
      requestHash: '00',
      mode: asked.upTo === true ? 'upTo' : 'all',
      actor: 'test',
      ...(reservation === undefined ? {} : { reservation }),
    } as ConsumeRequest;
    const item = {
      key,
      account: { feature: key, scope: '' },
      amount: asked.amount,
      attributes: {},
      holder: null,
    };
    const decided = decider.decide(request, this.#evaluation(), [item]);
    const write = decider.write();
    for (const { used, reserved, nextHoldEnd, limitKnown, told } of write.accounts) {
      this.account = { ...this.account, used, reserved, nextHoldEnd, limitKnown, told };
    }
    for (const one of write.reservations.made) {
      this.reservations.set(one.id, { ...one, state: 'held', settled: null });
    }
    for (const { id, before, state, settled } of write.reservations.finished) {
      const stored = this.reservations.get(id);
      if (stored === undefined || stored.state !== before)
        throw new Error(`\`${id}\` does not stand as it was read.`);
      this.reservations.set(id, { ...stored, state, settled });
    }
    if (decided.kind === 'refused') return { code: decided.error.code, allowed: false, consumed: 0 };
    const [decision] = decided.decisions;
    return { code: null, allowed: decision?.allowed === true, consumed: decision?.consumed ?? 0 };
  }

  #evaluation(): EvaluationRequest<Snapshot> {
    const grant = {
      ...{ id: 'limit', product: 'test', kind: 'contract' as const, startsAt: 0, endsAt: null },
      target: { kind: 'customer' as const, key: 'acme' },
      effect: { type: 'set' as const, feature: this.key, value: this.limit },
    };
    const customer: CustomerState = {
      ...{ id: 'c', key: 'acme', version: 1, createdAt: 0, timeZone: null, attributes: {} },
      ...{ licenses: [], groups: [], memberships: [], grants: [grant], accounts: [] },
    };
    const subject = {
      ...{
        targetingKey: 'acme',
        customerKey: 'acme',
        userKey: null,
        teamKey: null,
        instance: null,
        sku: null,
      },
      proven: true,
    };
    const request = { snapshot: SNAPSHOT, customer, subject, context: {}, now: this.now };
    return request as unknown as EvaluationRequest<Snapshot>;
  }
}

interface Known {
  state: 'held' | 'settled' | 'released' | 'expired';
  readonly held: number;
  readonly endsAt: number;
}

/** Whole units, by hand. */
class Reference {
  used = 0;
  readonly all = new Map<string, Known>();

  reserved(): number {
    let sum = 0;
    for (const { state, held } of this.all.values()) sum += state === 'held' ? held : 0;
    return sum;
  }

  tick(now: number): void {
    for (const one of this.all.values()) if (one.state === 'held' && one.endsAt <= now) one.state = 'expired';
  }
}

function roomOf(limit: number, reference: Reference): number {
  return Math.max(0, limit - reference.used - reference.reserved());
}

/** What is taken; `null`: refused. A limit of 0 is no right, and one below use allows nothing more, not even nothing. */
function taken(asked: number, upTo: boolean, room: number, limit: number, over: boolean): number | null {
  if (limit === 0) return null;
  if (over || (!upTo && asked > room) || (asked > 0 && room === 0)) return null;
  return Math.min(asked, room);
}

function settledOf(
  { more, late }: (typeof POLICIES)[number],
  known: Known,
  asked: number,
  room: number,
  limit: number,
  over: boolean,
): { readonly code: string } | { readonly settled: number | null } {
  if (known.state === 'settled' || known.state === 'released') return { code: 'RESERVATION_FINAL' };
  if (known.state === 'expired' && late === 'refuse') return { code: 'RESERVATION_EXPIRED' };
  if (more === 'refuse' && asked > known.held) return { code: 'TYPE_MISMATCH' };
  if (known.state === 'expired') return { settled: taken(asked, more === 'upTo', room, limit, over) };
  const beyond = Math.max(0, asked - known.held);
  if (beyond === 0) return { settled: asked };
  if (more === 'upTo') return { settled: known.held + (limit === 0 ? 0 : Math.min(beyond, room)) };
  return { settled: limit === 0 || over || beyond > room ? null : asked };
}

function run(policy: (typeof POLICIES)[number], sequence: readonly Step[]): void {
  const world = new World(policy.key);
  const reference = new Reference();
  for (const step of sequence) {
    if (step.kind === 'wait') {
      world.now += step.time;
      continue;
    }
    if (step.kind === 'limit') {
      world.limit = step.value;
      continue;
    }
    reference.tick(world.now);
    const room = roomOf(world.limit, reference);
    const over = reference.used + reference.reserved() > world.limit;
    const before = reference.used + reference.reserved();
    const finals = [...reference.all].filter(([, { state }]) => state === 'settled' || state === 'released');
    if (step.kind === 'reserve' || step.kind === 'consume') {
      const expected = taken(step.amount, step.upTo, room, world.limit, over);
      const ids = new Set(world.reservations.keys());
      const answer =
        step.kind === 'consume'
          ? world.call('consume', step)
          : world.call('reserve', step, { kind: 'make', ttlMilliseconds: step.ttl });
      expect([answer.code, answer.allowed, answer.consumed]).toEqual([
        null,
        expected !== null,
        expected ?? 0,
      ]);
      if (step.kind === 'consume') reference.used += answer.consumed;
      for (const [id, { amount: held, expiresAt }] of world.reservations) {
        if (!ids.has(id)) reference.all.set(id, { state: 'held', held, endsAt: expiresAt });
      }
      if (step.kind === 'reserve') expect(world.reservations.size - ids.size).toBe(answer.allowed ? 1 : 0);
    } else {
      const [id, known] = [...reference.all][step.which % Math.max(1, reference.all.size)] ?? [];
      if (id === undefined || known === undefined) continue;
      if (step.kind === 'release') {
        const answer = world.call('release-hold', { amount: null }, { kind: 'end', id });
        const isFinal = known.state === 'settled';
        expect(answer.code).toBe(isFinal ? 'RESERVATION_FINAL' : null);
        expect(answer.consumed).toBe(known.state === 'held' ? known.held : 0);
        if (known.state === 'held') known.state = 'released';
      } else {
        const expected = settledOf(policy, known, step.amount ?? known.held, room, world.limit, over);
        const answer = world.call('settle', { amount: step.amount }, { kind: 'end', id });
        if ('code' in expected) expect(answer.code).toBe(expected.code);
        else {
          expect([answer.code, answer.allowed]).toEqual([null, expected.settled !== null]);
          expect(answer.consumed).toBe(expected.settled ?? 0);
          if (expected.settled !== null) {
            reference.used += expected.settled;
            known.state = 'settled';
          }
        }
      }
    }
    // No unit is lost or doubled.
    expect({ used: world.account.used, reserved: world.account.reserved }).toEqual({
      used: reference.used,
      reserved: reference.reserved(),
    });
    // Law 2: what stands above a lowered limit may stay, and never rises.
    expect(world.account.used + world.account.reserved).toBeLessThanOrEqual(Math.max(before, world.limit));
    for (const [id, { state }] of finals) expect(world.reservations.get(id)?.state).toBe(state);
  }
  const settled = [...world.reservations.values()].filter(({ state }) => state === 'settled');
  for (const one of settled) expect(one.settled).not.toBeNull();
}

describe('X-5 law 2: reservations as laws', () => {
  it.each(POLICIES.map((policy) => [`more: ${policy.more}, late: ${policy.late}`, policy] as const))(
    '%s: no unit is lost or doubled, no limit is passed, and what is final stays',
    (_name, policy) => {
      fc.assert(
        fc.property(steps, (sequence) => run(policy, sequence)),
        { numRuns: 120 },
      );
    },
  );
});
