import type { Instant } from '@pennon/engine/model/customer';
import type { JsonObject } from '@pennon/engine/model/json';
import { LIMITS } from '@pennon/engine/model/limits';
import type { CompiledFeature } from '@pennon/engine/snapshot/snapshot';
import type { Counted } from '@pennon/engine/usage/count-event';
import type { HourWrite } from '../../store/usage-transaction.js';
import type { UsageItem } from './usage-item.js';

const HOUR = 3_600_000;

interface LiveHour extends HourWrite {
  amount: number;
  events: number;
  lastAt: Instant;
  usedAfter: number | null;
  limitAfter: number | null;
}

/** What an event adds to the history. */
interface HourEvent {
  readonly at: Instant;
  readonly amount: number;
  readonly counted: Counted;
  /** By which the history is kept apart. */
  readonly attributes: JsonObject;
  /** The account, where the event counted into its current period. */
  readonly standing: { readonly limit: number | null } | null;
}

/** The rows of history that a chunk adds to: one for each account, hour and combination of dimensions. */
export class HourRows {
  readonly #currentHour: Instant;
  readonly #rows = new Map<string, LiveHour>();

  constructor(now: Instant) {
    this.#currentHour = hourOf(now);
  }

  add(item: UsageItem, { at, amount, counted, attributes, standing }: HourEvent): void {
    const { delta, used } = counted;
    const hour = hourOf(at);
    const dimensions = dimensionsText(item.feature, attributes);
    const name = `${item.meterKey}|${hour}|${dimensions}`;
    const { aggregation } = item.feature;
    const told = aggregation === 'max' || aggregation === 'latest' ? amount : delta;
    let row = this.#rows.get(name);
    if (row === undefined) {
      const { customerId, feature, scope } = item.meter;
      row = {
        customerId,
        feature,
        scope,
        aggregation,
        hour,
        dimensions,
        amount: told,
        events: 1,
        lastAt: at,
        usedAfter: null,
        limitAfter: null,
      };
      this.#rows.set(name, row);
    } else {
      row.events += 1;
      if (aggregation === 'max') row.amount = Math.max(row.amount, told);
      else if (aggregation !== 'latest') row.amount += told;
      else if (at >= row.lastAt) row.amount = told;
      row.lastAt = Math.max(row.lastAt, at);
    }
    if (standing !== null && hour === this.#currentHour) {
      row.usedAfter = used;
      row.limitAfter = standing.limit;
    }
  }

  rows(): readonly HourWrite[] {
    return [...this.#rows.values()];
  }
}

/** The first instant of its hour. */
export function hourOf(at: Instant): Instant {
  return at - (at % HOUR);
}

/** The attributes that a feature keeps apart, as canonical text; empty where it names none. */
export function dimensionsText({ dimensions }: CompiledFeature, attributes: JsonObject): string {
  if (dimensions.length === 0) return '';
  const kept: Record<string, string> = {};
  for (const name of [...dimensions].sort()) {
    const value = attributes[name];
    if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') {
      kept[name] = String(value).slice(0, LIMITS.dimensionValueLength.value);
    }
  }
  return JSON.stringify(kept);
}
