import { ConfigError } from './config.js';
import { KeysFileError } from './keys-file.js';
import { NothingToServeError } from './service/open-installation.js';
import { EmbeddedDatabaseError } from './store/embedded/embedded-database-error.js';
import { MigrationError } from './store/migration-error.js';

/** Why a start failed, for the person at the terminal. What one can act on is a sentence; only what nobody foresaw comes with its stack. */
export function sentenceOf(error: unknown): string {
  if (error instanceof ConfigError) {
    return `These settings are wrong:\n${error.faults.map((fault) => `  ${fault}`).join('\n')}`;
  }
  if (error instanceof MigrationError && error.cause instanceof Error && isRefusedAccount(error.cause)) {
    return sentenceOf(error.cause);
  }
  if (
    error instanceof EmbeddedDatabaseError ||
    error instanceof KeysFileError ||
    error instanceof MigrationError
  ) {
    return error.message;
  }
  if (error instanceof NothingToServeError) {
    return (
      `The database does not answer (${reasonOf(error.cause)}), and no earlier run left anything in \`PENNON_DATA_DIR\` to answer ` +
      'from. Start the database or correct `DATABASE_URL`; without that setting the embedded one is used.'
    );
  }
  if (!(error instanceof Error)) {
    return String(error);
  }
  const { code } = error as { readonly code?: unknown };
  return typeof code === 'string' ? sentenceOfCode(code, error) : (error.stack ?? error.message);
}

function sentenceOfCode(code: string, error: NodeJS.ErrnoException): string {
  const { port, address } = error as { readonly port?: number; readonly address?: string };
  switch (code) {
    case 'EADDRINUSE':
      return (
        `The port ${port ?? ''} of ${address ?? 'this machine'} is taken by another program. Stop that one, or choose another port: ` +
        `\`PORT=${port === 8081 ? 8082 : 8081}\`.`
      );
    case 'EACCES':
      return port === undefined
        ? `A file cannot be written: ${error.message}. Set \`PENNON_DATA_DIR\` to a folder that this account may write.`
        : `This account may not listen on port ${port}. Choose one above 1023 with \`PORT=8080\`.`;
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return `\`HOST\` is not an address of this machine: ${error.message}.`;
    case 'EROFS':
      return `The disk is read-only: ${error.message}. Set \`PENNON_DATA_DIR\` to a folder that this account may write.`;
    case 'ENOSPC':
    case '53100':
      return `The disk is full: ${error.message}. Free some space and start again; nothing was lost.`;
    default:
      return REFUSED_ACCOUNT.has(code)
        ? `The database refuses: ${error.message}. Correct \`DATABASE_URL\`, or what its account may do.`
        : (error.stack ?? error.message);
  }
}

/** PostgreSQL's own codes: who may log in, to which database, and what the account may do there. */
const REFUSED_ACCOUNT: ReadonlySet<string> = new Set(['28P01', '28000', '3D000', '42501']);

function isRefusedAccount(error: Error): boolean {
  return 'code' in error && typeof error.code === 'string' && REFUSED_ACCOUNT.has(error.code);
}

/** The first reason of a driver: for a name with several addresses Node keeps one error for each. */
function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return reasonOf(error.errors[0]);
  return error instanceof Error ? error.message : String(error);
}
