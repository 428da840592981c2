import {
  type ConsumptionDecision,
  type EntitlementDecision,
  RESERVATION_STATES,
  type Reservation,
} from '@pennon/engine/model/decision';

/*
 * A decided consumption as the consumption table keeps it, so that a replay is encoded from the decision itself. The columns
 * hold what every row has of its own; `answer` holds the rest. Most of that rest (sources, period, limit) is the same for
 * every decision of an account in a batch: the first row spells it out, the others refer to it.
 */

/** What a decision has of its own; everything else is what decisions of one account in one batch have in common. */
const OWN_MEMBERS = [
  'kind',
  'key',
  'hasAccess',
  'reason',
  'usage',
  'reserved',
  'balance',
  'overage',
] as const;
type OwnMember = (typeof OWN_MEMBERS)[number];
type Frame = Omit<EntitlementDecision, OwnMember>;

/** What a row's columns say, in the words of the decision. */
export interface RecordedColumns {
  readonly feature: string;
  readonly allowed: boolean;
  readonly reason: string;
  readonly requested: number;
  readonly consumed: number;
  readonly usedAfter: number;
  readonly reservedAfter: number;
  readonly limitAtDecision: number | null;
  readonly enforcement: string;
}

/** Names a row of one instant. */
export interface RowName {
  readonly item: number;
  readonly operation: string;
  readonly idempotencyKey: string;
}

/** As one text, to find it by. */
export function rowText({ item, operation, idempotencyKey }: RowName): string {
  return `${item}.${operation}.${idempotencyKey}`;
}

const OWN = ';';
const RESERVATION = '!';
const FRAME = '#';
const REFERENCE = '@';

/** Encodes the decisions of one batch; rows that follow a row with the same frame refer to it. */
export function createAnswerEncoder(): {
  encode(decision: ConsumptionDecision, row: RowName): string;
} {
  const frames = new Map<string, Framed>();
  /** Most rows are like the one right before. */
  let last: Framed | null = null;

  function framedLike(decision: ConsumptionDecision): Framed | null {
    const { entitlement } = decision;
    if (last !== null && last.decision.key === decision.key && sameFrame(last.decision, entitlement)) {
      return last;
    }
    const known = frames.get(frameName(entitlement));
    return known !== undefined && sameFrame(known.decision, entitlement) ? known : null;
  }

  return {
    encode(decision, row) {
      const { entitlement } = decision;
      const own = ownText(decision);
      const known = framedLike(decision);
      if (known !== null) {
        last = known;
        return `${own}${REFERENCE}${known.reference}`;
      }
      last = { decision: entitlement, reference: rowText(row) };
      frames.set(frameName(entitlement), last);
      return `${own}${FRAME}${JSON.stringify(frameOf(entitlement))}`;
    },
  };
}

interface Framed {
  readonly decision: EntitlementDecision;
  readonly reference: string;
}

/** Denials that name a remedy have a frame of their own, so that what is allowed between them keeps its. */
function frameName({ key, scope, remedy }: EntitlementDecision): string {
  return `${key}|${scope}|${remedy === undefined}`;
}

/** The row that an answer refers to, `null` when it is complete in itself. */
export function referenceOf(answer: string): RowName | null {
  const at = answer.indexOf(REFERENCE);
  const frame = answer.indexOf(FRAME);
  if (at === -1 || (frame !== -1 && frame < at)) {
    return null;
  }
  // A key may hold any of these characters, so that it stands last.
  const dot = answer.indexOf('.', at);
  const next = answer.indexOf('.', dot + 1);
  return {
    item: Number(answer.slice(at + 1, dot)),
    operation: answer.slice(dot + 1, next),
    idempotencyKey: answer.slice(next + 1),
  };
}

/** @param framed the answer of the row that `referenceOf` names, or the row's own. */
export function decodeAnswer(row: RecordedColumns, answer: string, framed: string): ConsumptionDecision {
  const frame = JSON.parse(framed.slice(framed.indexOf(FRAME) + 1)) as Frame;
  const [own = '', reservation] = ownPart(answer).split(RESERVATION);
  const [hasAccess, reason, usage, reserved, balance, overage, wouldHaveDenied, usedBefore, refusedBy] =
    own.split(OWN);
  const entitlement: EntitlementDecision = {
    kind: 'entitlement',
    key: row.feature,
    ...frame,
    hasAccess: hasAccess === '1',
    reason: reason as EntitlementDecision['reason'],
    usage: Number(usage),
    reserved: Number(reserved),
    balance: Number(balance),
    overage: Number(overage),
  };
  return {
    key: row.feature,
    allowed: row.allowed,
    reason: row.reason as ConsumptionDecision['reason'],
    requested: row.requested,
    consumed: row.consumed,
    usedBefore: Number(usedBefore),
    usedAfter: row.usedAfter,
    reservedAfter: row.reservedAfter,
    limitAtDecision: row.limitAtDecision,
    enforcement: row.enforcement as ConsumptionDecision['enforcement'],
    wouldHaveDenied: wouldHaveDenied === '1',
    refusedBy: refusedBy === undefined ? null : Number(refusedBy),
    entitlement,
    ...(reservation === undefined ? {} : { reservation: toReservation(reservation) }),
  };
}

function reservationText({ id, state, amount, settled, expiresAt }: Reservation): string {
  return [id, state, amount, settled ?? '', expiresAt].join(OWN);
}

function toReservation(text: string): Reservation {
  const [id = '', stored, amount, settled, expiresAt] = text.split(OWN);
  const state = RESERVATION_STATES.find((one) => one === stored);
  if (state === undefined) {
    throw new TypeError(`An answer was stored with the reservation \`${text}\`, which is none.`);
  }
  return {
    id,
    state,
    amount: Number(amount),
    settled: settled === '' ? null : Number(settled),
    expiresAt: Number(expiresAt),
  };
}

function ownText(decision: ConsumptionDecision): string {
  const { entitlement } = decision;
  return (
    (entitlement.hasAccess ? '1' : '0') +
    OWN +
    entitlement.reason +
    OWN +
    entitlement.usage +
    OWN +
    entitlement.reserved +
    OWN +
    entitlement.balance +
    OWN +
    entitlement.overage +
    OWN +
    (decision.wouldHaveDenied ? '1' : '0') +
    OWN +
    decision.usedBefore +
    (decision.refusedBy === null ? '' : OWN + decision.refusedBy) +
    (decision.reservation === undefined ? '' : RESERVATION + reservationText(decision.reservation))
  );
}

/** What stands before the frame or the reference; none of the own members holds the characters that begin those. */
function ownPart(answer: string): string {
  const end = answer.search(/[@#]/);
  return end === -1 ? answer : answer.slice(0, end);
}

function frameOf(entitlement: EntitlementDecision): Frame {
  const { kind, key, hasAccess, reason, usage, reserved, balance, overage, ...frame } = entitlement;
  return frame;
}

const OWN_NAMES: ReadonlySet<string> = new Set(OWN_MEMBERS);

/** By identity: within a batch decisions of one resolution share their parts, and a frame too many costs only bytes. */
function sameFrame(left: EntitlementDecision, right: EntitlementDecision): boolean {
  // Members that may be absent are not met by walking over the other's.
  if (left.downgrade !== right.downgrade || left.planNotFound !== right.planNotFound) return false;
  if (
    left.remedy !== right.remedy ||
    left.allowance !== right.allowance ||
    left.fallback !== right.fallback
  ) {
    return false;
  }
  for (const name in left) {
    const member = name as keyof EntitlementDecision;
    if (!OWN_NAMES.has(name) && left[member] !== right[member]) {
      return false;
    }
  }
  return true;
}
