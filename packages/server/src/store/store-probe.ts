import { Socket } from 'node:net';
import pg from 'pg';
import { endWhereSilent } from './silent-connections.js';

const APPLICATION_NAME = 'pennon probe';

/**
 * Resolves when the store takes a commit: a message that nobody reads, in a transaction that has to be made durable like every other one,
 * standbys included. On a connection of its own, because those of a pool may be the very ones that hang. INVARIANT: one commit at a time. One
 * that waits for its standby keeps a process of the store, which notices nothing of a caller that went: who asks meanwhile waits for that one.
 */
export function createStoreProbe(connectionString: string): (signal: AbortSignal) => Promise<void> {
  let asked: Promise<void> | null = null;
  return (signal) => {
    if (asked === null) {
      asked = ask(connectionString, signal).finally(() => {
        asked = null;
      });
      // Whoever asked may have gone by then.
      asked.catch(() => undefined);
    }
    return untilAborted(asked, signal);
  };
}

function untilAborted(asked: Promise<void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const giveUp = (): void => reject(silence());
    signal.addEventListener('abort', giveUp);
    asked.then(resolve, reject).finally(() => signal.removeEventListener('abort', giveUp));
  });
}

/** @param signal until the commit is sent. */
async function ask(connectionString: string, signal: AbortSignal): Promise<void> {
  const socket = new Socket();
  // A connection that hangs would not be ended by asking it to.
  const hangUp = (): void => void socket.destroy(silence());
  signal.addEventListener('abort', hangUp);
  const client = new pg.Client({
    connectionString,
    application_name: APPLICATION_NAME,
    stream: () => socket,
  });
  client.on('error', () => undefined);
  try {
    await client.connect();
    await client.query('set synchronous_commit = on');
    signal.removeEventListener('abort', hangUp);
    endWhereSilent(client, { connectionString, applicationName: APPLICATION_NAME });
    // What waits for its standby keeps no process from ending.
    socket.unref();
    await client.query("select pg_logical_emit_message(true, 'pennon', '')").catch(passOverRefusal);
    await client.end();
  } finally {
    signal.removeEventListener('abort', hangUp);
    socket.destroy();
  }
}

function silence(): Error {
  return new Error('The store did not answer in time.');
}

/** A database that does not know the function, or does not let us call it, has answered all the same. */
function passOverRefusal(error: unknown): void {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (!code.startsWith('42')) throw error;
}
