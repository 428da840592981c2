/**
 * Codes of PostgreSQL and of sockets that mean "not now": the caller may ask again. 55P03 and 57014 are our own lock and
 * statement timeouts, 40001 and 40P01 lost races, 25P03 an idle transaction that was cut.
 */
const TRANSIENT_SQLSTATES: ReadonlySet<string> = new Set([
  '55P03',
  '57014',
  '40001',
  '40P01',
  '25P03',
  '53300',
  '25006',
  '53100',
]);
const TRANSIENT_CLASSES: readonly string[] = ['08', '57P'];
const SOCKET_CODES: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOENT',
]);
/** The pool and the driver throw these without a code. */
const DRIVER_MESSAGES =
  /^(timeout exceeded when trying to connect|Connection terminated|Client has encountered a connection error|Client was closed|Cannot use a pool after calling end)/;

/** Whether the store could not be reached or could not answer in time, as opposed to having refused what it was told. */
export function isDatabaseUnavailable(error: unknown): boolean {
  if (!(error instanceof Error)) {
    return false;
  }
  if (error instanceof AggregateError) {
    return error.errors.length > 0 && error.errors.every(isDatabaseUnavailable);
  }
  const code = 'code' in error && typeof error.code === 'string' ? error.code : null;
  if (code !== null && /^[0-9A-Z]{5}$/.test(code) && !SOCKET_CODES.has(code)) {
    return TRANSIENT_SQLSTATES.has(code) || TRANSIENT_CLASSES.some((prefix) => code.startsWith(prefix));
  }
  // Only errors of the driver have `syscall`; a file that is missing has one too, but with a path.
  if (code !== null && SOCKET_CODES.has(code)) {
    return !('path' in error) || code !== 'ENOENT';
  }
  return DRIVER_MESSAGES.test(error.message);
}

/** The server is there and says that it begins or ends: soon it takes connections, or none. */
export function isDatabaseStarting(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === '57P03';
}

/** Which unique index refused a row, else `null`. */
export function violatedUniqueIndex(error: unknown): string | null {
  if (error instanceof Error && 'code' in error && error.code === '23505' && 'constraint' in error) {
    return typeof error.constraint === 'string' ? error.constraint : null;
  }
  return null;
}
