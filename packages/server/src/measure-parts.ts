import type { Parts } from './compose.js';
import { readInboxStanding } from './store/inbox-rows.js';

/** What is read when somebody scrapes: nothing of it costs anything between two scrapes. */
export function measureParts(parts: Parts): void {
  const { metrics, database } = parts;
  const { pool } = database;
  metrics.gauge(
    'pennon_database_pool_connections',
    'Open connections of the management pool.',
    () => pool.totalCount,
  );
  metrics.gauge(
    'pennon_database_pool_idle',
    'Connections of the pool that nobody uses.',
    () => pool.idleCount,
  );
  metrics.gauge(
    'pennon_database_pool_waiting',
    'Callers that wait for a connection.',
    () => pool.waitingCount,
  );
  metrics.gauge(
    'pennon_change_feed_age_seconds',
    'Since the changes of other processes were last read; NaN before the first time.',
    () => secondsOf(parts.feed.report().lastPolledMillisecondsAgo),
  );
  metrics.gauge(
    'pennon_change_feed_resets_total',
    'Times that everything was loaded anew.',
    () => parts.feed.report().resets,
  );
  metrics.gauge('pennon_clock_offset_seconds', 'Database clock minus process clock.', () =>
    secondsOf(parts.clock.report().offsetMilliseconds),
  );
  metrics.gauge('pennon_snapshots', 'Snapshots that are served.', () => parts.snapshots.report().length);
  metrics.gauge(
    'pennon_snapshots_from_disk',
    'Snapshots that come from an earlier run, not from the database.',
    () => parts.snapshots.report().filter((snapshot) => snapshot.source === 'disk').length,
  );
  metrics.gauge(
    'pennon_consume_waiting',
    'Consumptions that wait for their batch.',
    () => parts.consumption.report().waiting,
  );
  metrics.gauge('pennon_store_away', 'Whether consumes cannot reach the database: 1, else 0.', () =>
    parts.storeAway.report().awayMilliseconds === null ? 0 : 1,
  );
  metrics.gauge(
    'pennon_journal_waiting',
    'Answers without the database that are not counted in it yet.',
    () => parts.storeAway.report().waiting,
  );
  metrics.gauge('pennon_journal_age_seconds', 'Since the oldest of them was answered; 0 without any.', () =>
    secondsOf(parts.storeAway.report().oldestMilliseconds ?? 0),
  );
  metrics.gauge('pennon_journal_bytes', 'Of the journal on disk.', () => parts.storeAway.report().bytes);
  metrics.gauge(
    'pennon_webhook_delivery_lag_seconds',
    'Since the delivery that is due the longest was due, of all webhooks that are enabled; 0 without any.',
    () => parts.hookJobs.report().deliverySeconds,
  );
  metrics.gauge(
    'pennon_webhook_numbering_lag_seconds',
    'Since the oldest event was told that is not put by for webhooks yet; 0 without any.',
    () => parts.hookJobs.report().numberingSeconds,
  );
  metrics.gauge(
    'pennon_webhooks_failing',
    'Webhooks whose listener failed three times in a row or more, as this process knows.',
    () => parts.hookJobs.report().failing,
  );
  metrics.gauge('pennon_keys', 'Keys that are accepted.', () => parts.ring.size());
  metrics.gauge(
    'pennon_customer_pieces_in_memory',
    'Cached facts of customers.',
    () => parts.customers.statistics().pieces,
  );
  metrics.gauge(
    'pennon_customer_loads_total',
    'Statements for cold customers.',
    () => parts.customers.statistics().loads,
  );
  measureInbox(parts);
}

/** Read when somebody scrapes, for all processes at once: what waits in the inbox, for how long, and what is dead. */
function measureInbox({ metrics, database, clock }: Parts): void {
  const standing = sharedFor(1000, () => readInboxStanding(database.kysely));
  metrics.gauge(
    'pennon_billing_inbox_waiting',
    'Deliveries of billing providers that wait.',
    async () => (await standing())?.waiting ?? null,
  );
  metrics.gauge(
    'pennon_billing_inbox_dead',
    'Dead letters of billing providers.',
    async () => (await standing())?.dead ?? null,
  );
  metrics.gauge(
    'pennon_billing_inbox_lag_seconds',
    'Since the oldest event that waits happened; 0 without any.',
    async () => {
      const found = await standing();
      if (found === null) return null;
      return found.oldestAt === null ? 0 : Math.max(0, clock.now() - found.oldestAt.getTime()) / 1000;
    },
  );
}

/** One answer for all who ask within so long. `null`: the database does not answer in that time. */
function sharedFor<Value>(milliseconds: number, read: () => Promise<Value>): () => Promise<Value | null> {
  let asked: { readonly at: number; readonly value: Promise<Value | null> } | null = null;
  return () => {
    const at = performance.now();
    if (asked === null || at - asked.at >= milliseconds) {
      const late = new Promise<null>((resolve) => setTimeout(() => resolve(null), milliseconds).unref());
      asked = { at, value: Promise.race([read().catch(() => null), late]) };
    }
    return asked.value;
  };
}

function secondsOf(milliseconds: number | null): number | null {
  return milliseconds === null ? null : milliseconds / 1000;
}
