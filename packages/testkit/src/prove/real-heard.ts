import type { MadeLot } from './check-lots.js';
import type { EventStatus, RealAnswer, RealCall, RealEvent } from './real-client.js';

/* What clients of a real history were told. */

export interface Acknowledged {
  readonly call: RealCall;
  readonly answer: RealAnswer;
  /** Of the same call, where it was made twice at once. */
  readonly other?: RealAnswer;
}

/** What was answered when an event was told, each time that it was. */
export interface Told {
  readonly event: RealEvent;
  readonly status: EventStatus;
}

/** From that instant of the database's clock on, every decision is under that limit, or under a later one. */
export interface LimitChange {
  readonly value: number;
  readonly knownAt: number;
}

/** What clients were told about one customer. */
export interface Heard {
  readonly acknowledged: readonly Acknowledged[];
  readonly told?: readonly Told[];
  readonly changes?: readonly LimitChange[];
  readonly lots?: readonly MadeLot[];
  /** How much the month before used of `rolled`; absent: that began with this history. */
  readonly usedBefore?: number;
}
