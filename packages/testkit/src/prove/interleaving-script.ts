import type {
  AccountKey,
  BatchWrite,
  ConsumptionRow,
  LockedFrame,
} from '@pennon/server/store/account-transaction';
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
  | { readonly do: 'commit'; readonly party: Party; readonly plan: WritePlan }
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
  return { length: 8 + chance.below(10), next: (standing) => drawStep(chance, standing) };
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

function commit(chance: Seeded, party: Party): Step {
  return { do: 'commit', party, plan: drawPlan(chance) };
}

function drawStep(chance: Seeded, { free, open, waiting, holding, busy }: Standing): Step | null {
  const possible: (() => Step)[] = [];
  // Two who wait in different places and are let through at once race for what both want, in PostgreSQL too: scripts leave that out.
  const mayBegin = free.length > 0 && (holding || !busy.has('holder'));
  if (mayBegin) {
    const begin = () => drawBegin(chance, chance.pick(free), chance.chance(0.8) ? 0 : 1);
    const together = () => drawTogether(chance, chance.pick(free));
    possible.push(begin, begin, begin, together);
  }
  if (open.length > 0) {
    const write = () => commit(chance, chance.pick(open));
    possible.push(write, write, () => ({ do: 'rollback', party: chance.pick(open) }));
    if (chance.chance(0.3)) possible.push(() => ({ do: 'kill', party: chance.pick(open) }));
  }
  if (waiting.length > 0 && chance.chance(0.1)) {
    possible.push(() => ({ do: 'kill', party: chance.pick(waiting) }));
  }
  if (!busy.has('changer')) possible.push(() => ({ do: 'change', customer: chance.below(2) }));
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

const PERIOD_MILLISECONDS = 3_600_000;
const FIRST_PERIOD = Date.UTC(2027, 0, 1);

/** What a batch would write on what it read: each account of the frame takes the amount. */
export function writeOf(frame: LockedFrame, plan: WritePlan): BatchWrite {
  const { kind, amount, closes } = plan;
  const accounts = frame.accounts.map((account) => {
    const periodStart =
      account.periodStart === null ? FIRST_PERIOD : account.periodStart + (closes ? PERIOD_MILLISECONDS : 0);
    const before = kind === 'stale' ? { ...account, used: account.used + 1000 } : account;
    return {
      ...account,
      used: closes ? amount : account.used + amount,
      periodStart,
      periodEnd: periodStart + PERIOD_MILLISECONDS,
      lots: [],
      percent: null,
      before,
    };
  });
  const closed = closes ? frame.accounts.filter((account) => account.periodStart !== null) : [];
  const consumptions = accounts.map((account, item) => rowOf(plan, account, account.used, item));
  const reservations = { made: [], finished: [], accounts: [] };
  const lots = { credits: [], changed: [], made: [] };
  return {
    now: frame.now,
    accounts,
    closed,
    consumptions,
    reservations,
    holders: [],
    lots,
    hours: [],
    notices: [],
    wouldHaveDenied: 0,
  };
}

function rowOf(plan: WritePlan, { feature, scope }: AccountKey, used: number, item: number): ConsumptionRow {
  return {
    id: plan.id,
    item,
    operation: 'consume',
    idempotencyKey: plan.idempotencyKey,
    requestHash: '00'.repeat(32),
    feature,
    scope,
    allowed: true,
    reason: 'PLAN',
    enforcement: 'hard',
    requested: plan.amount,
    consumed: plan.amount,
    usedAfter: used,
    reservedAfter: 0,
    limitAtDecision: plan.kind === 'over' ? used - 1 : used,
    periodStart: null,
    revision: 1,
    attributes: null,
    answer: `answer ${plan.id}`,
    actor: 'server-key:script',
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
