import type { AccountKey, LockedFrame } from '@pennon/server/store/account-transaction';
import { type Seeded, seeded } from './seeded.js';

/* Scripts of what several connections do one after the other, drawn from a seed, and how their outcomes are told. */

export const PARTIES = ['A', 'B', 'C', 'D'] as const;
export type Party = (typeof PARTIES)[number];
/** Writers that are no consume: a change of the customer, and somebody who holds accounts only. */
export const OTHERS = ['changer', 'holder'] as const;
export type Other = (typeof OTHERS)[number];

export const ACCOUNTS: readonly AccountKey[] = [
  { feature: 'calls', scope: '' },
  { feature: 'exports', scope: 'ann' },
  { feature: 'exports', scope: 'bob' },
];
const KEYS = ['one', 'two', 'three'] as const;

export interface WritePlan {
  readonly id: string;
  readonly kind: 'right' | 'stale' | 'over';
  readonly idempotencyKey: string;
  readonly amount: number;
  readonly closes: boolean;
}

/** What an expectation is deliberately wrong about. */
const OFF = [
  'used',
  'reserved',
  'covered',
  'told',
  'limit-known',
  'period-start',
  'period-end',
  'customer',
  'revision',
  'subjects',
  'shared',
  'too-early',
  'too-late',
] as const;
export type Off = (typeof OFF)[number];

/** A batch on the expectation that the party's last one leaves, whole in one round trip. */
export interface AheadPlan {
  readonly accounts: readonly AccountKey[];
  readonly keys: readonly string[];
  readonly plan: WritePlan;
  readonly off: Off | null;
}

export interface TogetherPart {
  readonly customer: number;
  readonly accounts: readonly AccountKey[];
  readonly keys: readonly string[];
}

export type Step =
  | {
      readonly do: 'begin';
      readonly party: Party;
      readonly customer: number;
      readonly accounts: readonly AccountKey[];
      readonly keys: readonly string[];
    }
  /** Of both customers in one transaction, which waits for nobody. */
  | { readonly do: 'begin-together'; readonly party: Party; readonly parts: readonly TogetherPart[] }
  /** `behind`: sent after it on the same connection, without waiting for its outcome. */
  | {
      readonly do: 'commit';
      readonly party: Party;
      readonly plan: WritePlan;
      readonly behind: readonly AheadPlan[];
    }
  | { readonly do: 'ahead'; readonly party: Party; readonly plans: readonly AheadPlan[] }
  | { readonly do: 'rollback'; readonly party: Party }
  | { readonly do: 'kill'; readonly party: Party }
  | { readonly do: 'change'; readonly customer: number }
  | { readonly do: 'hold'; readonly customer: number; readonly accounts: readonly AccountKey[] }
  | { readonly do: 'let-go' }
  | { readonly do: 'publish' | 'share' }
  /** Longer than any timeout of a session. */
  | { readonly do: 'wait' };

/** Which parties are idle, in a transaction, or waiting: what a script may do next depends on it. */
export interface Standing {
  readonly free: readonly Party[];
  readonly open: readonly Party[];
  readonly waiting: readonly Party[];
  /** Some of those who wait were sent ahead. */
  readonly waitingAhead: boolean;
  /** Those of the free and the open whose next batch can be expected to find what their last one leaves, or the one that is open. */
  readonly following: readonly Party[];
  readonly holding: boolean;
  readonly busy: ReadonlySet<Other>;
}

export interface Script {
  readonly length: number;
  next(standing: Standing): Step | null;
}

/** Most scripts are over before any timeout; every tenth is about one. */
export function scriptOf(seed: number): Script {
  const chance = seeded(seed);
  if (seed % 10 === 0) return timeoutScript(chance);
  let justSent: Party | null = null;
  return {
    length: 8 + chance.below(14),
    next(standing) {
      const step = drawStep(chance, justSent, standing);
      justSent = step?.do === 'commit' || step?.do === 'ahead' ? step.party : null;
      return step;
    },
  };
}

function timeoutScript(chance: Seeded): Script {
  const begin = (party: Party): Step => drawBegin(chance, party, 0);
  const hold: Step = { do: 'hold', customer: 0, accounts: ACCOUNTS };
  const steps: Step[] = chance.chance(0.5)
    ? // Whoever is silent in its transaction loses it.
      [begin('A'), { do: 'wait' }, begin('B'), commit(chance, 'A'), commit(chance, 'B')]
    : // Whoever waits for a lock for too long gives up, and then others find the customer free.
      [
        hold,
        { ...drawBegin(chance, 'A', 0), accounts: ACCOUNTS },
        { do: 'wait' },
        { do: 'let-go' },
        begin('B'),
      ];
  return { length: steps.length, next: () => steps.shift() ?? null };
}

function commit(chance: Seeded, party: Party, behind: readonly AheadPlan[] = []): Step {
  return { do: 'commit', party, plan: drawPlan(chance), behind };
}

function drawAhead(chance: Seeded): AheadPlan {
  return {
    accounts: drawAccounts(chance),
    keys: KEYS.filter(() => chance.chance(0.1)),
    // Whatever opens a period is not decided ahead.
    plan: { ...drawPlan(chance), closes: false },
    off: chance.chance(0.3) ? chance.pick(OFF) : null,
  };
}

/** @param justSent who sent a batch in the step before: its next one has the best chance to find what it expects */
function drawStep(
  chance: Seeded,
  justSent: Party | null,
  { free, open, waiting, waitingAhead, following, holding, busy }: Standing,
): Step | null {
  const possible: (() => Step)[] = [];
  // Whoever follows itself races with those who wait for it, in PostgreSQL too.
  const nobodyWaits = waiting.length === 0 && busy.size === 0;
  // Two who wait in different places and are let through at once race for what both want, in PostgreSQL too: scripts leave that out.
  // So do those who wait for a row behind one who changes it, if the first of them is through at once: with such a one nobody else waits.
  const changing = busy.has('changer');
  const mayBegin = free.length > 0 && (holding || !busy.has('holder')) && !(changing && waitingAhead);
  const able =
    mayBegin && (!changing || waiting.length === 0) ? free.filter((party) => following.includes(party)) : [];
  const ahead = (party: Party): Step => {
    const alone = nobodyWaits && open.length === 0 && !holding;
    const plans = [drawAhead(chance), ...(alone && chance.chance(0.4) ? [drawAhead(chance)] : [])];
    return { do: 'ahead', party, plans };
  };
  if (justSent !== null && able.includes(justSent) && chance.chance(0.4)) return ahead(justSent);
  if (mayBegin) {
    const begin = () => drawBegin(chance, chance.pick(free), chance.chance(0.8) ? 0 : 1);
    const together = () => drawTogether(chance, chance.pick(free));
    possible.push(begin, begin, begin, together);
    if (able.length > 0) possible.push(() => ahead(chance.pick(able)));
  }
  if (open.length > 0) {
    const write = () => {
      const party = chance.pick(open);
      const follows = nobodyWaits && following.includes(party) && chance.chance(0.5);
      const count = follows ? 1 + chance.below(2) : 0;
      return commit(
        chance,
        party,
        Array.from({ length: count }, () => drawAhead(chance)),
      );
    };
    possible.push(write, write, write, () => ({ do: 'rollback', party: chance.pick(open) }));
    if (chance.chance(0.3)) possible.push(() => ({ do: 'kill', party: chance.pick(open) }));
  }
  if (waiting.length > 0 && chance.chance(0.1)) {
    possible.push(() => ({ do: 'kill', party: chance.pick(waiting) }));
  }
  if (!changing && (!waitingAhead || waiting.length === 1))
    possible.push(() => ({ do: 'change', customer: chance.below(2) }));
  if (holding) possible.push(() => ({ do: 'let-go' }));
  else if (!busy.has('holder') && waiting.length === 0) {
    possible.push(() => ({ do: 'hold', customer: chance.below(2), accounts: drawAccounts(chance) }));
  }
  possible.push(() => ({ do: chance.chance(0.5) ? 'publish' : 'share' }));
  return chance.pick(possible)();
}

function drawBegin(chance: Seeded, party: Party, customer: number): Extract<Step, { readonly do: 'begin' }> {
  const keys = KEYS.filter(() => chance.chance(0.6));
  return { do: 'begin', party, customer, accounts: drawAccounts(chance), keys };
}

function drawTogether(chance: Seeded, party: Party): Step {
  const parts = [0, 1].map((customer): TogetherPart => {
    const { accounts, keys } = drawBegin(chance, party, customer);
    return { customer, accounts, keys };
  });
  return { do: 'begin-together', party, parts };
}

function drawAccounts(chance: Seeded): readonly AccountKey[] {
  return ACCOUNTS.filter(() => chance.chance(0.6));
}

function drawPlan(chance: Seeded): WritePlan {
  const kind = chance.chance(0.15) ? 'stale' : chance.chance(0.1) ? 'over' : 'right';
  const hex = Array.from({ length: 4 }, () => chance.below(0x10000).toString(16).padStart(4, '0'));
  return {
    id: `01900000-${hex[0]}-7${hex[1]?.slice(1)}-8${hex[2]?.slice(1)}-00000000${hex[3]}`,
    kind,
    idempotencyKey: chance.pick(KEYS),
    amount: 1 + chance.below(5),
    closes: chance.chance(0.3),
  };
}

/** Without instants: two worlds have two clocks. */
export function sayFrame(frame: LockedFrame): string {
  const { customer, revision, versions, accounts, earlier } = frame;
  return JSON.stringify({
    customer,
    revision,
    versions,
    accounts: accounts.map(({ feature, scope, used, reserved, periodStart, periodEnd }) => ({
      feature,
      scope,
      used,
      reserved,
      periodStart,
      periodEnd,
    })),
    earlier: earlier.map(({ id, item, idempotencyKey, feature, scope, usedAfter, answer }) => ({
      id,
      item,
      idempotencyKey,
      feature,
      scope,
      usedAfter,
      answer,
    })),
  });
}

/** Connections end in many ways, and all of them mean the same: nobody knows. */
const LOST = new Set(['57P01', '25P03', '08006', '08003', 'ECONNRESET']);

export function sayError(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : null;
  return code === null || LOST.has(code) ? 'connection lost' : code;
}
