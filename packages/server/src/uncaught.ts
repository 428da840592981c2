import type { FastifyBaseLogger } from 'fastify';

const WINDOW_MILLISECONDS = 60_000;
/** A process that fails more often than this is not well, and a fresh one is better. */
const TOLERATED = 20;

/**
 * What nobody caught is logged and the process goes on: what matters is decided in transactions of the database, and snapshots
 * change by one assignment, so no half-done state of this process is ever served; while an exit would end every request that is
 * under way. Only when it keeps happening is `onTooMany` called, once, to drain and leave the rest to whoever starts us again.
 * Returns the function that stops listening.
 */
export function watchUncaught(
  log: FastifyBaseLogger,
  onTooMany: () => void,
  now: () => number = () => performance.now(),
): () => void {
  let recent: number[] = [];
  let told = false;
  const note = (what: string) => (error: unknown) => {
    log.error({ err: error }, `${what}; the process goes on`);
    const at = now();
    recent = [...recent.filter((earlier) => at - earlier < WINDOW_MILLISECONDS), at];
    if (recent.length > TOLERATED && !told) {
      told = true;
      log.fatal(
        `more than ${TOLERATED} errors within a minute that nobody caught: the process drains and ends`,
      );
      onTooMany();
    }
  };
  const onException = note('an exception was not caught');
  const onRejection = note('a rejection was not handled');
  process.on('uncaughtException', onException);
  process.on('unhandledRejection', onRejection);
  return () => {
    process.off('uncaughtException', onException);
    process.off('unhandledRejection', onRejection);
  };
}
