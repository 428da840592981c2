import type { CustomerState } from '@pennon/engine/model/customer';
import { LIMITS } from '@pennon/engine/model/limits';
import { BalanceRefresher } from './balance-refresher.js';
import { type ColdLoad, ColdLoads } from './cold-loads.js';
import { assembleNobody, assembleState } from './customer-assembly.js';
import type { CustomerFactsStore, FactsQuestion, UserFacts } from './customer-facts.js';
import { CustomerMemory, type SubjectKind } from './customer-memory.js';
import { type Found, type Gap, gather, type Overlay } from './gather-customer.js';
import type {
  ChangeFeed,
  ChangeNotice,
  CustomerLookup,
  CustomerLookupResult,
  CustomerStates,
  EnvironmentVersions,
} from './ports.js';
import { ServiceError } from './service-error.js';
import { isStorableKey } from './storable-key.js';

export interface CustomerStatesOptions {
  readonly store: CustomerFactsStore;
  readonly changes: Pick<ChangeFeed, 'subscribe' | 'subscribeToReset'>;
  /** Default `LIMITS.customersInMemory`. */
  readonly maxCustomers?: number;
  /** How long a cold look-up may take; default 50 ms. */
  readonly deadlineMilliseconds?: number;
  /** A monotonic clock in milliseconds. */
  readonly monotonic?: () => number;
  /** Whether an error of the store says that it is away (default: every one), as opposed to what it was asked. */
  readonly isAway?: (error: unknown) => boolean;
  /** The store could not be read; told at most once a second, however many ask. For the log. */
  readonly onUnreadable?: (error: unknown) => void;
}

/** What `createCustomerStates` gives beyond the port: for metrics and for shutting down. */
export interface CustomerStatesHandle extends CustomerStates {
  statistics(): { readonly pieces: number; readonly loads: number };
  /** Opens connections and prepares the statement before the first caller needs them. Never rejects, and waits briefly. */
  warmUp(): Promise<void>;
  stop(): void;
}

const WARM_CONNECTIONS = 2;
const WARM_UP_MILLISECONDS = 1000;
const NO_ID = '00000000-0000-0000-0000-000000000000';
const NOBODY: FactsQuestion = {
  environmentId: NO_ID,
  productId: NO_ID,
  customerKeys: [],
  instanceRef: null,
  userKeys: [],
  teamKeys: [],
  shared: false,
  balanceCustomerKeys: [],
  scopes: [],
};

export function createCustomerStates(options: CustomerStatesOptions): CustomerStatesHandle {
  const states = new InMemoryCustomerStates(options);
  options.changes.subscribe((notice) => states.onChange(notice));
  options.changes.subscribeToReset(() => states.onReset());
  return states;
}

class InMemoryCustomerStates implements CustomerStatesHandle {
  readonly #store: CustomerFactsStore;
  readonly #memory: CustomerMemory;
  readonly #refresher: BalanceRefresher;
  readonly #deadlineMilliseconds: number;
  readonly #monotonic: () => number;
  readonly #onUnreadable: (error: unknown) => void;
  readonly #cold: ColdLoads;
  /** Loads asked for, by each piece that they will bring: whoever needs the piece waits for the same one. */
  readonly #flights = new Map<string, ColdLoad>();

  constructor(options: CustomerStatesOptions) {
    this.#store = options.store;
    this.#memory = new CustomerMemory(options.maxCustomers ?? LIMITS.customersInMemory.value);
    this.#deadlineMilliseconds = options.deadlineMilliseconds ?? 50;
    this.#monotonic = options.monotonic ?? (() => performance.now());
    this.#cold = new ColdLoads({
      store: options.store,
      memory: this.#memory,
      monotonic: this.#monotonic,
      isAway: options.isAway ?? (() => true),
    });
    this.#onUnreadable = atMostEverySecond(this.#monotonic, options.onUnreadable ?? (() => undefined));
    this.#refresher = new BalanceRefresher({
      store: options.store,
      memory: this.#memory,
      monotonic: this.#monotonic,
      onUnreadable: this.#onUnreadable,
    });
  }

  lookup(request: CustomerLookup): CustomerLookupResult | Promise<CustomerLookupResult> {
    const found = gather(this.#memory, request, []);
    return found.gap === null ? this.#answer(request, found) : this.#lookupCold(request, found);
  }

  async #lookupCold(request: CustomerLookup, first: Found): Promise<CustomerLookupResult> {
    const overlays: Overlay[] = [];
    const deadline = this.#monotonic() + this.#deadlineMilliseconds;
    let missing = first;
    // One load fills every gap; another round is only for what was forgotten or evicted meanwhile.
    for (let round = 0; round < 4; round += 1) {
      if (missing.gap === null) return this.#answer(request, missing);
      overlays.push(...(await this.#within(deadline, this.#fill(request, missing.gap, missing.scopes))));
      missing = gather(this.#memory, request, overlays);
    }
    if (missing.gap === null) return this.#answer(request, missing);
    throw unavailable(undefined);
  }

  #answer(request: CustomerLookup, found: Found): CustomerLookupResult {
    if (request.balancesUnderLock !== true) this.#refresher.consider(found);
    return toResult(request, found);
  }

  /**
   * Joins the loads that bring what is missing, and asks for the rest in one question. `known` are the scopes of what is not
   * missing: a customer comes with the balances of all of them, or its entry would lack some that no later load could give it.
   */
  async #fill(request: CustomerLookup, gap: Gap, known: readonly string[]): Promise<Overlay[]> {
    const { environmentId, productId } = request;
    const joined = new Set<ColdLoad>();
    const own: string[] = [];
    const take = (kind: string, key: string): boolean => {
      const name = `${environmentId}/${kind}/${key}/${productId}`;
      const flight = this.#flights.get(name);
      if (flight === undefined) own.push(name);
      else joined.add(flight);
      return flight === undefined;
    };
    const customerKeys = gap.customerKeys.filter((key) => take('customer', key));
    const scopes = gap.instanceRef === null ? known : [...known, gap.instanceRef];
    const ofMissing = gap.customerKeys.flatMap((customerKey) =>
      ['', ...scopes].map((scope) => ({ customerKey, scope })),
    );
    const balances = [...gap.balances, ...ofMissing].filter(({ customerKey, scope }) =>
      take('balances', JSON.stringify([customerKey, scope])),
    );
    const question: FactsQuestion = {
      environmentId,
      productId,
      customerKeys,
      instanceRef: gap.instanceRef !== null && take('instance', gap.instanceRef) ? gap.instanceRef : null,
      userKeys: gap.userKeys.filter((key) => take('user', key)),
      teamKeys: gap.teamKeys.filter((key) => take('team', key)),
      shared: gap.shared && take('shared', ''),
      balanceCustomerKeys: [...new Set(balances.map((balance) => balance.customerKey))],
      scopes: [...new Set([...scopes, ...balances.map((balance) => balance.scope)])].filter(isStorableKey),
    };
    if (own.length > 0) joined.add(this.#load(question, own));
    return Promise.all([...joined].map(({ overlay }) => overlay));
  }

  #load(question: FactsQuestion, names: readonly string[]): ColdLoad {
    const load = this.#cold.ask(question);
    if (load === null) throw unavailable(undefined);
    for (const name of names) this.#flights.set(name, load);
    const arrived = (): void => {
      for (const name of names) if (this.#flights.get(name) === load) this.#flights.delete(name);
    };
    load.overlay.then(arrived, arrived);
    return load;
  }

  /** Unreachable is not unknown (law 1): neither a late nor a failing store says anything about a customer. */
  async #within<Value>(deadline: number, work: Promise<Value>): Promise<Value> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      const left = Math.max(0, deadline - this.#monotonic());
      timer = setTimeout(() => reject(unavailable(new Error('The deadline passed.'))), left);
    });
    try {
      return await Promise.race([work, late]);
    } catch (error) {
      this.#onUnreadable(error);
      throw error instanceof ServiceError ? error : unavailable(error);
    } finally {
      clearTimeout(timer);
      work.catch(() => undefined);
    }
  }

  async atLeast(
    environmentId: string,
    customerKey: string,
    version: number,
    deadlineMilliseconds: number,
  ): Promise<void> {
    if (this.#isKnownAt(environmentId, customerKey, version)) return;
    const deadline = this.#monotonic() + deadlineMilliseconds;
    const subject = fromSubjectPoint(customerKey);
    if (subject !== null) {
      // Subjects have no version of their own; whatever is read after the write was answered is new enough.
      await this.#within(deadline, this.#store.versionOf(environmentId, ''));
      this.#forget(environmentId, subject.kind, subject.key);
      return;
    }
    const stored = await this.#within(deadline, this.#store.versionOf(environmentId, customerKey));
    if ((stored ?? 0) < version) throw unavailable(new Error('The store is older than what was asked for.'));
    // The store is read at its primary, so that whatever is read from now on is at least that new.
    this.#forget(environmentId, 'customer', customerKey);
  }

  noteBalance(
    environmentId: string,
    customerKey: string,
    account: Parameters<CustomerStates['noteBalance']>[2],
  ): void {
    this.#memory.note(environmentId, { customerKey, account });
  }

  onChange(notice: ChangeNotice): void {
    switch (notice.kind) {
      case 'customer':
        // The writing process hears of its own change twice; what it has read since is not forgotten again.
        if (this.#isKnownAt(notice.environmentId, notice.customerKey, notice.version)) return;
        this.#forget(notice.environmentId, 'customer', notice.customerKey);
        return;
      case 'subject':
        this.#forget(notice.environmentId, notice.subjectKind, notice.subjectKey);
        return;
      case 'environment-customers':
        this.#forget(notice.environmentId, 'shared', '');
        return;
      case 'revision':
      case 'keys':
      case 'directory':
        return;
    }
  }

  /** Whether memory holds that version or a newer one; loads under way are then no longer trusted for that customer. */
  #isKnownAt(environmentId: string, customerKey: string, version: number): boolean {
    if (!this.#memory.isAtLeast(environmentId, customerKey, version)) return false;
    if (this.#cold.isUnderWay) {
      this.#memory.distrustLoads(environmentId, customerKey);
      this.#dropFlights(`${environmentId}/`);
    }
    return true;
  }

  onReset(): void {
    this.#memory.forgetEverything();
    this.#dropFlights('');
  }

  #forget(environmentId: string, kind: 'customer' | SubjectKind | 'shared', key: string): void {
    this.#memory.forget(environmentId, kind, key);
    this.#dropFlights(`${environmentId}/`);
  }

  /**
   * Whoever asks from now on must not join a load that was sent before the change; one that still waits reads what came of it. A
   * load for a user or an instance brings its customer along, so that all loads of the environment are let go.
   */
  #dropFlights(prefix: string): void {
    for (const [name, load] of this.#flights) {
      if (load.isSent && name.startsWith(prefix)) this.#flights.delete(name);
    }
  }

  statistics(): { readonly pieces: number; readonly loads: number } {
    return { pieces: this.#memory.size, loads: this.#cold.statements };
  }

  async warmUp(): Promise<void> {
    const reads = Array.from({ length: WARM_CONNECTIONS }, () => this.#store.load(NOBODY));
    const read = Promise.allSettled(reads);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, WARM_UP_MILLISECONDS);
    });
    await Promise.race([read, late]);
    clearTimeout(timer);
  }

  stop(): void {
    this.#refresher.stop();
  }
}

function atMostEverySecond(
  monotonic: () => number,
  tell: (error: unknown) => void,
): (error: unknown) => void {
  let toldAt = Number.NEGATIVE_INFINITY;
  return (error) => {
    const now = monotonic();
    if (now - toldAt < 1000) return;
    toldAt = now;
    tell(error);
  };
}

/** A customer is named in this way once it has no version any more, because it was erased. */
const POINT_KINDS = ['user', 'team', 'instance', 'shared', 'customer'] as const;
type PointKind = (typeof POINT_KINDS)[number];

/**
 * How a consistency token names a user, team or instance, or the grants of groups and segments, in the place of a customer:
 * NUL never stands in a customer's key.
 */
export function toSubjectPoint(kind: PointKind, key: string): string {
  return `\u0000${kind}\u0000${key}`;
}

/** Whether the text stands for such a one and not for a customer. */
export function isSubjectPoint(text: string): boolean {
  return fromSubjectPoint(text) !== null;
}

function fromSubjectPoint(text: string): { readonly kind: PointKind; readonly key: string } | null {
  const [before, kind, ...key] = text.split('\u0000');
  if (before !== '' || !POINT_KINDS.some((known) => known === kind)) return null;
  return { kind: kind as PointKind, key: key.join('\u0000') };
}

function unavailable(cause: unknown): ServiceError {
  return new ServiceError(
    'unavailable',
    'CUSTOMER_STATE_UNAVAILABLE',
    'What is stored of the customer could not be read in time, so nothing that depends on it can be answered. Ask again.',
    { retryAfterSeconds: 1, cause },
  );
}

function toResult(request: CustomerLookup, found: Found): CustomerLookupResult {
  const stateOf = (key: string): CustomerState => {
    const entry = found.customers.get(key);
    if (entry === undefined) throw new Error(`The customer \`${key}\` was not looked up.`);
    return assembleState(entry, found);
  };
  const customers = new Map<string, CustomerState>();
  for (const [key, entry] of found.customers) {
    if (entry.facts.record !== null) customers.set(key, stateOf(key));
  }
  return {
    customers,
    instance: found.instance?.record ?? null,
    customersOfUsers: ownersOf(request, found.users),
    versions: versionsOf(found),
    stateOf,
    stateOfNobody: () => assembleNobody(request.productId, found),
  };
}

function versionsOf({ instance, users, team, shared }: Found): EnvironmentVersions {
  let subjects = Math.min(team.version, instance?.version ?? Number.POSITIVE_INFINITY);
  for (const user of users.values()) subjects = Math.min(subjects, user.version);
  return { subjects, shared: shared.version };
}

function ownersOf(
  request: CustomerLookup,
  users: ReadonlyMap<string, UserFacts>,
): ReadonlyMap<string, readonly string[]> {
  const owners = new Map<string, readonly string[]>();
  for (const key of request.userKeys) owners.set(key, users.get(key)?.customerKeys ?? []);
  return owners;
}
