import type { AccountState } from '@pennon/engine/model/customer';
import type { BalanceQuestion, CustomerFactsStore } from './customer-facts.js';
import type { CustomerEntry, CustomerMemory } from './customer-memory.js';
import type { Found } from './gather-customer.js';

/** Older balances are read again, behind the answer: together with the wait below they stay under two seconds. */
const STALE_AFTER_MILLISECONDS = 1000;
const COLLECT_MILLISECONDS = 100;
const MAX_QUESTIONS = 2000;

interface Wanted {
  readonly entry: CustomerEntry;
  readonly scope: string;
}

export interface BalanceRefresherOptions {
  readonly store: Pick<CustomerFactsStore, 'balances'>;
  readonly memory: CustomerMemory;
  readonly monotonic: () => number;
  readonly onUnreadable: (error: unknown) => void;
}

/** Reads balances again for those who are asked about: one statement for all that came together in a tenth of a second. */
export class BalanceRefresher {
  readonly #options: BalanceRefresherOptions;
  readonly #wanted = new Map<string, Wanted>();
  #timer: NodeJS.Timeout | null = null;
  #running = false;
  #stopped = false;

  constructor(options: BalanceRefresherOptions) {
    this.#options = options;
  }

  /** Called with every answer, so it only compares numbers until something is old. */
  consider(found: Found): void {
    const oldest = this.#options.monotonic() - STALE_AFTER_MILLISECONDS;
    for (const entry of found.customers.values()) {
      if (entry.facts.record === null) continue;
      this.#want(entry, '', oldest);
      for (const scope of found.scopes) this.#want(entry, scope, oldest);
    }
  }

  #want(entry: CustomerEntry, scope: string, oldest: number): void {
    const balances = entry.balances.get(scope);
    if (balances === undefined || balances.readAt > oldest || this.#stopped) return;
    if (this.#wanted.size >= MAX_QUESTIONS) return;
    this.#wanted.set(JSON.stringify([entry.facts.record?.id, entry.productId, scope]), { entry, scope });
    this.#schedule();
  }

  #schedule(): void {
    if (this.#timer !== null || this.#running || this.#stopped) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      void this.#run();
    }, COLLECT_MILLISECONDS);
    this.#timer.unref();
  }

  async #run(): Promise<void> {
    const { store, memory, monotonic, onUnreadable } = this.#options;
    const wanted = new Map(this.#wanted);
    this.#wanted.clear();
    this.#running = true;
    const startedAt = memory.beginLoad();
    const readAt = monotonic();
    try {
      const rows = await store.balances([...wanted.values()].flatMap(toQuestion));
      const found = new Map<string, AccountState[]>();
      for (const { customerId, productId, ...account } of rows) {
        const name = JSON.stringify([customerId, productId, account.scope]);
        const accounts = found.get(name);
        if (accounts === undefined) found.set(name, [account]);
        else accounts.push(account);
      }
      for (const [name, { entry, scope }] of wanted) {
        memory.refresh(entry, scope, found.get(name) ?? [], startedAt, readAt);
      }
    } catch (error) {
      // What is known last stays and shows its age; the next look-up asks again.
      onUnreadable(error);
    } finally {
      memory.endLoad(startedAt);
      this.#running = false;
      if (this.#wanted.size > 0) this.#schedule();
    }
  }

  stop(): void {
    this.#stopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}

function toQuestion({ entry, scope }: Wanted): BalanceQuestion[] {
  const { record } = entry.facts;
  return record === null ? [] : [{ customerId: record.id, productId: entry.productId, scope }];
}
