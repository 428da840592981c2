/** Why the embedded database cannot be had. Closed: the command line and the tests switch over it. */
export type EmbeddedDatabaseErrorCode =
  /** Another living Pennon supervises the database of this directory. */
  | 'ALREADY_RUNNING'
  /** A database without a supervisor does not end, or does not answer, within ten seconds. */
  | 'ORPHAN_STUCK'
  /** There is no PostgreSQL binary for this platform, or it cannot run here. */
  | 'NO_BINARY'
  /** The data were written by another major version of PostgreSQL. */
  | 'OTHER_MAJOR'
  | 'DISK_FULL'
  | 'READ_ONLY'
  /** The account that the database runs under cannot enter a folder on the way. */
  | 'FOLDER_CLOSED'
  /** There were data, and now there are none where they lay. */
  | 'DATA_MISSING'
  /** The data belong to another account than the one that starts. */
  | 'WRONG_OWNER'
  /** The system has no name for the account that starts (a container with a free user number). */
  | 'ACCOUNT_UNKNOWN'
  /** The data are there, the file with their password is not. */
  | 'PASSWORD_LOST'
  /** The database started and ended, or never answered, for a reason that its log tells. */
  | 'DID_NOT_START';

/** The message is a whole sentence for the person at the terminal: what is wrong, and what to do next. */
export class EmbeddedDatabaseError extends Error {
  override readonly name = 'EmbeddedDatabaseError';
  readonly code: EmbeddedDatabaseErrorCode;

  constructor(code: EmbeddedDatabaseErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}

/** The system's own code of a failed file operation (`ENOSPC`, `EROFS`, …), or null for any other error. */
export function systemErrorCode(error: unknown): string | null {
  if (!(error instanceof Error) || !('code' in error)) return null;
  return typeof error.code === 'string' ? error.code : null;
}

/** Turns a failed write below `directory` into the sentence of its cause; other errors come back as they are. */
export function fromFileError(error: unknown, directory: string): unknown {
  switch (systemErrorCode(error)) {
    case 'ENOSPC':
    case 'EDQUOT':
      return diskFull(directory, error);
    case 'EROFS':
    case 'EACCES':
    case 'EPERM':
      return readOnly(directory, error);
    default:
      return error;
  }
}

export function diskFull(directory: string, cause?: unknown): EmbeddedDatabaseError {
  return new EmbeddedDatabaseError(
    'DISK_FULL',
    `The disk that holds \`${directory}\` is full, so the embedded database cannot start. Free some space ` +
      '(about 200 MB are comfortable) and start again, or set `PENNON_DATA_DIR` to a folder on another disk. No data was lost.',
    cause,
  );
}

export function readOnly(directory: string, cause?: unknown): EmbeddedDatabaseError {
  return new EmbeddedDatabaseError(
    'READ_ONLY',
    `The folder \`${directory}\` cannot be written, so the embedded database cannot start. Make it writable for the ` +
      'account that starts Pennon, or set `PENNON_DATA_DIR` to a folder that is.',
    cause,
  );
}
