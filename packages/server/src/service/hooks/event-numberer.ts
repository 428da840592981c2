import { randomUUID } from 'node:crypto';
import type { Kysely } from 'kysely';
import { readEnabledWebhooks } from '../../store/hook-rows.js';
import {
  holdLease,
  numberEvents,
  putDeliveriesBy,
  readUnnumbered,
  type UnnumberedEvent,
} from '../../store/hook-sequence.js';
import { markUsed } from '../../store/hook-states.js';
import type { Tables } from '../../store/tables.js';
import { createLeasedSweep, type LeasedSweep } from '../leased-sweep.js';
import { isWanted } from './wanted-events.js';

/*
 * Gives what was told its numbers, and puts by what each webhook is to be sent. One process at a time does it, under a lease that it holds
 * through each transaction: an event without a number has no delivery, one with a number has all of them.
 */

export interface EventNumbererOptions {
  readonly database: Kysely<Tables>;
  readonly onProblem: (problem: string, error: unknown) => void;
  /** Called after deliveries were put by. */
  readonly onPutBy?: () => void;
  readonly pollMilliseconds?: number;
}

const LEASE = 'event-numbers';
const POLL_MILLISECONDS = 200;
export const EVENTS_AT_ONCE = 500;

export function createEventNumberer(options: EventNumbererOptions): LeasedSweep {
  const { database, onProblem, onPutBy, pollMilliseconds = POLL_MILLISECONDS } = options;
  const holder = randomUUID();
  return createLeasedSweep({
    database,
    name: LEASE,
    holder,
    pollMilliseconds,
    async sweep() {
      const { events, deliveries } = await numberBatch(database, holder);
      if (deliveries > 0) onPutBy?.();
      return events === EVENTS_AT_ONCE ? 'more' : 'done';
    },
    onProblem: (error) => onProblem('what was told could not be numbered', error),
  });
}

/** One batch in one transaction. */
export function numberBatch(
  database: Kysely<Tables>,
  holder: string,
): Promise<{ readonly events: number; readonly deliveries: number }> {
  return database.transaction().execute(async (transaction) => {
    if (!(await holdLease(transaction, LEASE, holder))) return { events: 0, deliveries: 0 };
    const events = await readUnnumbered(transaction, EVENTS_AT_ONCE);
    if (events.length === 0) return { events: 0, deliveries: 0 };
    await numberEvents(transaction, events);
    const environments = [...new Set(events.map((event) => event.environment_id))];
    const webhooks = await readEnabledWebhooks(transaction, environments);
    const deliveries = webhooks.flatMap((webhook) =>
      events.filter((event) => isWanted(webhook, event)).map((event) => ({ webhookId: webhook.id, event })),
    );
    await markUsed(transaction, events.flatMap(usedIn));
    await putDeliveriesBy(transaction, deliveries);
    return { events: events.length, deliveries: deliveries.length };
  });
}

/** Use at a level may open or close what is limited; what changes a customer marks it itself. */
function usedIn({ type, environment_id, customer_id }: UnnumberedEvent) {
  return type.startsWith('limit.') && customer_id !== null
    ? [{ environmentId: environment_id, customerId: customer_id }]
    : [];
}
