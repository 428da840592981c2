import { type DestinationStream, type Logger, pino } from 'pino';
import type { LogLevel } from './config.js';

/**
 * Connection strings and keys that slipped into a message of a library: what we hold ourselves is a `Secret` and prints as
 * `***` anyway.
 */
const CONNECTION_STRING = /(postgres(?:ql)?:\/\/[^:@/\s]*:)[^@\s]*@/g;
const GENERATED_KEY = /pennon_(admin|server|client)_[A-Za-z0-9_-]{43}/g;
const TOKEN = /\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+/g;

/** JSON lines on standard error, UTC, control characters escaped by JSON itself; no bodies and no headers are ever given to it. */
export function createLog(level: LogLevel, destination: DestinationStream = pino.destination(2)): Logger {
  const options = {
    level,
    base: { service: 'pennon' },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    serializers: { err: toLoggedError },
    redact: {
      paths: [
        'authorization',
        'headers',
        '*.authorization',
        '*.headers',
        'req',
        'res',
        '*.connectionString',
        '*.password',
      ],
      censor: '***',
    },
  };
  return pino(options, destination);
}

/** Message, code and stack of an error; nothing of what libraries hang on it (queries carry parameters, clients passwords). */
function toLoggedError(error: unknown): Record<string, unknown> {
  if (!(error instanceof Error)) {
    return { message: withoutSecrets(String(error)) };
  }
  const { code } = error as { readonly code?: unknown };
  return {
    type: error.name,
    message: withoutSecrets(error.message),
    ...(typeof code === 'string' ? { code } : {}),
    stack: withoutSecrets(error.stack ?? ''),
    ...(error.cause === undefined ? {} : { cause: toLoggedError(error.cause) }),
  };
}

export function withoutSecrets(text: string): string {
  return text
    .replace(CONNECTION_STRING, '$1***@')
    .replace(GENERATED_KEY, 'pennon_$1_***')
    .replace(TOKEN, '***');
}
