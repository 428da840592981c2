import type { AccountState, CreditLot, CustomerState, Hold, Instant } from '@pennon/engine/model/customer';
import { LRUCache } from 'lru-cache';
import type {
  CustomerFacts,
  Facts,
  FactsQuestion,
  HeldFacts,
  InstanceFacts,
  SubjectFacts,
  UserFacts,
} from './customer-facts.js';

/** What was read or noted last of one scope's accounts. */
export interface Balances {
  accounts: readonly AccountState[];
  /** Milliseconds of the monotonic clock. */
  readAt: number;
  /** By feature: when this process itself wrote it, in the order of `CustomerMemory`'s happenings. */
  readonly notedAt: Map<string, number>;
}

export interface CustomerEntry {
  readonly productId: string;
  readonly facts: CustomerFacts;
  readonly balances: Map<string, Balances>;
  /** The state that was put together last, with the very pieces that it was made of. */
  assembled: { readonly pieces: readonly object[]; readonly state: CustomerState } | null;
}

export type SubjectKind = 'user' | 'team' | 'instance';

export interface BalanceNote {
  readonly customerKey: string;
  readonly account: {
    readonly productId: string;
    readonly feature: string;
    readonly scope: string;
    readonly periodStart: Instant | null;
    readonly used: number;
    readonly reserved: number;
    readonly holds?: readonly Hold[];
    readonly periodEnd?: Instant | null;
    readonly covered?: number;
    readonly lots?: readonly CreditLot[];
  };
}

/** Users and instances of one customer whose balances are kept; the pooled account is always one of them. */
const MAX_SCOPES = 1000;
/** Many rows weigh as several customers, so that the bound on memory is one on rows too. */
const ROWS_PER_UNIT = 32;

function weight(facts: HeldFacts): number {
  return 1 + Math.floor((facts.grants.length + facts.memberships.length) / ROWS_PER_UNIT);
}

function boundedCache<Value extends object>(
  units: number,
  sizeOf: (value: Value) => number,
): LRUCache<string, Value> {
  return new LRUCache<string, Value>({
    max: units,
    maxSize: units,
    sizeCalculation: (value) => sizeOf(value),
  });
}

/**
 * The bounded memory of customer facts. Everything that happens to it is numbered: what was read by a load that began
 * before a piece was forgotten is not remembered for that piece, whichever comes first (freshness).
 */
export class CustomerMemory {
  readonly #customers: LRUCache<string, CustomerEntry>;
  readonly #users: LRUCache<string, UserFacts>;
  readonly #teams: LRUCache<string, SubjectFacts>;
  readonly #instances: LRUCache<string, InstanceFacts>;
  /** An instance's key by its id. Ids are never given again, so that this is never wrong, only incomplete. */
  readonly #instanceKeys: LRUCache<string, string>;
  readonly #shared = new Map<string, SubjectFacts>();
  readonly #products = new Set<string>();
  readonly #forgottenAt = new Map<string, number>();
  readonly #notes = new Map<string, BalanceNote & { readonly at: number }>();
  /** When each load that is still under way began. */
  readonly #loads = new Set<number>();
  #happenings = 0;
  #everythingForgottenAt = 0;

  constructor(maxCustomers: number) {
    this.#customers = boundedCache(
      maxCustomers,
      (entry) => weight(entry.facts) + Math.floor(entry.facts.licenses.length / ROWS_PER_UNIT),
    );
    this.#users = boundedCache<UserFacts>(maxCustomers, weight);
    this.#teams = boundedCache<SubjectFacts>(maxCustomers, weight);
    this.#instances = boundedCache<InstanceFacts>(maxCustomers, weight);
    this.#instanceKeys = new LRUCache({ max: maxCustomers });
  }

  customer(environmentId: string, productId: string, key: string): CustomerEntry | undefined {
    return this.#customers.get(pieceName(environmentId, 'customer', key, productId));
  }

  user(environmentId: string, productId: string, key: string): UserFacts | undefined {
    return this.#users.get(pieceName(environmentId, 'user', key, productId));
  }

  team(environmentId: string, productId: string, key: string): SubjectFacts | undefined {
    return this.#teams.get(pieceName(environmentId, 'team', key, productId));
  }

  instance(environmentId: string, productId: string, ref: string): InstanceFacts | undefined {
    const byKey = this.#instances.get(pieceName(environmentId, 'instance', ref, productId));
    // A key comes before an id; of a reference that is only an id, the key's own piece is the one that is kept fresh.
    if (byKey?.record?.key === ref) return byKey;
    const key = this.#instanceKeys.get(`${environmentId}/${ref}`);
    if (key === undefined) return byKey;
    const byId = this.#instances.get(pieceName(environmentId, 'instance', key, productId));
    return byId?.record?.id === ref ? byId : byKey;
  }

  shared(environmentId: string, productId: string): SubjectFacts | undefined {
    return this.#shared.get(`${environmentId}/${productId}`);
  }

  get size(): number {
    return this.#customers.size + this.#users.size + this.#teams.size + this.#instances.size;
  }

  /** Called before the statement is sent; the number is given back with what it answered. */
  beginLoad(): number {
    const startedAt = ++this.#happenings;
    this.#loads.add(startedAt);
    return startedAt;
  }

  endLoad(startedAt: number): void {
    this.#loads.delete(startedAt);
    if (this.#loads.size === 0) {
      this.#forgottenAt.clear();
      this.#notes.clear();
    } else if (this.#forgottenAt.size + this.#notes.size > 4096) {
      this.#prune(Math.min(...this.#loads));
    }
  }

  #prune(oldestLoad: number): void {
    for (const [name, at] of this.#forgottenAt) if (at < oldestLoad) this.#forgottenAt.delete(name);
    for (const [name, note] of this.#notes) if (note.at < oldestLoad) this.#notes.delete(name);
  }

  /** INVARIANT: a load that started before a piece was forgotten never puts that piece back. */
  #mayRemember(startedAt: number, name: string): boolean {
    return startedAt > this.#everythingForgottenAt && startedAt > (this.#forgottenAt.get(name) ?? 0);
  }

  /** Takes over what a load answered. What is in memory already stays, unless it is known to be older. */
  remember(
    question: FactsQuestion,
    facts: Facts,
    startedAt: number,
    readAt: number,
  ): Map<string, CustomerEntry> {
    const { environmentId, productId } = question;
    this.#products.add(productId);
    const mayKeep = (kind: 'customer' | SubjectKind | 'shared', key: string): boolean =>
      this.#mayRemember(startedAt, subjectName(environmentId, kind, key));
    const keep = <Value extends SubjectFacts>(
      cache: LRUCache<string, Value>,
      kind: SubjectKind,
      key: string,
      value: Value,
    ): void => {
      const piece = pieceName(environmentId, kind, key, productId);
      if (isNewer(cache.peek(piece), value) && mayKeep(kind, key)) cache.set(piece, value);
    };
    const entries = new Map<string, CustomerEntry>();
    for (const [key, customer] of facts.customers) {
      const entry: CustomerEntry = { productId, facts: customer, balances: new Map(), assembled: null };
      entries.set(key, entry);
      const piece = pieceName(environmentId, 'customer', key, productId);
      if (!this.#customers.has(piece) && mayKeep('customer', key)) this.#customers.set(piece, entry);
    }
    for (const [key, user] of facts.users) keep(this.#users, 'user', key, user);
    for (const [key, team] of facts.teams) keep(this.#teams, 'team', key, team);
    if (facts.instance !== null) {
      const { key, record } = facts.instance;
      keep(this.#instances, 'instance', key, facts.instance);
      if (record !== null) this.#instanceKeys.set(`${environmentId}/${record.id}`, key);
    }
    const sharedName = `${environmentId}/${productId}`;
    if (
      facts.shared !== null &&
      isNewer(this.#shared.get(sharedName), facts.shared) &&
      mayKeep('shared', '')
    ) {
      this.#shared.set(sharedName, facts.shared);
    }
    this.#rememberBalances(question, facts, entries, startedAt, readAt);
    return entries;
  }

  #rememberBalances(
    question: FactsQuestion,
    facts: Facts,
    entries: ReadonlyMap<string, CustomerEntry>,
    startedAt: number,
    readAt: number,
  ): void {
    const { environmentId, productId } = question;
    for (const { customerKey, scope, accounts } of facts.balances) {
      const remembered = this.customer(environmentId, productId, customerKey);
      for (const entry of new Set([remembered, entries.get(customerKey)])) {
        if (entry === undefined || entry.balances.has(scope)) continue;
        addScope(entry, scope, { accounts, readAt, notedAt: new Map() });
        for (const note of this.#notes.values()) {
          const same = note.customerKey === customerKey && note.account.productId === productId;
          if (same && note.account.scope === scope && note.at > startedAt)
            apply(entry, note.account, note.at);
        }
      }
    }
  }

  /** Balances that this process has just committed; newer than anything that a load under way may bring. */
  note(environmentId: string, note: BalanceNote): void {
    const at = ++this.#happenings;
    const { customerKey, account } = note;
    const entry = this.customer(environmentId, account.productId, customerKey);
    if (entry?.balances.has(account.scope) === true) {
      apply(entry, account, at);
    } else if (this.#loads.size > 0) {
      const name = JSON.stringify([
        environmentId,
        account.productId,
        customerKey,
        account.scope,
        account.feature,
      ]);
      this.#notes.set(name, { ...note, at });
    }
  }

  /** Balances read behind an answer, by a load that began at `startedAt`: what was noted since stays. */
  refresh(
    entry: CustomerEntry,
    scope: string,
    accounts: readonly AccountState[],
    startedAt: number,
    readAt: number,
  ): void {
    const balances = entry.balances.get(scope);
    if (balances === undefined) return;
    const noted = balances.accounts.filter((known) => (balances.notedAt.get(known.feature) ?? 0) > startedAt);
    const features = new Set(noted.map((known) => known.feature));
    const merged = [...accounts.filter((account) => !features.has(account.feature)), ...noted];
    balances.readAt = readAt;
    if (!sameAccounts(balances.accounts, merged)) balances.accounts = merged;
  }

  forget(environmentId: string, kind: 'customer' | SubjectKind | 'shared', key: string): void {
    const name = subjectName(environmentId, kind, key);
    const at = ++this.#happenings;
    if (this.#loads.size > 0) this.#forgottenAt.set(name, at);
    for (const productId of this.#products) {
      const piece = `${name}/${productId}`;
      if (kind === 'customer') this.#customers.delete(piece);
      else if (kind === 'user') this.#users.delete(piece);
      else if (kind === 'team') this.#teams.delete(piece);
      else if (kind === 'instance') this.#instances.delete(piece);
      else this.#shared.delete(`${environmentId}/${productId}`);
    }
  }

  forgetEverything(): void {
    this.#everythingForgottenAt = ++this.#happenings;
    this.#customers.clear();
    this.#users.clear();
    this.#teams.clear();
    this.#instances.clear();
    this.#instanceKeys.clear();
    this.#shared.clear();
  }

  /** Whether a customer is remembered, and of every product where it is, at that version or a newer one. */
  isAtLeast(environmentId: string, customerKey: string, version: number): boolean {
    let known = false;
    for (const productId of this.#products) {
      const entry = this.#customers.peek(pieceName(environmentId, 'customer', customerKey, productId));
      if (entry === undefined) continue;
      if ((entry.facts.record?.version ?? -1) < version) return false;
      known = true;
    }
    return known;
  }

  /** Keeps what is remembered of a customer, but nothing that loads now under way will say of it. */
  distrustLoads(environmentId: string, customerKey: string): void {
    this.#forgottenAt.set(subjectName(environmentId, 'customer', customerKey), ++this.#happenings);
  }
}

function isNewer(known: SubjectFacts | undefined, facts: SubjectFacts): boolean {
  return known === undefined || known.version < facts.version;
}

function subjectName(environmentId: string, kind: 'customer' | SubjectKind | 'shared', key: string): string {
  return `${environmentId}/${kind}/${key}`;
}

function pieceName(
  environmentId: string,
  kind: 'customer' | SubjectKind,
  key: string,
  productId: string,
): string {
  return `${environmentId}/${kind}/${key}/${productId}`;
}

function addScope(entry: CustomerEntry, scope: string, balances: Balances): void {
  if (entry.balances.size >= MAX_SCOPES) {
    for (const oldest of entry.balances.keys()) {
      if (oldest === '') continue;
      entry.balances.delete(oldest);
      break;
    }
  }
  entry.balances.set(scope, balances);
}

function apply(entry: CustomerEntry, account: BalanceNote['account'], at: number): void {
  const balances = entry.balances.get(account.scope);
  if (balances === undefined || (balances.notedAt.get(account.feature) ?? 0) > at) return;
  const { feature, scope, periodStart, used, reserved, periodEnd = null, covered = 0, lots = [] } = account;
  const before = balances.accounts.find((known) => known.feature === feature);
  const others = balances.accounts.filter((known) => known.feature !== feature);
  const holds = account.holds ?? before?.holds ?? [];
  const known = { feature, scope, periodStart, used, reserved, holds, periodEnd, covered, lots };
  balances.accounts = [...others, known];
  // Another process has changed what is held: it is read again as soon as somebody asks.
  if (account.holds === undefined && reserved !== (before?.reserved ?? 0))
    balances.readAt = Number.NEGATIVE_INFINITY;
  balances.notedAt.set(feature, at);
}

function sameAccounts(left: readonly AccountState[], right: readonly AccountState[]): boolean {
  if (left.length !== right.length) return false;
  return left.every((account) => {
    const other = right.find((candidate) => candidate.feature === account.feature);
    return (
      other !== undefined &&
      other.periodStart === account.periodStart &&
      other.used === account.used &&
      other.reserved === account.reserved &&
      sameHolds(other.holds ?? [], account.holds ?? []) &&
      (other.periodEnd ?? null) === (account.periodEnd ?? null) &&
      (other.covered ?? 0) === (account.covered ?? 0) &&
      sameLots(other.lots ?? [], account.lots ?? [])
    );
  });
}

function sameHolds(left: readonly Hold[], right: readonly Hold[]): boolean {
  return (
    left.length === right.length &&
    left.every(({ endsAt, amount }, index) => {
      const other = right[index];
      return other !== undefined && other.endsAt === endsAt && other.amount === amount;
    })
  );
}

/** Of a lot only what remains and when it ends can change. */
function sameLots(left: readonly CreditLot[], right: readonly CreditLot[]): boolean {
  if (left.length !== right.length) return false;
  return left.every(({ id, remaining, endsAt }) =>
    right.some((lot) => lot.id === id && lot.remaining === remaining && lot.endsAt === endsAt),
  );
}
