import { LIMITS } from '@pennon/engine/model/limits';
import type { Kysely } from 'kysely';
import { forgetDeliveries, giveUpOverdue } from '../../store/hook-deliveries.js';
import { forgetRemoved } from '../../store/hook-log.js';
import { fromInstant } from '../../store/instant.js';
import type { Tables } from '../../store/tables.js';
import { createLeasedSweep, type LeasedSweep } from '../leased-sweep.js';
import type { Clock } from '../ports.js';

/** Forgets deliveries that ended long ago, with their log, and secrets that were replaced; gives up what no listener took in a day. */
export function createHookKeeper(options: {
  readonly database: Kysely<Tables>;
  readonly clock: Clock;
  readonly onProblem: (problem: string, error: unknown) => void;
}): LeasedSweep {
  const { database, clock, onProblem } = options;
  return createLeasedSweep({
    database,
    name: 'webhook-log',
    pollMilliseconds: POLL_MILLISECONDS,
    async sweep() {
      const now = clock.now();
      await database.deleteFrom('webhook_secret').where('ends_at', '<', fromInstant(now)).execute();
      const before = fromInstant(now - LIMITS.webhookLogDays.value * DAY);
      const overdue = fromInstant(now - OVERDUE_HOURS * HOUR);
      const given = await giveUpOverdue(database, overdue, AT_ONCE);
      const forgotten = await forgetDeliveries(database, before, AT_ONCE);
      const isMore = await forgetRemoved(database, AT_ONCE);
      return isMore || forgotten === AT_ONCE || given === AT_ONCE ? 'more' : 'done';
    },
    onProblem: (error) => onProblem('deliveries of webhooks could not be forgotten', error),
  });
}

const DAY = 86_400_000;
const HOUR = 3_600_000;
/** As long as a delivery is tried again: what a listener that is dead left no turn to has waited as long. */
const OVERDUE_HOURS = 24;
const POLL_MILLISECONDS = 60_000;
const AT_ONCE = 2000;
