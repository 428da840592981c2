import type { Kysely, Transaction } from 'kysely';
import type { Tables } from '../store/tables.js';

/** What a call answers, worked out before its change commits, so that both are kept or neither. */
export interface Answer {
  readonly status: number;
  /** In lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** `null`: none. */
  readonly body: unknown;
}

/** What a change made, as its answer shows it. */
export interface Outcome {
  /** `null`: it was removed. */
  readonly item: unknown;
  readonly created: boolean;
  /** `null`: no customer is concerned. */
  readonly consistency: string | null;
}

/** The call that asked for a change; absent where the server itself makes one. */
export interface ChangeCall {
  /** `null`: nothing that a repeat is to get. */
  answerOf(outcome: Outcome): Answer | null;
  /**
   * Remembers the answer within the transaction of the change, where the call has an `Idempotency-Key`. Throws `AnsweredBefore`
   * when another call with that key came first: the transaction is rolled back and that answer is given.
   */
  remember(transaction: Kysely<Tables>, answer: Answer): Promise<void>;
  noteCommitted(): void;
}

/** Another call with the same `Idempotency-Key` has committed while this one was at work. */
export class AnsweredBefore extends Error {}

/**
 * Runs one transaction. INVARIANT: the answer that repeats of the call will get is written in the change's own transaction, so
 * that after a `kill -9` either both are there or neither.
 */
export async function commitAnswered<Result>(
  database: Kysely<Tables>,
  call: ChangeCall | undefined,
  work: (transaction: Transaction<Tables>) => Promise<Result>,
  answerOf: (result: Result) => Answer | null,
): Promise<Result> {
  let remembered = false;
  const result = await database.transaction().execute(async (transaction) => {
    const result = await work(transaction);
    const answer = call === undefined ? null : answerOf(result);
    if (call !== undefined && answer !== null) {
      await call.remember(transaction, answer);
      remembered = true;
    }
    return result;
  });
  if (remembered) call?.noteCommitted();
  return result;
}
