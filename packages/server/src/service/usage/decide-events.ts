import type { Instant } from '@pennon/engine/model/customer';
import type { JsonObject } from '@pennon/engine/model/json';
import { LIMITS } from '@pennon/engine/model/limits';
import { type Counted, countEvent } from '@pennon/engine/usage/count-event';
import { eventAmount } from '@pennon/engine/usage/event-amount';
import { type Place, placeEvent } from '@pennon/engine/usage/place-event';
import type {
  EarlierEvent,
  EventRow,
  MeterLots,
  MeterName,
  UsageFrame,
  UsageTransaction,
  UsageValue,
  UsageWrite,
} from '../../store/usage-transaction.js';
import { correctingAttributes, countsTheSame } from './event-again.js';
import { EventHolders, holderKeys } from './event-holders.js';
import { valueKeyOf } from './event-key.js';
import { HourRows } from './hour-rows.js';
import { LiveMeters, type LivePeriod, periodOver } from './live-meters.js';
import { meterText, refused, type UsageItem, type UsageResult } from './usage-item.js';

/*
 * Decides a chunk in the order of its events, on accounts that are locked. What only a few events need (a period that is over, what was
 * corrected before, which values were seen) is read first, each in one statement and only where an event asks for it; then nothing is
 * waited for any more. The engine decides where an event counts and what it makes of the balance.
 */
export async function decideEvents(
  transaction: UsageTransaction,
  items: readonly UsageItem[],
): Promise<{ readonly results: readonly UsageResult[]; readonly write: UsageWrite }> {
  const chunk = new EventChunk(transaction.frame, await openLots(transaction), items);
  const holders = holderKeys(items);
  if (holders.length > 0) chunk.holders.add(await transaction.holdersOf(holders));
  const late = chunk.lateInstants();
  if (late.length > 0) {
    for (const period of await transaction.periodsAt(late)) chunk.meters.addPeriod(period);
  }
  const corrected = chunk.correctedKeys();
  if (corrected.length > 0) {
    for (const [key, sum] of await transaction.correctionsOf(corrected)) chunk.addCorrections(key, sum);
  }
  const values = chunk.values();
  if (values.length > 0) {
    chunk.addNewValues(await transaction.addValues(values));
  }
  const results = items.map((item) => chunk.decide(item));
  const uncounted = chunk.uncountedValues();
  if (uncounted.length > 0) await transaction.removeValues(uncounted);
  return { results, write: chunk.write() };
}

/** Only of accounts whose row says that they have some. */
async function openLots(transaction: UsageTransaction): Promise<readonly MeterLots[]> {
  const meters = transaction.frame.meters.filter(({ hasLots }) => hasLots);
  return meters.length === 0 ? [] : transaction.lotsOf(meters);
}

/** What is known of an event that another one may correct. */
interface Known extends MeterName {
  readonly productId: string;
  readonly amount: number;
  readonly countedAt: Instant;
  readonly corrects: string | null;
  readonly attributes: string | null;
}

class EventChunk {
  readonly meters: LiveMeters;
  readonly holders = new EventHolders();
  readonly #frame: UsageFrame;
  readonly #items: readonly UsageItem[];
  readonly #earlier: ReadonlyMap<string, EarlierEvent>;
  /** Recorded before, or in this chunk so far. */
  readonly #known = new Map<string, Known>();
  readonly #corrections = new Map<string, number>();
  readonly #newValues = new Map<string, UsageValue>();
  readonly #hours: HourRows;
  readonly #rows: EventRow[] = [];

  constructor(frame: UsageFrame, lots: readonly MeterLots[], items: readonly UsageItem[]) {
    this.#frame = frame;
    this.#items = items;
    this.meters = new LiveMeters(frame, lots);
    this.#hours = new HourRows(frame.now);
    this.#earlier = new Map(frame.earlier.map((event) => [event.eventKey, event]));
    for (const event of frame.earlier) this.#known.set(event.eventKey, event);
  }

  /** Of the events that may belong to a period which is over: when they happened. */
  lateInstants(): readonly (MeterName & { readonly at: Instant })[] {
    const asked = new Map<string, MeterName & { readonly at: Instant }>();
    for (const item of this.#items) {
      if (this.#earlier.has(item.eventKey)) continue;
      const { periodStart } = this.meters.of(item);
      const at = this.#happenedAt(item);
      if (at !== null && periodStart !== null && at < periodStart) {
        asked.set(`${item.meterKey}|${at}`, { ...item.meter, at });
      }
    }
    return [...asked.values()];
  }

  /** A correction counts where the event counted that it corrects. */
  #happenedAt({ event, correctsKey }: UsageItem): Instant | null {
    const corrected = correctsKey === null ? undefined : this.#known.get(correctsKey);
    return corrected === undefined ? event.time : corrected.countedAt;
  }

  correctedKeys(): readonly string[] {
    const keys = new Set<string>();
    for (const { correctsKey } of this.#items) {
      if (correctsKey !== null && this.#earlier.has(correctsKey)) keys.add(correctsKey);
    }
    return [...keys];
  }

  addCorrections(key: string, sum: number): void {
    this.#corrections.set(key, sum);
  }

  /** What events of `aggregation: unique` bring, each value once. */
  values(): readonly UsageValue[] {
    const values = new Map<string, UsageValue>();
    for (const item of this.#items) {
      const value = this.#earlier.has(item.eventKey) ? null : this.#valueOf(item);
      if (value !== null) values.set(valueText(value), value);
    }
    return [...values.values()].sort((left, right) => (valueText(left) < valueText(right) ? -1 : 1));
  }

  #valueOf(item: UsageItem): UsageValue | null {
    const { feature, event } = item;
    if (feature.uniqueBy === null) return null;
    const value = event.attributes[feature.uniqueBy];
    const place = this.#placeOf(item);
    if (value === undefined || value === null || place.kind === 'refused') return null;
    const start = place.kind === 'earlier' ? place.period.start : this.meters.of(item).periodStart;
    return { ...item.meter, periodStart: start ?? 0, value: valueKeyOf(value) };
  }

  addNewValues(values: readonly UsageValue[]): void {
    for (const value of values) this.#newValues.set(valueText(value), value);
  }

  /** INVARIANT: a value is known only where an event counted it, so that one that came with refused events alone still counts. */
  uncountedValues(): readonly UsageValue[] {
    return [...this.#newValues.values()];
  }

  #placeOf(item: UsageItem): Place<LivePeriod> {
    const live = this.meters.of(item);
    const { periodStart: start, periodEnd: end } = live;
    return placeEvent<LivePeriod>({
      occurredAt: this.#happenedAt(item),
      now: this.#frame.now,
      period: start === null ? null : { start, end: end ?? Number.POSITIVE_INFINITY },
      periodAt: (at) => periodOver(live, item, at),
      late: item.feature.lateEvents,
    });
  }

  decide(item: UsageItem): UsageResult {
    const before = this.#known.get(item.eventKey);
    if (before !== undefined) return this.#again(item, before);
    const amount = this.#amountOf(item);
    if (typeof amount !== 'number') return amount;
    const place = this.#placeOf(item);
    if (place.kind === 'refused') return tooEarlyOrLate(item, place.errorCode);
    this.#count(item, amount, place);
    return { status: 'accepted', period: place.kind };
  }

  /** Told again, an event changes nothing; another event under the same name is told so, because it would be lost. */
  #again(item: UsageItem, before: Known): UsageResult {
    const { meterKey, productId, event } = item;
    const same =
      before.productId === productId &&
      meterText(before) === meterKey &&
      before.corrects === item.correctsKey &&
      countsTheSame(item, before);
    return same
      ? { status: 'duplicate' }
      : refused(
          'EVENT_ID_REUSED',
          `The event \`${event.id}\` of \`${event.source}\` was recorded with another customer, feature, amount or value. Give a new event an id of its own; correct the earlier one by naming it in \`data.corrects\`.`,
        );
  }

  #amountOf(item: UsageItem): number | UsageResult {
    const { event, feature, correctsKey } = item;
    const corrected = correctsKey === null ? null : this.#correctedBy(item, correctsKey);
    if (corrected !== null && 'status' in corrected) return corrected;
    const value = feature.uniqueBy === null ? null : event.attributes[feature.uniqueBy];
    if (feature.uniqueBy !== null && (value === undefined || value === null)) {
      return refused(
        'TYPE_MISMATCH',
        `\`${feature.key}\` counts the values of the attribute \`${feature.uniqueBy}\`; send it in \`data.attributes\`.`,
      );
    }
    const measured = eventAmount(feature, {
      amount: corrected === null ? event.amount : (event.amount ?? -corrected.left),
      attributes: event.attributes,
      corrects: corrected !== null,
    });
    if (!measured.ok) return refused(measured.refusal.errorCode, measured.refusal.message);
    if (corrected !== null && corrected.left + measured.amount < 0) {
      return refused(
        'CORRECTION_EXCEEDS_EVENT',
        `Of the event \`${event.corrects}\` ${corrected.left} are left, and \`data.amount\` takes ${-measured.amount} back. Take back at most what is left.`,
      );
    }
    return this.holders.countedOf(item, measured.amount);
  }

  /** How much is left of the event that is corrected. */
  #correctedBy(
    { event, meterKey, productId }: UsageItem,
    key: string,
  ): { readonly left: number } | UsageResult {
    const known = this.#known.get(key);
    if (known === undefined || known.productId !== productId || meterText(known) !== meterKey) {
      return refused(
        'CORRECTED_EVENT_NOT_FOUND',
        `There is no event \`${event.corrects}\` of \`${event.source}\` of this customer and feature in the last ${LIMITS.idempotencyDays.value} days. Name one that was recorded.`,
      );
    }
    if (known.corrects !== null) {
      return refused(
        'CORRECTED_EVENT_NOT_FOUND',
        `\`${event.corrects}\` is itself a correction. Name the event that it corrects.`,
      );
    }
    return { left: known.amount + (this.#corrections.get(key) ?? 0) };
  }

  #count(item: UsageItem, amount: number, place: Exclude<Place<LivePeriod>, { kind: 'refused' }>): void {
    const { feature, event, meter } = item;
    const live = this.meters.of(item);
    const target = place.kind === 'earlier' ? place.period : live;
    const counted: Counted = countEvent(target, {
      aggregation: feature.aggregation,
      amount,
      at: place.at,
      isNew: this.#takeNewValue(item),
    });
    const usedBefore = target.used;
    target.used = counted.used;
    target.latestAt = counted.latestAt;
    target.touched = true;
    const current = place.kind !== 'earlier';
    // A period that is over is settled: what is told of it late takes nothing out of lots.
    if (current) {
      this.meters.cover(live, usedBefore);
      this.meters.tell(live, usedBefore);
    }
    this.holders.note(item, amount);
    this.#hours.add(item, {
      at: place.at,
      amount,
      counted,
      attributes: this.#attributesOf(item),
      standing: current ? live : null,
    });
    const periodStart = place.kind === 'earlier' ? place.period.start : live.periodStart;
    const row: EventRow = {
      customerId: meter.customerId,
      productId: item.productId,
      feature: meter.feature,
      scope: meter.scope,
      eventKey: item.eventKey,
      source: event.source,
      eventId: event.id,
      type: event.type,
      amount,
      counted: counted.delta,
      occurredAt: event.time ?? this.#frame.now,
      countedAt: place.at,
      periodStart,
      corrects: item.correctsKey,
      attributes: item.attributesText,
      actor: item.actor,
    };
    this.#rows.push(row);
    this.#known.set(item.eventKey, row);
    if (item.correctsKey !== null) {
      const sum = this.#corrections.get(item.correctsKey) ?? 0;
      this.#corrections.set(item.correctsKey, sum + amount);
    }
  }

  #attributesOf({ event, correctsKey }: UsageItem): JsonObject {
    const corrected = correctsKey === null ? undefined : this.#known.get(correctsKey);
    return corrected === undefined ? event.attributes : correctingAttributes(event.attributes, corrected);
  }

  #takeNewValue(item: UsageItem): boolean {
    const value = this.#valueOf(item);
    return value !== null && this.#newValues.delete(valueText(value));
  }

  write(): UsageWrite {
    return {
      now: this.#frame.now,
      ...this.meters.write(),
      holders: this.holders.write(),
      hours: this.#hours.rows(),
      events: this.#rows,
    };
  }
}

function valueText(value: UsageValue): string {
  return `${meterText(value)}|${value.periodStart}|${value.value}`;
}

function tooEarlyOrLate({ event, feature }: UsageItem, errorCode: string): UsageResult {
  if (errorCode === 'EVENT_IN_FUTURE') {
    return refused(
      errorCode,
      `\`time\` is more than ${LIMITS.usageFutureMinutes.value} minutes ahead of the server's clock. Send the event when it has happened.`,
    );
  }
  const closed = `takes no more events, and \`${feature.key}\` has \`lateEvents.after: refuse\``;
  return refused(
    errorCode,
    event.corrects === null
      ? `The period in which \`${event.id}\` happened ${closed}. Send it without \`time\`, or with a later one, to count it now.`
      : `The period in which \`${event.corrects}\` counted ${closed}: what it counted is final. Make it good in what you charge, or with a top-up.`,
  );
}
