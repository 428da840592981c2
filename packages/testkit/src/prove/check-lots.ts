/* What was taken out of lots, by a ledger of its own that knows nothing of the engine. */

/** A lot whose making was acknowledged; from `knownAt` of the database's clock on it counts. */
export interface MadeLot {
  readonly id: string;
  readonly knownAt: number;
  /** From then on it counts no more; absent: nobody was told that it was voided. */
  readonly voidKnownAt?: number;
}

/** A lot as it stands in its table. */
export interface StoredLot {
  readonly id: string;
  readonly kind: 'topup' | 'rollover' | 'promotional';
  readonly amount: number;
  readonly remaining: number;
  readonly startsAt: number;
  readonly endsAt: number | null;
  /** When its void began; `null`: it is not voided. */
  readonly voidedAt: number | null;
}

/** A decision about the feature, in the order in which they were made. */
export interface LotDecision {
  readonly key: string;
  readonly decidedAt: number;
  readonly limit: number | null;
  readonly consumed: number;
  readonly usedAfter: number;
}

/** Usage of the feature that was recorded, in the order in which it was. */
export interface LotEvent {
  readonly id: string;
  readonly recordedAt: number;
  readonly amount: number;
}

export interface LotsQuestion {
  readonly allowance: number;
  readonly decisions: readonly LotDecision[];
  readonly events: readonly LotEvent[];
  readonly stored: readonly StoredLot[];
  readonly made: readonly MadeLot[];
  /** Of what is used, what the account says was taken out of lots. */
  readonly covered: number;
}

interface LedgerLot {
  readonly stored: StoredLot;
  readonly left: number;
  /** From some instant between its beginning and its acknowledgement on. */
  readonly visible: boolean;
  /** Voided: from some instant between the beginning of that and its acknowledgement on. */
  readonly gone: boolean;
}

interface Ledger {
  readonly lots: readonly LedgerLot[];
  /** Of the allowance; below 0 where more was recorded than there was. */
  readonly plain: number;
  readonly taken: number;
  readonly used: number;
  readonly nextDecision: number;
  readonly nextEvent: number;
}

export function checkLots(question: LotsQuestion): readonly string[] {
  const { allowance, stored, made } = question;
  const lost = made
    .filter(({ id }) => !stored.some((lot) => lot.id === id))
    .map(({ id }) => `The lot ${id} was acknowledged and is lost.`);
  const kept = made
    .filter(({ id, voidKnownAt }) => voidKnownAt !== undefined && !isVoided(stored, id))
    .map(({ id }) => `The lot ${id} is not voided, though that was acknowledged.`);
  const lots = stored.map((lot) => ({ stored: lot, left: lot.amount, visible: false, gone: false }));
  const begin = { lots, plain: allowance, taken: 0, used: 0, nextDecision: 0, nextEvent: 0 };
  return [...lost, ...kept, ...play(question, begin)];
}

function isVoided(stored: readonly StoredLot[], id: string): boolean {
  return stored.some((lot) => lot.id === id && lot.voidedAt !== null);
}

/**
 * Goes through what happened, one after the other. Nothing tells which lots an event found that was recorded while one was being made:
 * then each is tried, and one way must lead to what stands in the end.
 */
function play(question: LotsQuestion, begin: Ledger): readonly string[] {
  let ledger = begin;
  for (;;) {
    const decision = question.decisions[ledger.nextDecision];
    const event = question.events[ledger.nextEvent];
    if (event !== undefined && isNext(event, decision, ledger)) {
      const ways = waysFor(question, ledger, event.recordedAt).map((lots) => ({
        ...burn({ ...ledger, lots }, event.amount, event.recordedAt),
        nextEvent: ledger.nextEvent + 1,
      }));
      const [first] = ways;
      if (first === undefined) return [`Nobody knows what \`${event.id}\` was taken from.`];
      if (ways.length > 1) return eitherWay(question, ways);
      ledger = first;
    } else if (decision !== undefined) {
      const after = decide(question, ledger, decision);
      if (typeof after === 'string') return [after];
      ledger = after;
    } else {
      return checkEnd(question, ledger);
    }
  }
}

/** The same millisecond may hold a decision and an event: what was used when it was decided tells which came first. */
function isNext({ recordedAt }: LotEvent, decision: LotDecision | undefined, { used }: Ledger): boolean {
  if (decision === undefined || recordedAt < decision.decidedAt) return true;
  return recordedAt === decision.decidedAt && used < decision.usedAfter - decision.consumed;
}

function eitherWay(question: LotsQuestion, ways: readonly Ledger[]): readonly string[] {
  let violations: readonly string[] = [];
  for (const way of ways) {
    violations = play(question, way);
    if (violations.length === 0) break;
  }
  return violations;
}

function decide(
  question: LotsQuestion,
  ledger: Ledger,
  { key, decidedAt, limit, consumed, usedAfter }: LotDecision,
): Ledger | string {
  const expected = (lots: readonly LedgerLot[]) =>
    question.allowance + ledger.taken + sum(usable(lots, decidedAt));
  const lots = waysFor(question, ledger, decidedAt).find((way) => expected(way) === limit);
  if (lots === undefined) {
    return `\`${key}\` was decided under ${limit} where lots and plan make ${expected(ledger.lots)}.`;
  }
  const after = burn({ ...ledger, lots }, consumed, decidedAt);
  if (after.plain < Math.min(0, ledger.plain)) return `\`${key}\` took more than there was.`;
  if (after.used !== usedAfter) return `\`${key}\` left ${usedAfter} in use, not ${after.used}.`;
  return { ...after, nextDecision: ledger.nextDecision + 1 };
}

function checkEnd({ covered }: LotsQuestion, { lots, taken }: Ledger): readonly string[] {
  const violations = lots
    .filter(({ stored, left }) => stored.remaining !== left)
    .map(
      ({ stored, left }) =>
        `The lot ${stored.id} holds ${stored.remaining}, and ${left} by what was decided.`,
    );
  if (covered !== taken) violations.push(`${covered} are said to be covered by lots, and ${taken} were.`);
  return violations;
}

/** What was acknowledged before counts, or counts no more; what was being made or voided just then may. */
function waysFor({ made }: LotsQuestion, { lots }: Ledger, at: number): readonly (readonly LedgerLot[])[] {
  let ways: readonly (readonly LedgerLot[])[] = [[]];
  for (const lot of lots) {
    const told = made.find(({ id }) => id === lot.stored.id);
    const visible = lot.visible || (told !== undefined && told.knownAt < at);
    const gone = lot.gone || (told?.voidKnownAt !== undefined && told.voidKnownAt < at);
    const sure = { ...lot, visible, gone };
    const { voidedAt } = lot.stored;
    const open = !gone && isInForce(lot, at);
    const others = [
      ...(open && !visible ? [{ ...sure, visible: true }] : []),
      ...(open && voidedAt !== null && voidedAt <= at ? [{ ...sure, gone: true }] : []),
    ];
    ways = [sure, ...others].flatMap((one) => ways.map((before) => [...before, one]));
  }
  return ways;
}

function isInForce({ stored: { startsAt, endsAt } }: LedgerLot, at: number): boolean {
  return startsAt <= at && (endsAt === null || at < endsAt);
}

function usable(lots: readonly LedgerLot[], at: number): readonly LedgerLot[] {
  return lots.filter((lot) => lot.visible && !lot.gone && isInForce(lot, at));
}

/** What neither the allowance nor a lot has left is used above the allowance. */
function burn(ledger: Ledger, amount: number, at: number): Ledger {
  let open = amount;
  let { plain, taken } = ledger;
  const left = new Map<string, number>();
  for (const source of inOrder(usable(ledger.lots, at))) {
    const part = Math.min(open, source === 'allowance' ? Math.max(0, plain) : source.left);
    open -= part;
    if (source === 'allowance') plain -= part;
    else {
      left.set(source.stored.id, source.left - part);
      taken += part;
    }
  }
  const lots = ledger.lots.map((lot) => ({ ...lot, left: left.get(lot.stored.id) ?? lot.left }));
  return { ...ledger, lots, plain: plain - open, taken, used: ledger.used + amount };
}

const sum = (lots: readonly LedgerLot[]) => lots.reduce((total, { left }) => total + left, 0);

/**
 * All have one priority, so what ends first is used first: of those that end before the month nothing else counts, what the plan allows
 * ends with the month, and lots without an end come after it. Two that end at one instant: promotional ones first. What the month before
 * left ends with this one and comes before what this one allows.
 */
function inOrder(lots: readonly LedgerLot[]): readonly (LedgerLot | 'allowance')[] {
  const end = ({ stored }: LedgerLot) => stored.endsAt ?? Number.POSITIVE_INFINITY;
  const rank = ({ stored }: LedgerLot) => ['promotional', 'rollover', 'topup'].indexOf(stored.kind);
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
