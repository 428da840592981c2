import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';

/** A connection that hangs (a network that swallows packets) must not hold up the end of the process. */
const PATIENCE_MILLISECONDS = 2000;

/**
 * Ends a pool and resolves when its connections are closed. The pool's own `end` resolves as soon as they were asked to close: a
 * database that is stopped next would still find them, and every one of them would be reported as lost.
 */
export async function closePool(pool: pg.Pool): Promise<void> {
  if (pool.ending) return;
  let open = pool.totalCount;
  const closed = new Promise<void>((resolve) => {
    if (open === 0) resolve();
    pool.on('remove', () => {
      open -= 1;
      if (open <= 0) resolve();
    });
  });
  await pool.end();
  const patience = new AbortController();
  await Promise.race([
    closed.finally(() => patience.abort()),
    sleep(PATIENCE_MILLISECONDS, undefined, { signal: patience.signal }).catch(() => undefined),
  ]);
}
