import type pg from 'pg';
import { type GroupResult, type GroupStatement, sendGroup } from './statement-group.js';

/* What transactions over accounts have in common: one connection, groups of statements, and an end that is known or is not. */

export const BEGIN: GroupStatement = { name: 'begin', text: 'begin', values: [] };
const COMMIT: GroupStatement = { name: 'commit', text: 'commit', values: [] };
/** Whoever wants a row that this transaction has locked waits for the transaction, or behind one who does. */
const ASK_WHO_WAITS: GroupStatement = {
  name: 'who-waits',
  text: `select exists (select from pg_locks
    where locktype = 'transactionid' and not granted and transactionid = pg_current_xact_id()::xid)`,
  values: [],
};
const ROLLBACK: GroupStatement = { name: 'rollback', text: 'rollback', values: [] };

export interface OpenTransaction {
  /** One round trip. When it rejects, the connection may be in the middle of anything: it is not used again. */
  send(statements: readonly GroupStatement[]): Promise<readonly GroupResult[]>;
  /** Writes and commits, in one round trip; when it rejects, the outcome may be unknown. One result for each statement. */
  commit(statements: () => readonly GroupStatement[]): Promise<readonly GroupResult[]>;
  rollback(): Promise<void>;
  /** `committing`: all that it had to say is on its way, so that another transaction may be sent behind it. */
  state(): 'open' | 'committing' | 'failed' | 'over';
  /** Whether somebody waited for its locks when it was about to commit; of one that asks. */
  isAwaited(): boolean;
  /** To the transaction behind it, which gives the connection back in its place. */
  handOn(): void;
}

/** @param asksWhoWaits costs a look at all locks of the server */
export function openTransaction(client: pg.PoolClient, asksWhoWaits = false): OpenTransaction {
  let state: ReturnType<OpenTransaction['state']> = 'open';
  let awaited = false;
  let handedOn = false;

  async function send(statements: readonly GroupStatement[]): Promise<readonly GroupResult[]> {
    try {
      return await sendGroup(client, statements);
    } catch (error) {
      state = 'failed';
      throw error;
    }
  }

  function giveBack(): void {
    const failed = state === 'failed';
    state = failed ? state : 'over';
    if (!handedOn) {
      client.release(failed);
    }
  }

  return {
    send,
    async commit(statements) {
      state = 'committing';
      try {
        const asked = asksWhoWaits ? [ASK_WHO_WAITS] : [];
        const results = await send([...statements(), ...asked, COMMIT]);
        // INVARIANT: acknowledge only after commit. A commit of an aborted transaction succeeds as a rollback.
        if (results.at(-1)?.tag !== 'COMMIT') {
          throw new Error('The store rolled the transaction back instead of committing it.');
        }
        awaited = asksWhoWaits && results.at(-2)?.rows[0]?.[0] === 't';
        return results.slice(0, results.length - 1 - asked.length);
      } catch (error) {
        // Whatever it was, the transaction may be open still.
        state = 'failed';
        throw error;
      } finally {
        giveBack();
      }
    },
    async rollback() {
      try {
        if (state === 'open') {
          await send([ROLLBACK]);
        }
      } finally {
        giveBack();
      }
    },
    state: () => state,
    isAwaited: () => awaited,
    handOn() {
      handedOn = true;
    },
  };
}
