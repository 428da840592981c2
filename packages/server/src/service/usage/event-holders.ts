import type { CustomerHolder, CustomerHolderKey } from '../../store/holder-statements.js';
import type { UsageItem } from './usage-item.js';

/* Which thing holds how many units, between two events of a chunk: claimed once, given back once, as consume and release have it. */

export class EventHolders {
  readonly #live = new Map<string, CustomerHolder>();
  readonly #changed = new Set<string>();

  /** Those that hold anything, as they were read under the locks. */
  add(holders: readonly CustomerHolder[]): void {
    for (const holder of holders) this.#live.set(nameOf(holder), holder);
  }

  /** What an event counts: nothing where its holder holds already, and a correction gives back at most what it holds. */
  countedOf(item: UsageItem, amount: number): number {
    const key = holderKey(item);
    if (key === null) return amount;
    const held = this.#heldBy(key);
    if (item.correctsKey !== null) return amount < 0 ? -Math.min(-amount, held) : amount;
    return held > 0 ? 0 : amount;
  }

  note(item: UsageItem, counted: number): void {
    const key = holderKey(item);
    if (key === null || counted === 0) return;
    const name = nameOf(key);
    this.#live.set(name, { ...key, amount: Math.max(0, this.#heldBy(key) + counted) });
    this.#changed.add(name);
  }

  #heldBy(key: CustomerHolderKey): number {
    return this.#live.get(nameOf(key))?.amount ?? 0;
  }

  write(): readonly CustomerHolder[] {
    return [...this.#changed].flatMap((name) => this.#live.get(name) ?? []);
  }
}

/** Told again, an event of a holder that had claimed before is the same although it was recorded as nothing. */
export function mayCountLess({ event }: UsageItem, amount: number, recorded: number): boolean {
  return event.holder !== null && Math.abs(recorded) < Math.abs(amount);
}

/** Each once. */
export function holderKeys(items: readonly UsageItem[]): readonly CustomerHolderKey[] {
  const keys = new Map<string, CustomerHolderKey>();
  for (const item of items) {
    const key = holderKey(item);
    if (key !== null) keys.set(nameOf(key), key);
  }
  return [...keys.values()];
}

function holderKey({ meter, event }: UsageItem): CustomerHolderKey | null {
  return event.holder === null ? null : { ...meter, holder: event.holder };
}

function nameOf({ customerId, feature, scope, holder }: CustomerHolderKey): string {
  return JSON.stringify([customerId, feature, scope, holder]);
}
