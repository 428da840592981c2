import type { Instant } from '@pennon/engine/model/customer';
import { sql, type Transaction } from 'kysely';
import pg from 'pg';
import { newId } from '../service/new-id.js';
import type { ChangeFeed, ChangeNotice, Clock } from '../service/ports.js';
import { type ChangeRow, fromChangeRow, toChangeRow } from './change-row.js';
import type { Database } from './database.js';
import { fromInstant } from './instant.js';
import type { Tables } from './tables.js';

const CHANNEL = 'pennon_change';
/** "Within a second" holds without any hint, with room for the read itself. */
const POLL_MILLISECONDS = 800;
const PRUNE_MILLISECONDS = 60_000;
/** A process that slept longer than half of this starts over instead of trusting what is left of the rows. */
const RETENTION_MILLISECONDS = 3_600_000;
const RECONNECT_MILLISECONDS = 2000;
/** An upper bound that holds nobody off: of a span with two ends few rows are expected, so that the index is read and not the table. */
const LAST_TRANSACTION = '18446744073709551615';
/** A statement takes at most 65,535 parameters. */
const ROWS_PER_STATEMENT = 1000;

export interface ChangeFeedOptions {
  readonly database: Database;
  readonly clock: Clock;
  /** `null` for no `NOTIFY` hints (behind a transaction pooler): polling alone keeps the promise. */
  readonly listenConnectionString: string | null;
  readonly pollMilliseconds?: number;
  readonly onProblem?: (problem: string, error: unknown) => void;
}

export interface RunningChangeFeed extends ChangeFeed {
  /** Fixes the place from which changes are heard; load everything after it resolves, never before. */
  start(): Promise<void>;
  stop(): Promise<void>;
  /** The instant up to which every committed change was heard; `null` before the first time. It stands still while the database is away. */
  knownUntil(): Instant | null;
  report(): {
    readonly connected: boolean;
    readonly lastPolledMillisecondsAgo: number | null;
    readonly resets: number;
  };
}

interface PolledRow extends ChangeRow {
  readonly xmin: string;
  readonly transaction_id: string | null;
  readonly id: string | null;
}

/**
 * Freshness (DESIGN §5). Every change writes a row in its own transaction. Every process reads the rows of all transactions
 * that were not surely over at its last read: `seenBelow` only moves up to `pg_snapshot_xmin`, below which every transaction
 * has ended, so no commit is skipped however late it comes. Rows above are delivered too, once, so that one long
 * transaction somewhere delays nobody.
 */
export function createChangeFeed(options: ChangeFeedOptions): RunningChangeFeed {
  const { database, clock } = options;
  const listeners: ((notice: ChangeNotice) => void | Promise<void>)[] = [];
  const resetListeners: (() => void | Promise<void>)[] = [];
  const delivered = new Map<string, bigint>();
  let seenBelow: bigint | null = null;
  let polledAt: number | null = null;
  let knownUntil: Instant | null = null;
  let prunedAt = performance.now();
  let resets = 0;
  let running = false;
  let timer: NodeJS.Timeout | null = null;
  let polling: Promise<void> | null = null;
  let pollAgain = false;
  let listener: pg.Client | null = null;

  function problem(what: string, error: unknown): void {
    options.onProblem?.(what, error);
  }

  async function tell(work: readonly (() => void | Promise<void>)[], what: string): Promise<void> {
    for (const one of work) {
      try {
        await one();
      } catch (error) {
        problem(what, error);
      }
    }
  }

  function deliver(notice: ChangeNotice): Promise<void> {
    return tell(
      listeners.map((listen) => () => listen(notice)),
      `a listener failed on a \`${notice.kind}\` change`,
    );
  }

  async function reset(xmin: bigint): Promise<void> {
    seenBelow = xmin;
    delivered.clear();
    resets += 1;
    await tell(resetListeners, 'a listener failed while it loaded everything again');
  }

  async function readRows(from: bigint): Promise<readonly PolledRow[]> {
    const result = await sql<PolledRow>`
      with bound as materialized (select pg_snapshot_xmin(pg_current_snapshot()) as xmin)
      select bound.xmin::text as xmin, c.transaction_id::text as transaction_id, c.id, c.kind, c.environment_id,
        c.product_id, c.subject_kind, c.subject_key, c.revision, c.version
      from bound left join change c
        on c.transaction_id >= ${from.toString()}::xid8 and c.transaction_id <= ${LAST_TRANSACTION}::xid8
      order by c.transaction_id, c.id`.execute(database.kysely);
    return result.rows;
  }

  async function pollOnce(): Promise<void> {
    const before = performance.now();
    const asOf = clock.now();
    const from = seenBelow;
    const rows = await readRows(from ?? 0n);
    const xmin = BigInt(rows[0]?.xmin ?? '0');
    const slept = polledAt !== null && before - polledAt > RETENTION_MILLISECONDS / 2;
    const lost = from === null || polledAt === null;
    // A database whose transactions count backwards was restored from a backup: nothing that is known of it holds.
    const rewound = from !== null && xmin < from;
    polledAt = before;
    if (slept || lost || rewound) {
      await reset(xmin);
      knownUntil = asOf;
      return;
    }
    for (const row of rows) {
      if (row.id === null || row.transaction_id === null || delivered.has(row.id)) continue;
      delivered.set(row.id, BigInt(row.transaction_id));
      const notice = fromChangeRow(row);
      if (notice !== null) await deliver(notice);
    }
    seenBelow = xmin;
    knownUntil = asOf;
    for (const [id, transactionId] of delivered) if (transactionId < xmin) delivered.delete(id);
    if (before - prunedAt > PRUNE_MILLISECONDS) {
      prunedAt = before;
      await prune();
    }
  }

  async function prune(): Promise<void> {
    await sql`delete from change where created_at < ${fromInstant(clock.now() - RETENTION_MILLISECONDS)}`.execute(
      database.kysely,
    );
  }

  /** One read at a time; a hint that comes during one asks for another after it. */
  function poll(): Promise<void> {
    if (polling !== null) {
      pollAgain = true;
      return polling;
    }
    polling = pollOnce()
      .catch((error: unknown) => {
        // The next read that works starts over: what was missed meanwhile is not known.
        polledAt = null;
        problem('the change feed cannot be read', error);
      })
      .finally(() => {
        polling = null;
        if (pollAgain && running) {
          pollAgain = false;
          void poll();
        }
      });
    return polling;
  }

  function schedule(): void {
    const every = options.pollMilliseconds ?? POLL_MILLISECONDS;
    timer = setTimeout(
      () => {
        void poll().finally(() => {
          if (running) schedule();
        });
      },
      every * (0.95 + Math.random() * 0.1),
    );
    timer.unref();
  }

  async function listen(): Promise<void> {
    const connectionString = options.listenConnectionString;
    if (connectionString === null || !running) return;
    const client = new pg.Client({ connectionString, application_name: 'pennon changes', keepAlive: true });
    const again = () => {
      if (listener !== client) return;
      listener = null;
      if (running) setTimeout(() => void listen(), RECONNECT_MILLISECONDS * (0.5 + Math.random())).unref();
    };
    listener = client;
    client.on('error', again);
    client.on('end', again);
    client.on('notification', () => void poll());
    try {
      await client.connect();
      await client.query(`listen ${CHANNEL}`);
    } catch {
      again();
      await client.end().catch(() => undefined);
    }
  }

  async function writeAll(transaction: Transaction<Tables>, notices: readonly ChangeNotice[]): Promise<void> {
    if (notices.length === 0) return;
    const created_at = fromInstant(clock.now());
    for (let begin = 0; begin < notices.length; begin += ROWS_PER_STATEMENT) {
      const some = notices.slice(begin, begin + ROWS_PER_STATEMENT);
      const rows = some.map((notice) => ({ ...toChangeRow(notice), id: newId(), created_at }));
      await transaction.insertInto('change').values(rows).execute();
    }
    await sql`select pg_notify(${CHANNEL}, '')`.execute(transaction);
  }

  return {
    write: (transaction, notice) => writeAll(transaction, [notice]),
    writeAll,
    publishLocally: deliver,
    subscribe(listen_): void {
      listeners.push(listen_);
    },
    subscribeToReset(listen_): void {
      resetListeners.push(listen_);
    },
    knownUntil: () => knownUntil,
    async start(): Promise<void> {
      running = true;
      const asOf = clock.now();
      try {
        const rows = await readRows(0x7fff_ffff_ffff_ffffn);
        seenBelow = BigInt(rows[0]?.xmin ?? '0');
        polledAt = performance.now();
        knownUntil = asOf;
      } catch (error) {
        problem('the database is away; changes are heard as soon as it answers', error);
      }
      schedule();
      await listen();
    },
    async stop(): Promise<void> {
      running = false;
      if (timer !== null) clearTimeout(timer);
      const client = listener;
      listener = null;
      await client?.end().catch(() => undefined);
      await polling;
    },
    report() {
      return {
        connected: polledAt !== null,
        lastPolledMillisecondsAgo: polledAt === null ? null : performance.now() - polledAt,
        resets,
      };
    },
  };
}
