import { Socket } from 'node:net';
import pg from 'pg';

/**
 * Resolves when the store takes a commit: a message that nobody reads, in a transaction that has to be made durable like every other one,
 * standbys included. On a connection of its own, because those of a pool may be the very ones that hang.
 */
export function createStoreProbe(connectionString: string): (signal: AbortSignal) => Promise<void> {
  return async (signal) => {
    const socket = new Socket();
    // A connection that hangs would not be ended by asking it to.
    const hangUp = (): void => void socket.destroy(new Error('The store did not answer in time.'));
    signal.addEventListener('abort', hangUp);
    const client = new pg.Client({
      connectionString,
      application_name: 'pennon probe',
      stream: () => socket,
    });
    client.on('error', () => undefined);
    try {
      await client.connect();
      await client.query('set synchronous_commit = on');
      await client.query("select pg_logical_emit_message(true, 'pennon', '')").catch(passOverRefusal);
      await client.end();
    } finally {
      signal.removeEventListener('abort', hangUp);
      socket.destroy();
    }
  };
}

/** A database that does not know the function, or does not let us call it, has answered all the same. */
function passOverRefusal(error: unknown): void {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (!code.startsWith('42')) throw error;
}
