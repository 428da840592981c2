import { Socket } from 'node:net';
import pg from 'pg';

/*
 * A connection can be lost without either side hearing of it: a machine that vanished, a firewall that forgot it. Whoever waits on it would
 * wait for as long as the system sends again, a quarter of an hour. Here it is ended as soon as the store says that it has nothing to say.
 */

export interface SilentConnectionsOptions {
  readonly connectionString: string;
  /** What the store lists these connections as. */
  readonly applicationName: string;
  /** So long a connection on which somebody waits may say nothing. Longer than any statement and lock may take. */
  readonly silentMilliseconds?: number;
}

/** What the driver knows of a connection, and its types do not say. */
interface DriverClient {
  readonly connection: { readonly stream: Socket };
  /** Of the process of the store that serves it. */
  readonly processID: number | null;
  /** Nobody waits for an answer. */
  readonly readyForQuery: boolean;
}

const SILENT_MILLISECONDS = 4000;
const ASK_MILLISECONDS = 1000;

/**
 * INVARIANT: only what the store does not know any more, or has answered already, is ended. What works there, and be it on a commit that waits
 * for its standby, is waited for: ended here it would hold its locks all the same, and another connection would be made in its place.
 */
export function endSilentConnections(pool: pg.Pool, options: SilentConnectionsOptions): void {
  pool.on('connect', (client) => endWhereSilent(client, options));
}

/** The same for one connection, once it is open. */
export function endWhereSilent(client: pg.ClientBase, options: SilentConnectionsOptions): void {
  const { silentMilliseconds = SILENT_MILLISECONDS } = options;
  const driver = client as unknown as DriverClient;
  const { processID: processId } = driver;
  const { stream } = driver.connection;
  stream.setTimeout(silentMilliseconds);
  stream.on('timeout', () => {
    stream.setTimeout(silentMilliseconds);
    if (driver.readyForQuery || processId === null) return;
    const heard = stream.bytesRead;
    void isWorkingOn(options, processId).then((working) => {
      if (!working && stream.bytesRead === heard)
        stream.destroy(new Error('Connection terminated: the store has forgotten it.'));
    });
  });
}

/** Whether a process of the store is busy for us; also where it cannot be asked. On a connection of its own, which nobody else waits for. */
async function isWorkingOn(
  { connectionString, applicationName }: SilentConnectionsOptions,
  processId: number,
): Promise<boolean> {
  const socket = new Socket();
  const timer = setTimeout(
    () => socket.destroy(new Error('The store did not answer in time.')),
    ASK_MILLISECONDS,
  );
  const client = new pg.Client({
    connectionString,
    application_name: 'pennon question',
    stream: () => socket,
  });
  client.on('error', () => undefined);
  try {
    await client.connect();
    const { rows } = await client.query(
      `select 1 from pg_stat_activity where pid = $1 and application_name = $2 and coalesce(state, '') not like 'idle%'`,
      [processId, applicationName],
    );
    await client.end();
    return rows.length > 0;
  } catch {
    return true;
  } finally {
    clearTimeout(timer);
    socket.destroy();
  }
}
