/**
 * The kinds of faults that use-cases know; HTTP maps each to one status in one table. A denial is not among them: "no" is an
 * answer (law 4).
 */
export const FAULT_KINDS = [
  'invalid',
  'unauthenticated',
  'forbidden',
  'not-found',
  'conflict',
  'gone',
  'precondition-failed',
  'precondition-required',
  'unprocessable',
  'too-many-requests',
  'unavailable',
] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

export interface FaultItem {
  readonly code: string;
  readonly message: string;
  /** JSON pointer into the body, or the name of a parameter. */
  readonly pointer?: string;
  readonly file?: string;
  readonly line?: number;
  readonly column?: number;
  readonly suggestion?: string;
}

/** A typed fault: what happened, with the thing named in backticks, and what to do next (law 12). */
export class ServiceError extends Error {
  readonly kind: FaultKind;
  readonly code: string;
  readonly items: readonly FaultItem[];
  readonly details: Readonly<Record<string, unknown>>;
  readonly retryAfterSeconds: number | null;

  constructor(
    kind: FaultKind,
    code: string,
    message: string,
    options: {
      readonly items?: readonly FaultItem[];
      readonly details?: Readonly<Record<string, unknown>>;
      readonly retryAfterSeconds?: number;
      readonly cause?: unknown;
    } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'ServiceError';
    this.kind = kind;
    this.code = code;
    this.items = options.items ?? [];
    this.details = options.details ?? {};
    this.retryAfterSeconds = options.retryAfterSeconds ?? null;
  }
}
