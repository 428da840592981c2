import type { StoreAwayPolicy } from '@pennon/engine/model/catalog';
import type { Instant } from '@pennon/engine/model/customer';
import type { ConsumptionDecision, ConsumptionMode } from '@pennon/engine/model/decision';
import type { JsonObject } from '@pennon/engine/model/json';
import type { ConsumeRequest } from '../consume-request.js';
import { createAnswerEncoder, decodeAnswer, type RecordedColumns } from '../consumption-record.js';
import { newId } from '../new-id.js';
import { reservationContext } from '../reservation-context.js';

/* One consume that was answered without the store, as it stands in the journal: enough to count it from any process, and to answer again. */

export interface JournalEntry {
  readonly format: 1;
  readonly id: string;
  /** When it was answered, by the clock of the process. */
  readonly at: Instant;
  /** Of when the state was that it was decided on. */
  readonly asOf: Instant;
  readonly environmentId: string;
  readonly productId: string;
  readonly customerKey: string;
  readonly customerId: string;
  readonly idempotencyKey: string;
  readonly requestHash: string;
  readonly mode: ConsumptionMode;
  readonly actor: string;
  readonly items: readonly JournalItem[];
}

export interface JournalItem {
  readonly scope: string;
  /** Whom the account is of, besides the customer. */
  readonly context: JsonObject;
  readonly attributes: JsonObject;
  readonly policy: Exclude<StoreAwayPolicy, 'closed'>;
  readonly columns: RecordedColumns;
  /** The answer as a consumption's row has it, cut in two: what is the same for many of a customer is kept in memory once. */
  readonly own: string;
  readonly frame: string;
}

const FRAME = '#';

/** @param decisions all of them allowed, item by item. */
export function journalEntry(
  request: ConsumeRequest,
  decisions: readonly ConsumptionDecision[],
  { at, asOf }: Pick<JournalEntry, 'at' | 'asOf'>,
): JournalEntry {
  const { environmentId, productId, customerKey, customerId, idempotencyKey, requestHash, mode, actor } =
    request;
  const asked = request.evaluation.items instanceof Error ? [] : request.evaluation.items;
  const items = decisions.map((decision, index): JournalItem => {
    const { fallback, ...entitlement } = decision.entitlement;
    const item = asked[index];
    if (fallback === undefined || item === undefined) {
      throw new Error('What was not decided without the store is not for the journal.');
    }
    const answer = createAnswerEncoder().encode(
      { ...decision, entitlement },
      { item: index, operation: request.operation, idempotencyKey },
    );
    const cut = answer.indexOf(FRAME);
    return {
      scope: item.account.scope,
      context: reservationContext(request.evaluation.request.subject, item.account.scope),
      attributes: item.attributes,
      policy: fallback.policy,
      columns: columnsOf(decision),
      own: answer.slice(0, cut),
      frame: answer.slice(cut),
    };
  });
  return {
    format: 1,
    id: newId(),
    at,
    asOf,
    environmentId,
    productId,
    customerKey,
    customerId,
    idempotencyKey,
    requestHash,
    mode,
    actor,
    items,
  };
}

function columnsOf(decision: ConsumptionDecision): RecordedColumns {
  const { key, allowed, reason, requested, consumed } = decision;
  const { usedAfter, reservedAfter, limitAtDecision, enforcement } = decision;
  const amounts = { requested, consumed, usedAfter, reservedAfter };
  return { feature: key, allowed, reason, ...amounts, limitAtDecision, enforcement };
}

/** What the caller was told. */
export function toldDecisions({ items, at }: JournalEntry): readonly ConsumptionDecision[] {
  return items.map(({ columns, own, frame, policy }) => {
    const answer = own + frame;
    const decision = decodeAnswer(columns, answer, answer);
    return { ...decision, entitlement: { ...decision.entitlement, fallback: { policy, at } } };
  });
}

export function toJournalText(entry: JournalEntry): string {
  return JSON.stringify(entry);
}

/** `null`: written by a later version, whose words this one does not know. The checksum has said that nothing is damaged. */
export function fromJournalText(text: string): JournalEntry | null {
  const entry = JSON.parse(text) as JournalEntry;
  return entry.format === 1 ? entry : null;
}
