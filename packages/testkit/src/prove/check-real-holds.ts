import type { Acknowledged } from './real-heard.js';
import type { RealTables, ReservationRow, Row } from './real-tables.js';

/* What is reserved of `held`, settled, given back and ended by the clock, one row after the other, by a ledger of its own. */

interface LedgerHold {
  readonly amount: number;
  readonly expiresAt: number;
  state: 'held' | 'settled' | 'released' | 'expired';
  settled: number | null;
}

interface After {
  readonly used: number;
  readonly reserved: number;
}

const FEATURE = 'held';
/** The clocks of this machine's processes are one. */
const TOLERANCE_MILLISECONDS = 50;

export function checkHolds(tables: RealTables, acknowledged: readonly Acknowledged[]): readonly string[] {
  const calls = acknowledged.filter(({ call }) => call.body.key === FEATURE);
  const ledger = new HoldLedger(calls);
  const rows = tables.rows.filter(({ feature }) => feature === FEATURE);
  return [
    ...ledger.play(rows),
    ...ledger.compare(tables),
    ...calls.flatMap((one) => checkRefusal(one, tables.reservations)),
  ];
}

class HoldLedger {
  readonly #calls: ReadonlyMap<string, Acknowledged>;
  readonly #holds = new Map<string, LedgerHold>();
  #standing: After = { used: 0, reserved: 0 };

  constructor(acknowledged: readonly Acknowledged[]) {
    this.#calls = new Map(acknowledged.map((one) => [one.call.idempotencyKey, one]));
  }

  /** Rows of one millisecond may stand in any order: the one that fits is taken first. */
  play(rows: readonly Row[]): readonly string[] {
    const violations: string[] = [];
    const open = [...rows];
    for (let [first] = open; first !== undefined; [first] = open) {
      const { decidedAt } = first;
      const together = open.filter((row) => row.decidedAt === decidedAt);
      const next = together.find((row) => isSame(this.#after(row), row)) ?? first;
      open.splice(open.indexOf(next), 1);
      violations.push(...this.#take(next));
    }
    return violations;
  }

  /** What is in use and held after the row. */
  #after(row: Row): After {
    const { used, reserved } = this.#standing;
    const { consumed } = row;
    const held = this.#holdOf(row)?.state === 'held' ? (this.#holdOf(row)?.amount ?? 0) : 0;
    if (!row.allowed) return { used, reserved };
    switch (row.operation) {
      case 'consume':
        return { used: used + consumed, reserved };
      case 'release':
        return { used: used - consumed, reserved };
      case 'reserve':
        return { used, reserved: reserved + consumed };
      case 'settle':
        return { used: used + consumed, reserved: reserved - held };
      default:
        return { used, reserved: reserved - held };
    }
  }

  #holdOf({ key, operation }: Row): LedgerHold | undefined {
    const id = operation === 'expire' ? key : this.#calls.get(key)?.call.holdId;
    return id === undefined ? undefined : this.#holds.get(id);
  }

  #take(row: Row): readonly string[] {
    const after = this.#after(row);
    const violations = isSame(after, row)
      ? []
      : [`\`${row.key}\` left ${row.usedAfter}/${row.reservedAfter}, not ${after.used}/${after.reserved}.`];
    violations.push(...this.#end(row), ...this.#overdue(row));
    const hold = this.#calls.get(row.key)?.answer.hold;
    if (row.operation === 'reserve' && row.allowed && hold != null) {
      this.#holds.set(hold.id, {
        amount: hold.amount,
        expiresAt: hold.expiresAt,
        state: 'held',
        settled: null,
      });
      if (hold.amount !== row.consumed) violations.push(`\`${row.key}\` holds ${hold.amount}.`);
    }
    this.#standing = after;
    return violations;
  }

  /** INVARIANT: a hold ends once, by its caller before its end, or by the clock at it. */
  #end(row: Row): string[] {
    const { operation, decidedAt, consumed, key } = row;
    if (operation !== 'settle' && operation !== 'release-hold' && operation !== 'expire') return [];
    const hold = this.#holdOf(row);
    if (hold === undefined) return [`\`${key}\` ended a hold that nobody was given.`];
    const { state, amount, expiresAt } = hold;
    // What has ended by the clock, or was given back, may be given back: nothing of it is left.
    if (operation === 'release-hold' && state !== 'held') {
      return consumed === 0 && state !== 'settled'
        ? []
        : [`\`${key}\` gave back ${consumed} of what was ${state}.`];
    }
    if (state !== 'held') return [`\`${key}\` ended a hold that was ${state}.`];
    const isDue = decidedAt >= expiresAt;
    if (isDue !== (operation === 'expire'))
      return [`\`${key}\` (${operation}) came ${decidedAt - expiresAt} ms after its end.`];
    if (operation === 'settle' ? consumed > amount : consumed !== amount) {
      return [`\`${key}\` (${operation}) moved ${consumed} of ${amount}.`];
    }
    hold.state = operation === 'settle' ? 'settled' : operation === 'expire' ? 'expired' : 'released';
    hold.settled = operation === 'settle' ? consumed : null;
    return [];
  }

  /** INVARIANT: what has ended by the database's clock counts for nobody who is decided after that. */
  #overdue({ operation, key, decidedAt }: Row): readonly string[] {
    if (operation === 'expire') return [];
    return [...this.#holds.values()]
      .filter(({ state, expiresAt }) => state === 'held' && expiresAt <= decidedAt)
      .map(({ amount }) => `A hold of ${amount} that had ended counted against \`${key}\`.`);
  }

  compare({ reservations, accounts }: RealTables): readonly string[] {
    const violations: string[] = [];
    const stored = new Map(reservations.map((one) => [one.id, one]));
    for (const [id, { state, settled }] of this.#holds) {
      const row = stored.get(id);
      if (row?.state !== state || row.settled !== settled) {
        violations.push(`The hold ${id} is ${row?.state} (${row?.settled}), not ${state} (${settled}).`);
      }
    }
    if (stored.size !== this.#holds.size) {
      violations.push(`${stored.size} holds stand for ${this.#holds.size} that were given.`);
    }
    const { used, reserved } = this.#standing;
    const account = accounts.get(FEATURE) ?? { used: 0, reserved: 0 };
    if (account.used !== used || account.reserved !== reserved) {
      violations.push(`${account.used}/${account.reserved} are in use and held, not ${used}/${reserved}.`);
    }
    return violations;
  }
}

function isSame({ used, reserved }: After, { usedAfter, reservedAfter }: Row): boolean {
  return used === usedAfter && reserved === reservedAfter;
}

/** A refusal is true: the hold was final by then, or had ended. */
function checkRefusal(
  { call, answer }: Acknowledged,
  reservations: readonly ReservationRow[],
): readonly string[] {
  if (answer.refusal === null) return [];
  const hold = reservations.find(({ id }) => id === call.holdId);
  const isFinal = hold?.state === 'settled' || hold?.state === 'released';
  const hasEnded = hold !== undefined && hold.expiresAt <= answer.at + TOLERANCE_MILLISECONDS;
  const isTrue = answer.refusal === 'RESERVATION_FINAL' ? isFinal : hasEnded && !isFinal;
  return isTrue
    ? []
    : [`\`${call.idempotencyKey}\` was refused (${answer.refusal}) while the hold was ${hold?.state}.`];
}
