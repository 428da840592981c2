import type pg from 'pg';

/**
 * INVARIANT: no connection that breaks ends the process. One that breaks while it waits in the pool is told by the pool; one that
 * breaks while somebody holds it, between two statements (the server ends those that idle in a transaction), is told by itself,
 * and its holder learns of it from the next statement.
 */
export function surviveLostConnections(pool: pg.Pool, onLost: ((error: Error) => void) | undefined): void {
  pool.on('error', (error) => onLost?.(error));
  pool.on('connect', (client) => client.on('error', () => undefined));
}
