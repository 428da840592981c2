import { resolveEntitlement } from '@pennon/engine/entitlement/resolve-entitlement';
import type { Enforcement } from '@pennon/engine/model/catalog';
import type { CreditLot, Instant } from '@pennon/engine/model/customer';
import type { EntitlementDecision, Period } from '@pennon/engine/model/decision';
import {
  decideNotices,
  NOTHING_TOLD,
  type NoticeLevel,
  type Told,
  tellsReset,
} from '@pennon/engine/usage/notices';
import { percentOf } from '@pennon/engine/usage/percent';
import type { OutboxEvent } from '../../store/outbox-statements.js';
import type {
  LockedMeter,
  MeterLots,
  MeterName,
  MeterWrite,
  PeriodWrite,
  UsageFrame,
  UsageWrite,
} from '../../store/usage-transaction.js';
import { ServiceError } from '../service-error.js';
import { levelNotice, type NoticeFacts, resetNotice } from '../usage-notices.js';
import { hasCredits, type MeterCredits, openMeterCredits } from './meter-credits.js';
import { meterText, type UsageItem } from './usage-item.js';

/*
 * The accounts of a chunk between two events, with the periods of theirs that are over and are counted into. What the period and the
 * limit are is found out once for each account, by the engine, at the database's time.
 */

/** What is counted into: the account itself, or a period that is over. */
export interface LiveCount {
  used: number;
  readonly reserved: number;
  latestAt: Instant | null;
  touched: boolean;
}

export interface LiveMeter extends LiveCount {
  readonly name: MeterName;
  /** The period that the database's time is in, as the account knows it; `null` where nothing resets. */
  periodStart: Instant | null;
  periodEnd: Instant | null;
  /** The limit in force; `null`: none. */
  limit: number | null;
  /** `null`: nothing but the period's allowance counts, as nearly everywhere. */
  readonly credits: MeterCredits | null;
  readonly enforcement: Enforcement;
  readonly levels: readonly NoticeLevel[];
  told: Told;
  /** Periods that are over, by their start; `null` until one is asked for, which is rare. */
  periods: Map<Instant, LivePeriod> | null;
}

export interface LivePeriod extends LiveCount {
  readonly start: Instant;
  readonly end: Instant;
}

export class LiveMeters {
  readonly #now: Instant;
  readonly #locked: ReadonlyMap<string, LockedMeter>;
  readonly #lots: ReadonlyMap<string, readonly CreditLot[]>;
  readonly #live = new Map<string, LiveMeter>();
  readonly #notices: OutboxEvent[] = [];

  /** @param lots of the accounts that have some. */
  constructor(frame: UsageFrame, lots: readonly MeterLots[]) {
    this.#now = frame.now;
    this.#lots = new Map(lots.map((one) => [meterText(one), one.lots]));
    this.#locked = new Map(frame.meters.map((meter) => [meterText(meter), meter]));
  }

  /** The account of an item, in the period of now: a later one than the account's closes it, an earlier one is ignored. */
  of(item: UsageItem): LiveMeter {
    let live = this.#live.get(item.meterKey);
    if (live === undefined) {
      live = this.#open(item);
      this.#live.set(item.meterKey, live);
    }
    return live;
  }

  #open(item: UsageItem): LiveMeter {
    const locked = this.#locked.get(item.meterKey);
    if (locked === undefined) {
      throw new ServiceError(
        'unavailable',
        'UNAVAILABLE',
        'An account is not locked. Send the events again.',
        {
          retryAfterSeconds: 1,
        },
      );
    }
    const credits = hasCredits(item, locked)
      ? openMeterCredits(item, locked, this.#lots.get(item.meterKey) ?? null, this.#now)
      : null;
    const { limit, period, enforcement } = credits?.entitlement ?? entitlementAt(item, this.#now);
    const live: LiveMeter = {
      name: item.meter,
      used: locked.used,
      reserved: locked.reserved,
      latestAt: locked.latestAt,
      touched: false,
      periodStart: locked.periodStart,
      periodEnd: locked.periodEnd,
      limit: limit?.kind === 'finite' ? limit.value : null,
      credits,
      enforcement,
      levels: item.feature.noticeLevels,
      told: locked.told,
      periods: null,
    };
    if (period !== null && (locked.periodStart === null || period.start > locked.periodStart)) {
      roll(live, period);
      credits?.open();
      this.#tellReset(live, locked);
    } else if (live.periodStart !== null) {
      // It may last longer than it was opened for, as in a consume: a planned change that was taken back, or nothing ends it any more.
      live.periodEnd = period?.end ?? null;
    }
    return live;
  }

  /** What was counted into the account itself is taken out of its lots, or goes back into them, as a consume or a release does it. */
  cover(live: LiveMeter, usedBefore: number): void {
    if (live.credits === null) return;
    live.credits.cover(usedBefore, live.used, this.#now);
    live.limit = live.credits.limitAt(this.#now) ?? live.limit;
  }

  /** After an event counted into the account itself. What comes late to a period that is over tells nothing any more. */
  tell(live: LiveMeter, usedBefore: number): void {
    const { levels, limit, told, used, name } = live;
    const answer = decideNotices({ levels, told, limit, usedBefore, used, now: this.#now });
    live.told = answer.told;
    for (const level of answer.notices) {
      this.#notices.push({
        ...levelNotice(level, factsOf(live), this.#now),
        customerId: name.customerId,
      });
    }
  }

  #tellReset(live: LiveMeter, { periodStart: start, periodEnd: end, used, told }: LockedMeter): void {
    if (start === null) return;
    if (tellsReset(told)) {
      const previous = { start, end: Math.min(end ?? this.#now, live.periodStart ?? this.#now), used };
      const notice = resetNotice(factsOf(live), previous, this.#now);
      this.#notices.push({ ...notice, customerId: live.name.customerId });
    }
    live.told = NOTHING_TOLD;
  }

  /** A period that was read from the store. */
  addPeriod(period: PeriodWrite): void {
    const live = this.#live.get(meterText(period));
    if (live !== undefined && !periodsOf(live).has(period.periodStart)) {
      periodsOf(live).set(period.periodStart, {
        start: period.periodStart,
        end: period.periodEnd,
        used: period.used,
        reserved: 0,
        latestAt: period.latestAt,
        touched: false,
      });
    }
  }

  write(): Pick<UsageWrite, 'meters' | 'periods' | 'lots' | 'notices'> {
    const touched = [...this.#live.values()].filter((live) => live.touched);
    // Before the accounts: what is over is not told any more.
    const lots = touched.flatMap(({ name, credits }) => credits?.write(name.customerId, this.#now) ?? []);
    const meters = touched.map((live) => this.#meterWrite(live));
    return { meters, periods: this.#periodWrites(), lots, notices: this.#notices };
  }

  #meterWrite({
    name,
    used,
    reserved,
    periodStart,
    periodEnd,
    latestAt,
    limit,
    credits,
    told,
  }: LiveMeter): MeterWrite {
    const { customerId, feature, scope } = name;
    const lots = credits?.lots ?? [];
    return {
      customerId,
      feature,
      scope,
      used,
      reserved,
      periodStart,
      periodEnd,
      latestAt,
      limit,
      percent: percentOf(used + reserved, limit),
      covered: credits?.covered ?? 0,
      hasLots: lots.length > 0,
      lots,
      told,
    };
  }

  #periodWrites(): readonly PeriodWrite[] {
    const writes: PeriodWrite[] = [];
    for (const { name, periods } of this.#live.values()) {
      for (const { start, end, used, latestAt, touched } of periods?.values() ?? []) {
        if (touched) writes.push({ ...name, periodStart: start, periodEnd: end, used, latestAt });
      }
    }
    return writes;
  }
}

function factsOf({
  name,
  used,
  reserved,
  limit,
  enforcement,
  periodStart,
  periodEnd,
}: LiveMeter): NoticeFacts {
  const { feature, scope } = name;
  return { feature, scope, used, reserved, limit, enforcement, periodStart, periodEnd };
}

function periodsOf(live: LiveMeter): Map<Instant, LivePeriod> {
  live.periods ??= new Map();
  return live.periods;
}

function roll(live: LiveMeter, period: Period): void {
  const { periodStart: start, periodEnd, used, latestAt } = live;
  if (start !== null) {
    const end = Math.min(periodEnd ?? period.start, period.start);
    periodsOf(live).set(start, { start, end, used, reserved: 0, latestAt, touched: true });
    live.used = 0;
    live.latestAt = null;
  }
  live.periodStart = period.start;
  live.periodEnd = period.end;
  live.touched = true;
}

/** The period of an account that was over before the current one, and that an instant falls into; `null`: none. */
export function periodOver(live: LiveMeter, item: UsageItem, at: Instant): LivePeriod | null {
  const periods = periodsOf(live);
  for (const period of periods.values()) {
    if (period.start <= at && at < period.end) return period;
  }
  const { period } = entitlementAt(item, at);
  if (period === null) return null;
  const known = periods.get(period.start);
  if (known !== undefined) return known;
  const fresh: LivePeriod = {
    start: period.start,
    end: Math.min(period.end, live.periodStart ?? period.end),
    used: 0,
    reserved: 0,
    latestAt: null,
    touched: false,
  };
  periods.set(period.start, fresh);
  return fresh;
}

function entitlementAt({ subject, feature }: UsageItem, now: Instant): EntitlementDecision {
  const result = resolveEntitlement({ ...subject.evaluation, now }, feature.key);
  if (result.kind === 'error') {
    const kind = result.errorCode === 'CUSTOMER_STATE_UNAVAILABLE' ? 'unavailable' : 'invalid';
    throw new ServiceError(kind, result.errorCode, result.message);
  }
  return result;
}
