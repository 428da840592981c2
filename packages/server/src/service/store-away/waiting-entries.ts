import type { ConsumeRequest } from '../consume-request.js';
import type { JournalPlace } from './journal.js';
import type { JournalEntry } from './journal-entry.js';

/* What this process answered without the store, or took over from one that had, until the store has it. */

export interface WaitingEntry {
  readonly entry: JournalEntry;
  /** Rejects where it could not be kept: then it was never answered. `null` there: it is on disk. */
  kept: Promise<void> | null;
  place: JournalPlace | null;
  /** Not tried before, in milliseconds of the monotonic clock. */
  notBefore: number;
  /** Why it could not be counted when it was tried last. */
  problem: string | null;
}

type Call = Pick<ConsumeRequest, 'environmentId' | 'customerKey' | 'idempotencyKey'>;
/** A call by what its caller sent. */
export type SameCall = Pick<ConsumeRequest, 'environmentId' | 'idempotencyKey' | 'requestHash'>;
type Account = Pick<ConsumeRequest, 'environmentId' | 'productId' | 'customerId'>;

export class WaitingEntries {
  /** In the order in which they were answered. The same call of two processes stands there twice. */
  readonly #entries = new Map<string, WaitingEntry>();
  /** By environment and idempotency key: keys are a customer's own, so that there may be several. */
  readonly #byKey = new Map<string, readonly WaitingEntry[]>();
  /** By account, what is not in its last known balance. */
  readonly #amounts = new Map<string, number>();
  /** What many entries of a customer have in common, once. */
  readonly #frames = new Map<string, string>();

  get size(): number {
    return this.#entries.size;
  }

  get(id: string): WaitingEntry | undefined {
    return this.#entries.get(id);
  }

  find(call: Call): WaitingEntry | undefined {
    return this.#byKey.get(keyText(call))?.find(({ entry }) => entry.customerKey === call.customerKey);
  }

  /** The same without knowing whose call it is: a body that says the same names the same customer. */
  findSame(call: SameCall): WaitingEntry | undefined {
    return this.#byKey.get(keyText(call))?.find(({ entry }) => entry.requestHash === call.requestHash);
  }

  amountOf(account: Account, feature: string, scope: string): number {
    return this.#amounts.get(accountText(account, feature, scope)) ?? 0;
  }

  add(told: JournalEntry, kept: Promise<void> | null, place: JournalPlace | null): WaitingEntry {
    const entry = this.#withSharedFrames(told);
    const waiting: WaitingEntry = { entry, kept, place, notBefore: 0, problem: null };
    this.#entries.set(entry.id, waiting);
    this.#byKey.set(keyText(entry), [...(this.#byKey.get(keyText(entry)) ?? []), waiting]);
    this.#move(entry, 1);
    return waiting;
  }

  remove({ entry }: WaitingEntry): void {
    if (!this.#entries.delete(entry.id)) return;
    const left = this.#byKey.get(keyText(entry))?.filter((one) => one.entry.id !== entry.id) ?? [];
    if (left.length === 0) {
      this.#byKey.delete(keyText(entry));
    } else {
      this.#byKey.set(keyText(entry), left);
    }
    this.#move(entry, -1);
    if (this.#entries.size === 0) {
      this.#amounts.clear();
      this.#frames.clear();
    }
  }

  /** Those that are on disk and may be tried now, the oldest first. */
  due(now: number, most: number): readonly WaitingEntry[] {
    const due: WaitingEntry[] = [];
    for (const waiting of this.#entries.values()) {
      if (due.length >= most) break;
      if (waiting.kept === null && waiting.notBefore <= now) due.push(waiting);
    }
    return due;
  }

  /** When the oldest was answered; `null`: nothing waits. */
  oldest(): number | null {
    for (const { entry } of this.#entries.values()) return entry.at;
    return null;
  }

  /** Those that cannot be counted, though the store answers. */
  refused(): readonly WaitingEntry[] {
    return [...this.#entries.values()].filter(({ problem }) => problem !== null);
  }

  #move(entry: JournalEntry, sign: 1 | -1): void {
    for (const { columns, scope } of entry.items) {
      const name = accountText(entry, columns.feature, scope);
      this.#amounts.set(name, (this.#amounts.get(name) ?? 0) + sign * columns.consumed);
    }
  }

  #withSharedFrames(entry: JournalEntry): JournalEntry {
    const items = entry.items.map((item) => {
      const frame = this.#frames.get(item.frame);
      if (frame !== undefined) return { ...item, frame };
      this.#frames.set(item.frame, item.frame);
      return item;
    });
    return { ...entry, items };
  }
}

/** A key has no spaces. */
function keyText({ environmentId, idempotencyKey }: Omit<Call, 'customerKey'>): string {
  return `${environmentId} ${idempotencyKey}`;
}

function accountText(
  { environmentId, productId, customerId }: Account,
  feature: string,
  scope: string,
): string {
  return JSON.stringify([environmentId, productId, customerId, feature, scope]);
}
