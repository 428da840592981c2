/*
 * A reference ledger, written apart from the engine's lots: entries are only appended, every unit is one of its own, and balances are
 * sums. Slow and plain; the engine must agree with it after every step.
 */

export interface LedgerGrant {
  readonly id: string;
  readonly priority: number;
  readonly startsAt: number;
  readonly endsAt: number;
  /** 0 promotional, 1 rolled over, 2 the period's allowance, 3 paid. */
  readonly rank: number;
  readonly createdAt: number;
  readonly units: number;
}

type Entry =
  | { readonly kind: 'grant'; readonly grant: LedgerGrant }
  | { readonly kind: 'consume' | 'return'; readonly from: string }
  | { readonly kind: 'overage' | 'less-overage' }
  | { readonly kind: 'expire' | 'void'; readonly id: string; readonly units: number };

export class Ledger {
  readonly entries: Entry[] = [];
  readonly #grants = new Map<string, LedgerGrant>();
  readonly #final = new Set<string>();

  grant(grant: LedgerGrant): void {
    this.entries.push({ kind: 'grant', grant });
    this.#grants.set(grant.id, grant);
  }

  count(kind: 'consume' | 'return' | 'expire' | 'void', id: string): number {
    let sum = 0;
    for (const entry of this.entries) {
      if (entry.kind !== kind) continue;
      if ('from' in entry) sum += entry.from === id ? 1 : 0;
      else if ('id' in entry) sum += entry.id === id ? entry.units : 0;
    }
    return sum;
  }

  consumed(id: string): number {
    return this.count('consume', id) - this.count('return', id);
  }

  overage(): number {
    return this.entries.reduce(
      (sum, { kind }) => sum + (kind === 'overage' ? 1 : kind === 'less-overage' ? -1 : 0),
      0,
    );
  }

  remaining(id: string): number {
    const units = this.#grants.get(id)?.units ?? 0;
    return units - this.consumed(id) - this.count('expire', id) - this.count('void', id);
  }

  /** What ends by the clock ends with what remains of it. */
  advance(now: number): void {
    for (const grant of this.#grants.values()) {
      if (grant.endsAt > now || this.#final.has(grant.id)) continue;
      this.#final.add(grant.id);
      this.entries.push({ kind: 'expire', id: grant.id, units: this.remaining(grant.id) });
    }
  }

  void(id: string): void {
    if (this.#final.has(id) || !this.#grants.has(id)) return;
    this.#final.add(id);
    this.entries.push({ kind: 'void', id, units: this.remaining(id) });
  }

  #open(now: number): LedgerGrant[] {
    const open = [...this.#grants.values()].filter((one) => one.startsAt <= now && !this.#final.has(one.id));
    const key = (one: LedgerGrant) => [one.priority, one.endsAt, one.rank, one.createdAt];
    return open.sort((left, right) => {
      const [a, b] = [key(left), key(right)];
      for (const [index, value] of a.entries()) {
        const other = b[index] ?? 0;
        if (value !== other) return value < other ? -1 : 1;
      }
      return left.id < right.id ? -1 : 1;
    });
  }

  balance(now: number): number {
    return this.#open(now).reduce((sum, { id }) => sum + this.remaining(id), 0);
  }

  /** One unit after the other, each out of what is used first; where overage is settled, what was over before comes first. */
  consume(units: number, now: number, settles: boolean): void {
    for (let over = settles && units > 0 ? this.overage() : 0; over > 0; over -= 1) {
      const from = this.#open(now).find(({ id }) => this.remaining(id) > 0);
      if (from === undefined) break;
      this.entries.push({ kind: 'less-overage' }, { kind: 'consume', from: from.id });
    }
    for (let unit = 0; unit < units; unit += 1) {
      const from = this.#open(now).find(({ id }) => this.remaining(id) > 0);
      this.entries.push(from === undefined ? { kind: 'overage' } : { kind: 'consume', from: from.id });
    }
  }

  /** One unit after the other, each into what is used last. */
  giveBack(units: number, now: number): void {
    for (let unit = 0; unit < units; unit += 1) {
      if (this.overage() > 0) {
        this.entries.push({ kind: 'less-overage' });
        continue;
      }
      const open = this.#open(now).reverse();
      const into = open.find(({ id }) => this.consumed(id) > 0);
      if (into !== undefined) this.entries.push({ kind: 'return', from: into.id });
    }
  }
}
