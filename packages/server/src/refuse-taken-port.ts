import { once } from 'node:events';
import { createServer } from 'node:net';

/**
 * Rejects as listening would, before anything is made or started: keys that a refused start makes would never be shown. The port may
 * still be taken until the server listens itself, which then fails in the same words.
 */
export async function refuseTakenPort(host: string, port: number): Promise<void> {
  if (port === 0) return;
  const probe = createServer();
  probe.listen({ host, port });
  await once(probe, 'listening');
  probe.close();
  await once(probe, 'close');
}
