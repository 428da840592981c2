import { LIMITS } from '@pennon/engine/model/limits';
import type { CustomerFactsStore, Facts, FactsQuestion } from './customer-facts.js';
import type { CustomerEntry, CustomerMemory } from './customer-memory.js';
import type { Overlay } from './gather-customer.js';

/**
 * A statement that takes longer is stuck, and keeps nobody else waiting: many statements at once make a busy store slower, but one
 * that never answers must not end all look-ups.
 */
const STUCK_AFTER_MILLISECONDS = 1000;

export interface ColdLoadsOptions {
  readonly store: Pick<CustomerFactsStore, 'loadTogether'>;
  readonly memory: CustomerMemory;
  readonly monotonic: () => number;
  /** Whether an error says that the store is away, as opposed to what was asked for; then nothing is gained by asking again. */
  readonly isAway: (error: unknown) => boolean;
}

/** One question on its way into memory. */
export interface ColdLoad {
  readonly overlay: Promise<Overlay>;
  /** Its statement was sent: what it brings may be older than a change that is heard from then on. */
  readonly isSent: boolean;
}

interface Asked extends ColdLoad {
  readonly question: FactsQuestion;
  isSent: boolean;
  /** It was in a statement that failed for one of its questions. */
  isAlone: boolean;
  readonly answer: (overlay: Overlay) => void;
  readonly fail: (error: unknown) => void;
}

/**
 * Sends what look-ups ask the store, and puts the answers into memory. The first goes at once and alone; what is asked while a few
 * statements are under way waits for the first of them to return and goes together in one, because most of what a statement costs
 * is the same for one customer and for many. No timer: nobody waits for company.
 */
export class ColdLoads {
  readonly #options: ColdLoadsOptions;
  /** First come, first served. */
  readonly #waiting: Asked[] = [];
  /** Questions and the time of sending, by statement under way. */
  readonly #underWay = new Map<readonly Asked[], number>();
  #asked = 0;
  #statements = 0;

  constructor(options: ColdLoadsOptions) {
    this.#options = options;
  }

  get statements(): number {
    return this.#statements;
  }

  /** Whether an answer is on its way that may be older than what is heard now. */
  get isUnderWay(): boolean {
    return this.#underWay.size > 0;
  }

  /** `null`: too many wait already. */
  ask(question: FactsQuestion): ColdLoad | null {
    if (this.#asked >= LIMITS.coldLookups.value) return null;
    this.#asked += 1;
    const { promise: overlay, resolve: answer, reject: fail } = deferred<Overlay>();
    const asked: Asked = { question, overlay, isSent: false, isAlone: false, answer, fail };
    this.#waiting.push(asked);
    this.#sendNext();
    return asked;
  }

  #sendNext(): void {
    while (this.#waiting.length > 0 && this.#isFree()) void this.#send(this.#takeTogether());
  }

  #isFree(): boolean {
    const since = this.#options.monotonic() - STUCK_AFTER_MILLISECONDS;
    let busy = 0;
    for (const sentAt of this.#underWay.values()) if (sentAt >= since) busy += 1;
    return busy < LIMITS.coldStatements.value;
  }

  /** Whoever waits longest, with those behind it that one statement can ask for as well. */
  #takeTogether(): readonly Asked[] {
    const [first, ...behind] = this.#waiting.splice(0);
    if (first === undefined) return [];
    const together = [first];
    for (const asked of behind) {
      const fits = together.length < LIMITS.coldTogether.value && goTogether(first, asked);
      (fits ? together : this.#waiting).push(asked);
    }
    return together;
  }

  async #send(together: readonly Asked[]): Promise<void> {
    const { store, memory, monotonic } = this.#options;
    // INVARIANT: a question that waited began nothing. What was heard meanwhile is in the store that is read only now.
    const startedAt = memory.beginLoad();
    for (const asked of together) asked.isSent = true;
    this.#underWay.set(together, monotonic());
    this.#statements += 1;
    let again: readonly Asked[] = [];
    try {
      const facts = await store.loadTogether(together.map(({ question }) => question));
      const readAt = monotonic();
      for (const [place, { question, answer }] of together.entries()) {
        const own = facts[place];
        if (own === undefined) throw new Error('The store left a question without an answer.');
        answer(toOverlay(question, own, memory.remember(question, own, startedAt, readAt)));
      }
    } catch (error) {
      if (together.length > 1 && !this.#options.isAway(error)) again = together;
      else for (const { fail } of together) fail(error);
    } finally {
      memory.endLoad(startedAt);
      this.#underWay.delete(together);
      this.#asked -= together.length - again.length;
      for (const asked of again) asked.isAlone = true;
      this.#waiting.unshift(...again);
      this.#sendNext();
    }
  }
}

function goTogether(first: Asked, other: Asked): boolean {
  return (
    !first.isAlone &&
    !other.isAlone &&
    first.question.environmentId === other.question.environmentId &&
    first.question.productId === other.question.productId
  );
}

function deferred<Value>(): {
  readonly promise: Promise<Value>;
  readonly resolve: (value: Value) => void;
  readonly reject: (error: unknown) => void;
} {
  let settle: [(value: Value) => void, (error: unknown) => void] | undefined;
  const promise = new Promise<Value>((resolve, reject) => {
    settle = [resolve, reject];
  });
  return { promise, resolve: (value) => settle?.[0](value), reject: (error) => settle?.[1](error) };
}

function toOverlay(
  question: FactsQuestion,
  facts: Facts,
  entries: ReadonlyMap<string, CustomerEntry>,
): Overlay {
  const ref = question.instanceRef;
  return {
    customers: entries,
    instance: ref === null || facts.instance === null ? null : { ref, facts: facts.instance },
    users: facts.users,
    teams: facts.teams,
    shared: facts.shared,
  };
}
