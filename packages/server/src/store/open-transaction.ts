import type pg from 'pg';
import { type GroupResult, type GroupStatement, sendGroup } from './statement-group.js';

/* What transactions over accounts have in common: one connection, groups of statements, and an end that is known or is not. */

export const BEGIN: GroupStatement = { name: 'begin', text: 'begin', values: [] };
const COMMIT: GroupStatement = { name: 'commit', text: 'commit', values: [] };
const ROLLBACK: GroupStatement = { name: 'rollback', text: 'rollback', values: [] };

export interface OpenTransaction {
  /** One round trip. When it rejects, the connection may be in the middle of anything: it is not used again. */
  send(statements: readonly GroupStatement[]): Promise<readonly GroupResult[]>;
  /** Writes and commits, in one round trip; when it rejects, the outcome may be unknown. The results end with the commit's. */
  commit(statements: () => readonly GroupStatement[]): Promise<readonly GroupResult[]>;
  rollback(): Promise<void>;
  /** `committing`: all that it had to say is on its way, so that another transaction may be sent behind it. */
  state(): 'open' | 'committing' | 'failed' | 'over';
  /** To the transaction behind it, which gives the connection back in its place. */
  handOn(): void;
}

export function openTransaction(client: pg.PoolClient): OpenTransaction {
  let state: ReturnType<OpenTransaction['state']> = 'open';
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
        const results = await send([...statements(), COMMIT]);
        // INVARIANT: acknowledge only after commit. A commit of an aborted transaction succeeds as a rollback.
        if (results.at(-1)?.tag !== 'COMMIT') {
          throw new Error('The store rolled the transaction back instead of committing it.');
        }
        return results;
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
    handOn() {
      handedOn = true;
    },
  };
}
