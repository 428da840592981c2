import type { CustomerState } from '@pennon/engine/model/customer';
import type { Snapshot } from '@pennon/engine/snapshot/snapshot';
import type { ConsumeInput } from '@pennon/server/service/consume-input';
import type { ConsumeAnswer } from '@pennon/server/service/consume-request';
import { consumeUsage } from '@pennon/server/service/consume-usage';
import { createConsumption } from '@pennon/server/service/consumption';
import type { Credential } from '@pennon/server/service/credential';
import { endHolds } from '@pennon/server/service/hold-sweeper';
import type {
  CustomerLookup,
  CustomerLookupResult,
  CustomerStates,
  Directory,
  ReservationRecord,
  Snapshots,
} from '@pennon/server/service/ports';
import { createRecentPreparations } from '@pennon/server/service/recent-preparations';
import {
  type EndInput,
  endReservation,
  type ReserveInput,
  reserveUsage,
} from '@pennon/server/service/reserve-usage';
import { ServiceError } from '@pennon/server/service/service-error';
import type { AccountKey } from '@pennon/server/store/account-transaction';
import { type Accounts, isLostRace } from '@pennon/server/store/accounts';
import { type Fate, simulatedAccounts, type Wire } from './simulated-accounts.js';
import { CUSTOMERS, customerId, ENVIRONMENT, PRODUCT } from './simulated-installation.js';
import type { SimulatedReservation } from './simulated-reservations.js';
import type { SimulatedSession, SimulatedStore } from './simulated-store.js';

/** What the store holds besides accounts, as a process reads it. */
export interface Facts {
  snapshot(revision: number): Snapshot;
  customer(key: string, version: number, sharedVersion: number): CustomerState;
  customerVersion(key: string): number;
}

export interface ProcessOptions {
  readonly store: SimulatedStore;
  readonly facts: Facts;
  /** Milliseconds of one way to the store. */
  readonly delay: () => number;
  readonly fate: () => Fate;
  /** How far its own clock is off. */
  readonly skewMilliseconds: number;
}

const CREDENTIAL: Credential = {
  kind: 'server',
  keyId: 'key',
  environmentId: ENVIRONMENT.id,
  productId: PRODUCT.id,
};

/**
 * One server process: the production code of consume over ports that a history can crash, pause and keep in the dark. What it knows of
 * catalog, customers and shared grants is as old as the history wants it to be.
 */
export class SimulatedProcess implements Wire {
  readonly delay: () => number;
  readonly fate: () => Fate;
  readonly #options: ProcessOptions;
  readonly #sessions = new Set<SimulatedSession>();
  readonly #balances = new Map<string, CustomerState['accounts'][number]>();
  readonly #knownCustomers = new Map<string, number>();
  readonly #states = new Map<string, { readonly name: string; readonly state: CustomerState }>();
  #balanceChanges = 0;
  readonly #dependencies: Parameters<typeof consumeUsage>[0];
  readonly #accounts: Accounts;
  readonly #report: () => { readonly lanes: number };
  #revision: number;
  #sharedVersion: number;
  #held: (() => void)[] | null = null;
  #dead = false;

  constructor(options: ProcessOptions) {
    this.#options = options;
    this.delay = options.delay;
    this.fate = options.fate;
    const { store, facts } = options;
    this.#revision = store.revision;
    this.#sharedVersion = store.sharedVersion;
    for (const key of CUSTOMERS) this.#knownCustomers.set(key, facts.customerVersion(key));
    const { time } = store.options;
    const now = () => time.now;
    const accounts = simulatedAccounts(store, this);
    this.#accounts = accounts;
    const snapshots = this.#snapshots();
    const customers = this.#customers();
    const batcher = createConsumption({
      accounts,
      snapshots,
      customers,
      isLostRace,
      clock: {
        now,
        after: (milliseconds, callBack) => this.#timer(milliseconds, callBack),
        nextTurn: () => new Promise((resolve) => time.after(0, () => this.deliver(resolve))),
      },
    });
    this.#report = batcher.report;
    this.#dependencies = {
      directory: DIRECTORY,
      snapshots,
      customers,
      clock: { now: () => store.options.clock() + options.skewMilliseconds },
      knownUntil: () => store.options.clock(),
      // Nothing is answered without the store in these histories.
      batcher: { ...batcher, toldBefore: () => null },
      recent: createRecentPreparations(snapshots, now),
      registerCustomer: () => Promise.reject(new Error('Every customer of a history is registered.')),
      balances: accounts,
      reservations: { find: (id) => this.#findReservation(id) },
    };
  }

  get alive(): boolean {
    return !this.#dead;
  }

  get idle(): boolean {
    return this.#report().lanes === 0;
  }

  consume(input: ConsumeInput): Promise<ConsumeAnswer> {
    return consumeUsage(this.#dependencies, CREDENTIAL, input);
  }

  reserve(input: ReserveInput): Promise<ConsumeAnswer> {
    return reserveUsage(this.#dependencies, CREDENTIAL, input);
  }

  end(input: EndInput): Promise<ConsumeAnswer> {
    return endReservation(this.#dependencies, CREDENTIAL, input);
  }

  /** What the sweeper does with the accounts of one customer whose holds have ended. */
  sweep(customerId: string, accounts: readonly AccountKey[]): Promise<void> {
    const whose = { environmentId: ENVIRONMENT.id, productId: PRODUCT.id, customerId };
    return endHolds(this.#accounts, { ...whose, accounts });
  }

  async #findReservation(id: string): Promise<ReservationRecord | null> {
    let found: SimulatedReservation | undefined;
    await this.#read(() => {
      found = this.#options.store.reservations.get(id);
    });
    if (found === undefined) return null;
    const { feature, scope, amount, state, settled, expiresAt } = found;
    return {
      environmentId: ENVIRONMENT.id,
      productId: PRODUCT.id,
      customerKey: CUSTOMERS.find((key) => customerId(key) === found?.customerId) ?? '',
      feature,
      context: scope === '' ? {} : { user: { key: scope } },
      reservation: { id, amount, state, settled, expiresAt },
    };
  }

  deliver(act: () => void): void {
    if (this.#dead) return;
    if (this.#held === null) act();
    else this.#held.push(act);
  }

  /** A timer that is due while the process is paused can still be taken back. */
  #timer(milliseconds: number, callBack: () => void): () => void {
    let cancelled = false;
    const act = () => {
      if (!cancelled) callBack();
    };
    const cancel = this.#options.store.options.time.after(milliseconds, () => this.deliver(act));
    return () => {
      cancelled = true;
      cancel();
    };
  }

  connected(session: SimulatedSession): void {
    this.#sessions.add(session);
  }

  /** `kill -9`. */
  crash(): void {
    this.#dead = true;
    for (const session of this.#sessions) session.leave();
  }

  /** `SIGSTOP`. */
  pause(): void {
    this.#held ??= [];
  }

  /** `SIGCONT`: what has happened meanwhile is heard in order. */
  goOn(): void {
    const held = this.#held ?? [];
    this.#held = null;
    for (const act of held) this.#options.store.options.time.after(0, () => this.deliver(act));
  }

  /** The change feed has brought everything that was committed. */
  hearOfChanges(): void {
    const { store, facts } = this.#options;
    this.#revision = store.revision;
    this.#sharedVersion = store.sharedVersion;
    for (const key of CUSTOMERS) this.#knownCustomers.set(key, facts.customerVersion(key));
  }

  /** A look-up at the store; it may fail as any does. */
  #read(act: () => void): Promise<void> {
    const { store } = this.#options;
    return new Promise((resolve, reject) => {
      const fate = this.fate();
      store.options.time.after(this.delay() * 2, () =>
        this.deliver(() => {
          if (fate === 'answered' && store.up) {
            act();
            resolve();
          } else {
            reject(
              new ServiceError('unavailable', 'CUSTOMER_STATE_UNAVAILABLE', 'The store did not answer.'),
            );
          }
        }),
      );
    });
  }

  #snapshots(): Snapshots {
    const { facts, store } = this.#options;
    const current = () => facts.snapshot(this.#revision);
    return {
      current,
      atLeast: (_product, _environment, revision) =>
        this.#revision >= revision
          ? Promise.resolve(current())
          : this.#read(() => {
              this.#revision = store.revision;
            }).then(current),
    };
  }

  #customers(): CustomerStates {
    const { facts, store } = this.#options;
    return {
      lookup: (request) => {
        const wanted = request.atLeast?.shared ?? 0;
        if (wanted <= this.#sharedVersion) return this.#lookup(request);
        return this.#read(() => {
          this.#sharedVersion = store.sharedVersion;
        }).then(() => this.#lookup(request));
      },
      atLeast: (_environment, key, version) =>
        (this.#knownCustomers.get(key) ?? 0) >= version
          ? Promise.resolve()
          : this.#read(() => {
              this.#knownCustomers.set(key, facts.customerVersion(key));
            }),
      noteBalance: (_environment, customerKey, { productId, ...account }) => {
        this.#balanceChanges += 1;
        this.#balances.set(`${customerKey}|${account.feature}|${account.scope}`, account);
      },
    };
  }

  /** One object as long as nothing of it changes, as in the memory of a real process. */
  #stateOf(key: string): CustomerState {
    const version = this.#knownCustomers.get(key) ?? 0;
    const name = `${key}|${version}|${this.#sharedVersion}|${this.#balanceChanges}`;
    const known = this.#states.get(key);
    if (known?.name === name) return known.state;
    const remembered = [...this.#balances].filter(([account]) => account.startsWith(`${key}|`));
    const accounts = remembered.map(([, account]) => account);
    const state = { ...this.#options.facts.customer(key, version, this.#sharedVersion), accounts };
    this.#states.set(key, { name, state });
    return state;
  }

  #lookup(request: CustomerLookup): CustomerLookupResult {
    const stateOf = (key: string): CustomerState => this.#stateOf(key);
    const known = request.customerKeys.filter((key) => this.#knownCustomers.has(key));
    return {
      customers: new Map(known.map((key) => [key, stateOf(key)])),
      instance: null,
      customersOfUsers: new Map(request.userKeys.map((key) => [key, []])),
      versions: { subjects: Number.POSITIVE_INFINITY, shared: this.#sharedVersion },
      stateOf,
      stateOfNobody: () => null,
    };
  }
}

const DIRECTORY: Directory = {
  product: (idOrKey) => (idOrKey === PRODUCT.id || idOrKey === PRODUCT.key ? PRODUCT : null),
  environment: (idOrKey) => (idOrKey === ENVIRONMENT.id || idOrKey === ENVIRONMENT.key ? ENVIRONMENT : null),
  defaultProduct: () => PRODUCT,
};
