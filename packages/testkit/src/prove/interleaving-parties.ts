import type {
  AccountKey,
  BatchWrite,
  LockedAccount,
  LockedFrame,
  LockRequest,
} from '@pennon/server/store/account-transaction';
import type { Accounts } from '@pennon/server/store/accounts';
import type { AheadOutcome, AheadWrite } from '@pennon/server/store/write-ahead';
import { expectationOf, misled } from './interleaving-ahead.js';
import {
  type AheadPlan,
  type Other,
  PARTIES,
  type Party,
  type Standing,
  type Step,
  sayError,
  sayFrame,
  type TogetherPart,
  type WritePlan,
} from './interleaving-script.js';
import { writeOf } from './interleaving-write.js';

/* One script in two worlds: on the simulated store (`simulated-world`), and on PostgreSQL through the adapter of servers (`real-world`). */

export interface World {
  /** Begins the step; what comes of it, at once or later, is told by `settle`. */
  start(step: Step): Promise<void>;
  /** Waits until everything under way has ended or waits for a lock. Answers what has ended, sorted. */
  settle(): Promise<readonly string[]>;
  standing(): Standing;
  /** What is stored in the end. */
  stored(): Promise<string>;
  /** What went wrong beyond what the script shows. */
  readonly faults: readonly string[];
  close(): Promise<void>;
}

/** A transaction of one customer or of both, as a script ends it. */
interface OpenTransaction {
  commit(plan: WritePlan): Promise<unknown>;
  rollback(): Promise<void>;
  /** What can be followed once it is written; not of both. */
  readonly last: ((plan: WritePlan) => LastBatch) | null;
}

/** What a party sent last, and what it was decided on. */
interface LastBatch {
  readonly place: object;
  readonly customer: number;
  readonly frame: LockedFrame;
  readonly write: BatchWrite;
}

/** What both worlds keep in mind of their parties. */
export abstract class Parties implements World {
  readonly faults: string[] = [];
  protected readonly open = new Map<Party, OpenTransaction>();
  protected readonly waiting = new Set<Party>();
  protected readonly busy = new Set<Other>();
  protected holding = false;
  /** Of those who wait, who was sent ahead. */
  readonly #ahead = new Set<Party>();
  readonly #last = new Map<Party, LastBatch>();
  readonly #ended: string[] = [];

  protected abstract accountsOf(party: Party): Accounts;
  protected abstract idsOf(customer: number): {
    environmentId: string;
    productId: string;
    customerId: string;
  };
  protected abstract kill(party: Party): Promise<void>;
  protected abstract change(customer: number): Promise<void>;
  protected abstract hold(customer: number, accounts: readonly AccountKey[]): Promise<void>;
  protected abstract letGo(): Promise<void>;
  protected abstract publish(): Promise<void>;
  protected abstract share(): Promise<void>;
  protected abstract wait(): Promise<void>;
  protected abstract quiet(): Promise<void>;
  abstract stored(): Promise<string>;
  abstract close(): Promise<void>;
  protected frameRead(_party: Party, _now: number): void {}

  async start(step: Step): Promise<void> {
    switch (step.do) {
      case 'begin':
        return this.#begin(step);
      case 'begin-together':
        return this.#beginTogether(step);
      case 'commit':
      case 'rollback':
        return this.#end(step);
      case 'ahead':
        return this.#goAhead(step.party, step.plans);
      case 'kill':
        await this.kill(step.party);
        return;
      case 'change':
        return this.other('changer', this.change(step.customer));
      case 'hold':
        return this.other(
          'holder',
          this.hold(step.customer, step.accounts).then(() => {
            this.holding = true;
          }),
        );
      case 'let-go':
        this.holding = false;
        return this.other('holder', this.letGo());
      case 'publish':
        return this.publish();
      case 'share':
        return this.share();
      case 'wait':
        return this.wait();
    }
  }

  async settle(): Promise<readonly string[]> {
    await this.quiet();
    return this.#ended.splice(0).sort();
  }

  standing(): Standing {
    const { open, waiting, busy, holding } = this;
    const waitingAhead = this.#ahead.size > 0;
    const free = PARTIES.filter((party) => !open.has(party) && !waiting.has(party));
    const following = PARTIES.filter((party) => {
      const transaction = open.get(party);
      return transaction === undefined ? this.#last.has(party) : transaction.last !== null;
    });
    return {
      free,
      open: [...open.keys()].sort(),
      waiting: [...waiting].sort(),
      waitingAhead,
      following,
      holding,
      busy,
    };
  }

  #begin({ party, customer, accounts, keys }: Extract<Step, { readonly do: 'begin' }>): void {
    const request = this.#requestOf({ customer, accounts, keys });
    const begun = this.accountsOf(party)
      .begin(request)
      .then((transaction) => {
        const { frame } = transaction;
        const open: OpenTransaction = {
          commit: (plan) => transaction.commit(writeOf(frame, plan)),
          rollback: () => transaction.rollback(),
          last: (plan) => ({ place: transaction.place, customer, frame, write: writeOf(frame, plan) }),
        };
        return { open, frames: [frame] };
      });
    this.#await(party, begun);
  }

  #beginTogether({ party, parts }: Extract<Step, { readonly do: 'begin-together' }>): void {
    const requests = parts.map((part) => this.#requestOf(part));
    const inOrder = [...requests].sort((left, right) => (left.customerId < right.customerId ? -1 : 1));
    const begun = this.accountsOf(party)
      .beginTogether(inOrder)
      .then((transaction) => {
        const { frames } = transaction;
        const open: OpenTransaction = {
          commit: (plan) =>
            transaction.commit(frames.map((frame) => (frame === null ? null : writeOf(frame, plan)))),
          rollback: () => transaction.rollback(),
          last: null,
        };
        return { open, frames: requests.map((request) => frames[inOrder.indexOf(request)] ?? null) };
      });
    this.#await(party, begun);
  }

  #requestOf({ customer, accounts, keys }: TogetherPart): LockRequest {
    return {
      ...this.idsOf(customer),
      accounts,
      idempotencyKeys: keys,
      reservationIds: [],
      holders: [],
    };
  }

  #await(
    party: Party,
    begun: Promise<{ readonly open: OpenTransaction; readonly frames: readonly (LockedFrame | null)[] }>,
  ): void {
    this.waiting.add(party);
    begun.then(
      ({ open, frames }) => {
        this.waiting.delete(party);
        this.open.set(party, open);
        for (const frame of frames) {
          if (frame !== null) this.frameRead(party, frame.now);
        }
        const read = frames.map((frame) => (frame === null ? 'nothing' : sayFrame(frame)));
        this.tell(`${party} reads ${read.join(' and ')}`);
      },
      (error: unknown) => {
        this.waiting.delete(party);
        this.tell(`${party} cannot begin: ${sayError(error)}`);
      },
    );
  }

  #end(step: Extract<Step, { readonly do: 'commit' | 'rollback' }>): void {
    const { party } = step;
    const transaction = this.open.get(party);
    if (transaction === undefined) return;
    this.open.delete(party);
    this.waiting.add(party);
    const ended = step.do === 'rollback' ? transaction.rollback() : transaction.commit(step.plan);
    if (step.do === 'commit' && transaction.last !== null) this.#last.set(party, transaction.last(step.plan));
    else this.#last.delete(party);
    const behind = step.do === 'commit' && step.behind.length > 0 ? this.#sendAhead(party, step.behind) : [];
    const told = ended.then(
      () => this.tell(`${party} has ended: ${step.do}`),
      (error: unknown) => this.tell(`${party} cannot ${step.do}: ${sayError(error)}`),
    );
    this.#freeAfter(party, [told, ...behind]);
  }

  #goAhead(party: Party, plans: readonly AheadPlan[]): void {
    this.waiting.add(party);
    this.#ahead.add(party);
    this.#freeAfter(party, this.#sendAhead(party, plans));
  }

  #freeAfter(party: Party, all: readonly Promise<void>[]): void {
    void Promise.all(all).then(() => {
      this.waiting.delete(party);
      this.#ahead.delete(party);
    });
  }

  /** One behind the other, each in the same turn of the event loop. */
  #sendAhead(party: Party, plans: readonly AheadPlan[]): readonly Promise<void>[] {
    const last = this.#last.get(party);
    if (last === undefined) return [];
    let before: Promise<LastBatch> = Promise.resolve(last);
    return plans.map((plan, index) => {
      const sent = before.then((behind) => this.#sendOne(party, behind, plan));
      before = sent.then(({ batch }) => batch);
      const name = `${party}, ${index + 1} ahead,`;
      return sent
        .then(({ outcome }) => outcome)
        .then(
          ({ stood, now }) => {
            if (stood) this.frameRead(party, now);
            this.tell(`${name} ${stood ? 'stands' : 'does not stand'}`);
          },
          (error: unknown) => this.tell(`${name} cannot: ${sayError(error)}`),
        );
    });
  }

  async #sendOne(
    party: Party,
    behind: LastBatch,
    { accounts, keys, plan, off }: AheadPlan,
  ): Promise<{ readonly batch: LastBatch; readonly outcome: Promise<AheadOutcome> }> {
    const { customer } = behind;
    const expected = expectationOf(behind, accounts);
    const ahead: AheadWrite = {
      ...misled(expected, off),
      write: writeOf(expected, plan),
    };
    const request = this.#requestOf({ customer, accounts: expected.accounts, keys });
    const { place, outcome } = await this.accountsOf(party).writeAhead(request, ahead, behind.place);
    const batch = { place, customer, frame: ahead.expected, write: ahead.write };
    this.#last.set(party, batch);
    return { batch, outcome };
  }

  protected other(name: Other, work: Promise<void>): void {
    this.busy.add(name);
    work.then(
      () => {
        this.busy.delete(name);
        this.tell(`${name} is through`);
      },
      (error: unknown) => {
        this.busy.delete(name);
        this.tell(`${name}: ${sayError(error)}`);
      },
    );
  }

  protected tell(text: string): void {
    this.#ended.push(text);
  }
}

/** What a world stores of an account. */
export function sayAccount({
  feature,
  scope,
  used,
  periodStart,
}: Pick<LockedAccount, 'feature' | 'scope' | 'used' | 'periodStart'>) {
  return `${feature} ${scope} ${used} ${periodStart}`;
}
