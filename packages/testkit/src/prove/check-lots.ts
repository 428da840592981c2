/* What was taken out of lots, by a ledger of its own that knows nothing of the engine. */

/** A lot whose making was acknowledged; from `knownAt` of the database's clock on it counts. */
export interface MadeLot {
  readonly id: string;
  readonly knownAt: number;
}

/** A lot as it stands in its table. */
export interface StoredLot {
  readonly id: string;
  readonly kind: 'topup' | 'promotional';
  readonly amount: number;
  readonly remaining: number;
  readonly startsAt: number;
  readonly endsAt: number | null;
}

/** A decision about the feature, in the order in which they were made. */
export interface LotDecision {
  readonly key: string;
  readonly decidedAt: number;
  readonly limit: number | null;
  readonly consumed: number;
}

interface LedgerLot {
  readonly stored: StoredLot;
  left: number;
  visible: boolean;
}

export interface LotsQuestion {
  readonly allowance: number;
  readonly decisions: readonly LotDecision[];
  readonly stored: readonly StoredLot[];
  readonly made: readonly MadeLot[];
  /** Of what is used, what the account says was taken out of lots. */
  readonly covered: number;
}

export function checkLots({ allowance, decisions, stored, made, covered }: LotsQuestion): readonly string[] {
  const lots: LedgerLot[] = stored.map((lot) => ({ stored: lot, left: lot.amount, visible: false }));
  const violations = made
    .filter(({ id }) => !stored.some((lot) => lot.id === id))
    .map(({ id }) => `The lot ${id} was acknowledged and is lost.`);
  let plain = allowance;
  let taken = 0;
  for (const { key, decidedAt, limit, consumed } of decisions) {
    const inForce = ({ stored: lot }: LedgerLot) =>
      lot.startsAt <= decidedAt && (lot.endsAt === null || decidedAt < lot.endsAt);
    showLots(lots, decidedAt, made, (limit ?? 0) - allowance - taken);
    const usable = lots.filter((lot) => lot.visible && inForce(lot));
    const expected = allowance + taken + sum(usable);
    if (limit !== expected) {
      return [...violations, `\`${key}\` was decided under ${limit} where lots and plan make ${expected}.`];
    }
    let open = consumed;
    for (const source of inOrder(usable)) {
      const part = Math.min(open, source === 'allowance' ? plain : source.left);
      open -= part;
      if (source === 'allowance') plain -= part;
      else {
        source.left -= part;
        taken += part;
      }
    }
    if (open > 0) return [...violations, `\`${key}\` took ${open} more than there was.`];
  }
  for (const { stored: lot, left } of lots) {
    if (lot.remaining !== left) {
      violations.push(`The lot ${lot.id} holds ${lot.remaining}, and ${left} by what was decided.`);
    }
  }
  if (covered !== taken) violations.push(`${covered} are said to be covered by lots, and ${taken} were.`);
  return violations;
}

/**
 * What was acknowledged before counts; what was being made just then may. Amounts are such that no two sets of lots make the same sum,
 * so the limit tells which.
 */
function showLots(
  lots: readonly LedgerLot[],
  decidedAt: number,
  made: readonly MadeLot[],
  credits: number,
): void {
  const known = (lot: LedgerLot) =>
    made.some(({ id, knownAt }) => id === lot.stored.id && knownAt < decidedAt);
  for (const lot of lots) lot.visible ||= known(lot);
  const inForce = ({ stored: { startsAt, endsAt } }: LedgerLot) =>
    startsAt <= decidedAt && (endsAt === null || decidedAt < endsAt);
  const maybe = lots.filter((lot) => !lot.visible && inForce(lot));
  const sure = sum(lots.filter((lot) => lot.visible && inForce(lot)));
  for (let choice = 0; choice < 2 ** maybe.length; choice += 1) {
    const chosen = maybe.filter((_, index) => (choice >> index) % 2 === 1);
    if (sure + sum(chosen) !== credits) continue;
    for (const lot of chosen) lot.visible = true;
    return;
  }
}

const sum = (lots: readonly LedgerLot[]) => lots.reduce((total, { left }) => total + left, 0);

/**
 * All have one priority, so what ends first is used first: of those that end before the month nothing else counts, what the plan allows
 * ends with the month, and lots without an end come after it. Two that end at one instant: promotional ones first.
 */
function inOrder(lots: readonly LedgerLot[]): readonly (LedgerLot | 'allowance')[] {
  const end = ({ stored }: LedgerLot) => stored.endsAt ?? Number.POSITIVE_INFINITY;
  const rank = ({ stored }: LedgerLot) => (stored.kind === 'promotional' ? 0 : 1);
  const sorted = [...lots].sort(
    (one, other) =>
      compare(end(one), end(other)) ||
      rank(one) - rank(other) ||
      one.stored.startsAt - other.stored.startsAt ||
      compare(one.stored.id, other.stored.id),
  );
  const ending = sorted.filter(({ stored }) => stored.endsAt !== null);
  return [...ending, 'allowance', ...sorted.filter(({ stored }) => stored.endsAt === null)];
}

function compare<Value extends number | string>(one: Value, other: Value): number {
  return one < other ? -1 : one > other ? 1 : 0;
}
