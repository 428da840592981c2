import type { ExitCodeName } from '../exit-codes.js';

/** `pennon start`: the server with its settings from the environment, until it is told to stop. */
export async function start(): Promise<ExitCodeName> {
  // Loaded only here: the other commands must not pay for a server that they never start.
  const { main } = await import('@pennon/server/main');
  const exitCode = await main();
  return exitCode === 0 ? 'success' : 'failure';
}
