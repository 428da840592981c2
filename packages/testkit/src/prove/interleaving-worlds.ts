import type { AccountKey, AccountTransaction, LockedAccount } from '@pennon/server/store/account-transaction';
import { type Accounts, openAccounts } from '@pennon/server/store/accounts';
import pg from 'pg';
import {
  type Other,
  PARTIES,
  type Party,
  type Standing,
  type Step,
  sayError,
  sayFrame,
  writeOf,
} from './interleaving-script.js';
import { simulatedAccounts } from './simulated-accounts.js';
import {
  BEGIN,
  COMMIT,
  insertAccounts,
  lockAccounts,
  raiseCustomer,
  type SimulatedSession,
  SimulatedStore,
} from './simulated-store.js';
import { SimulatedTime } from './simulated-time.js';

/* One script in two worlds: on the simulated store, and on PostgreSQL through the adapter that servers use. */

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

/** What both worlds keep in mind of their parties. */
abstract class Parties implements World {
  readonly faults: string[] = [];
  protected readonly open = new Map<Party, AccountTransaction>();
  protected readonly waiting = new Set<Party>();
  protected readonly busy = new Set<Other>();
  protected holding = false;
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
      case 'commit':
      case 'rollback':
        return this.#end(step);
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
    const free = PARTIES.filter((party) => !open.has(party) && !waiting.has(party));
    return { free, open: [...open.keys()].sort(), waiting: [...waiting].sort(), holding, busy };
  }

  #begin(step: Step & { readonly do: 'begin' }): void {
    const { party } = step;
    this.waiting.add(party);
    const request = {
      ...this.idsOf(step.customer),
      accounts: step.accounts,
      idempotencyKeys: step.keys,
      reservationIds: [],
      holders: [],
    };
    this.accountsOf(party)
      .begin(request)
      .then(
        (transaction) => {
          this.waiting.delete(party);
          this.open.set(party, transaction);
          this.frameRead(party, transaction.frame.now);
          this.tell(`${party} reads ${sayFrame(transaction.frame)}`);
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
    const ended =
      step.do === 'rollback'
        ? transaction.rollback()
        : transaction.commit(writeOf(transaction.frame, step.plan));
    ended.then(
      () => {
        this.waiting.delete(party);
        this.tell(`${party} has ended: ${step.do}`);
      },
      (error: unknown) => {
        this.waiting.delete(party);
        this.tell(`${party} cannot ${step.do}: ${sayError(error)}`);
      },
    );
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

export class SimulatedWorld extends Parties {
  readonly #time = new SimulatedTime();
  readonly #store: SimulatedStore;
  readonly #accounts = new Map<Party, Accounts>();
  readonly #sessions = new Map<Party, SimulatedSession>();
  #holder: SimulatedSession | null = null;

  constructor(revision: number, sharedVersion: number) {
    super();
    this.#store = new SimulatedStore({
      time: this.#time,
      clock: () => Date.UTC(2027, 0, 1) + this.#time.now,
      duration: () => 0.01,
    });
    this.#store.revision = revision;
    this.#store.sharedVersion = sharedVersion;
    for (const customer of [0, 1]) this.#store.customerVersions.set(`customer-${customer}`, 1);
    for (const party of PARTIES) {
      const wire = {
        delay: () => 0.01,
        fate: () => 'answered' as const,
        deliver: (act: () => void) => act(),
        connected: (session: SimulatedSession) => void this.#sessions.set(party, session),
      };
      this.#accounts.set(party, simulatedAccounts(this.#store, wire));
    }
  }

  protected accountsOf(party: Party): Accounts {
    const accounts = this.#accounts.get(party);
    if (accounts === undefined) throw new Error(`Nobody is ${party}.`);
    return accounts;
  }

  protected idsOf(customer: number) {
    return { environmentId: 'environment', productId: 'product', customerId: `customer-${customer}` };
  }

  protected async kill(party: Party): Promise<void> {
    this.#sessions.get(party)?.terminate(Object.assign(new Error('killed'), { code: '57P01' }));
    this.open
      .get(party)
      ?.rollback()
      .catch(() => undefined);
    this.open.delete(party);
  }

  protected change(customer: number): Promise<void> {
    return this.#once([BEGIN, raiseCustomer(`customer-${customer}`), COMMIT]);
  }

  protected hold(customer: number, accounts: readonly AccountKey[]): Promise<void> {
    const id = `customer-${customer}`;
    return this.#once([insertAccounts(id, accounts), BEGIN, lockAccounts(id, accounts)], (session) => {
      this.#holder = session;
      session.idleMilliseconds = null;
    });
  }

  protected letGo(): Promise<void> {
    const holder = this.#holder;
    return new Promise((resolve) => {
      if (holder === null) resolve();
      else holder.run([COMMIT], () => resolve());
    });
  }

  #once(
    statements: Parameters<SimulatedSession['run']>[0],
    prepare: (session: SimulatedSession) => void = () => {},
  ): Promise<void> {
    const session = this.#store.open();
    prepare(session);
    return new Promise((resolve, reject) => {
      session.run(statements, (outcome) => (outcome.ok ? resolve() : reject(outcome.error)));
    });
  }

  protected async publish(): Promise<void> {
    this.#store.revision += 1;
  }

  protected async share(): Promise<void> {
    this.#store.sharedVersion += 1;
  }

  protected async wait(): Promise<void> {
    await this.#time.run(undefined, this.#time.now + 1200);
    this.#time.now += 1;
  }

  protected async quiet(): Promise<void> {
    await this.#time.run(undefined, this.#time.now + 2);
    this.#time.after(0, () => undefined);
    await this.#time.run(undefined, this.#time.now + 2);
  }

  async stored(): Promise<string> {
    const { accounts, periods, consumptions, customerVersions } = this.#store;
    return JSON.stringify({
      versions: [0, 1].map((customer) => customerVersions.get(`customer-${customer}`)),
      accounts: [...accounts].map(([row, account]) => `${row.slice(0, 10)} ${sayAccount(account)}`).sort(),
      periods: [...periods].map(([row, account]) => `${row.slice(0, 10)} ${sayAccount(account)}`).sort(),
      rows: consumptions.map((row) => `${row.customerId} ${row.id} ${row.item} ${row.usedAfter}`).sort(),
    });
  }

  async close(): Promise<void> {}
}

function sayAccount({
  feature,
  scope,
  used,
  periodStart,
}: Pick<LockedAccount, 'feature' | 'scope' | 'used' | 'periodStart'>) {
  return `${feature} ${scope} ${used} ${periodStart}`;
}

/** Sessions of the script that are no consume give up as those of consume do. */
const OTHER_SESSION = 'set lock_timeout = 800';
const PATIENCE_MILLISECONDS = 5000;

/** Connections of one run of many scripts. */
export interface RealDatabase {
  readonly url: string;
  readonly environmentId: string;
  readonly productId: string;
  readonly accounts: ReadonlyMap<Party, Accounts>;
  readonly monitor: pg.Client;
  readonly changer: pg.Client;
  readonly holder: pg.Client;
}

/** Each party is a role of its own: so the database itself tells who waits. */
export function roleOf(party: Party): string {
  return `script_${party.toLowerCase()}`;
}

function urlOf(url: string, party: Party): string {
  const own = new URL(url);
  own.username = roleOf(party);
  return own.href;
}

export async function openRealDatabase(
  url: string,
  ids: { readonly environmentId: string; readonly productId: string },
): Promise<RealDatabase> {
  const [monitor, changer, holder] = await Promise.all(
    ['monitor', 'changer', 'holder'].map(async (name) => {
      const client = new pg.Client({ connectionString: url, application_name: `script ${name}` });
      await client.connect();
      return client;
    }),
  );
  if (monitor === undefined || changer === undefined || holder === undefined) {
    throw new Error('The connections of the scripts could not be made.');
  }
  await changer.query(OTHER_SESSION);
  await holder.query(OTHER_SESSION);
  const accounts = new Map(
    PARTIES.map((party) => [
      party,
      openAccounts({
        connectionString: urlOf(url, party),
        maxConnections: 1,
        onConnectionLost: () => undefined,
      }),
    ]),
  );
  return { url, ...ids, accounts, monitor, changer, holder };
}

export async function closeRealDatabase(real: RealDatabase): Promise<void> {
  await Promise.all([
    ...[...real.accounts.values()].map((accounts) => accounts.close()),
    real.monitor.end(),
    real.changer.end(),
    real.holder.end(),
  ]);
}

/** On PostgreSQL, through `openAccounts`: the very statements of servers. */
export class RealWorld extends Parties {
  readonly #real: RealDatabase;
  readonly #customers: readonly string[];
  /** The database's clock before the step that is under way. */
  #stepAt = 0;

  private constructor(real: RealDatabase, customers: readonly string[]) {
    super();
    this.#real = real;
    this.#customers = customers;
  }

  /** With customers that nobody has used. */
  static async begin(real: RealDatabase, customers: readonly string[]): Promise<RealWorld> {
    for (const customer of customers) {
      await real.monitor.query(
        `insert into customer (id, environment_id, key, attributes, version, created_at)
         values ($1::uuid, $2, $1::uuid::text, '{}', 1, clock_timestamp())`,
        [customer, real.environmentId],
      );
    }
    return new RealWorld(real, customers);
  }

  override async start(step: Step): Promise<void> {
    this.#stepAt = await this.#clock();
    await super.start(step);
  }

  async #clock(): Promise<number> {
    const { rows } = await this.#real.monitor.query(
      'select floor(extract(epoch from clock_timestamp()) * 1000)::bigint as now',
    );
    return Number(rows[0]?.now);
  }

  /** Whoever waited for a lock was let through by this step, so that its frame is at least as new as the step. */
  protected override frameRead(party: Party, now: number): void {
    if (now < this.#stepAt) {
      this.faults.push(`${party} read its clock ${this.#stepAt - now} ms before it held its locks.`);
    }
  }

  protected accountsOf(party: Party): Accounts {
    const accounts = this.#real.accounts.get(party);
    if (accounts === undefined) throw new Error(`Nobody is ${party}.`);
    return accounts;
  }

  protected idsOf(customer: number) {
    const { environmentId, productId } = this.#real;
    return { environmentId, productId, customerId: this.#customers[customer] ?? '' };
  }

  protected async kill(party: Party): Promise<void> {
    await this.#real.monitor.query(
      'select pg_terminate_backend(pid, 5000) from pg_stat_activity where usename = $1',
      [roleOf(party)],
    );
    const transaction = this.open.get(party);
    this.open.delete(party);
    await transaction?.rollback().catch(() => undefined);
  }

  protected async change(customer: number): Promise<void> {
    await this.#real.changer.query('update customer set version = version + 1 where id = $1', [
      this.#customers[customer],
    ]);
  }

  protected async hold(customer: number, accounts: readonly AccountKey[]): Promise<void> {
    const { holder } = this.#real;
    const { environmentId, productId, customerId } = this.idsOf(customer);
    const features = accounts.map((account) => account.feature);
    const scopes = accounts.map((account) => account.scope);
    await holder.query(
      `insert into account (customer_id, product_id, feature, scope, environment_id, used, reserved, updated_at)
       select $1, $2, n.feature, n.scope, $3, 0, 0, clock_timestamp()
       from unnest($4::text[], $5::text[]) as n (feature, scope) on conflict do nothing`,
      [customerId, productId, environmentId, features, scopes],
    );
    await holder.query('begin');
    try {
      await holder.query(
        `select 1 from account where customer_id = $1 and product_id = $2
         and (feature, scope) in (select * from unnest($3::text[], $4::text[]))
         order by feature, scope for update`,
        [customerId, productId, features, scopes],
      );
    } catch (error) {
      await holder.query('rollback');
      throw error;
    }
  }

  protected async letGo(): Promise<void> {
    await this.#real.holder.query('commit');
  }

  protected async publish(): Promise<void> {
    await this.#real.monitor.query('update environment_revision set revision = revision + 1');
  }

  protected async share(): Promise<void> {
    await this.#real.monitor.query('update environment set shared_version = shared_version + 1');
  }

  protected async wait(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, 1200));
  }

  /** INVARIANT: `pg_locks` tells the truth at once: a lock is granted by whoever gives it up, before anybody hears of that. */
  protected async quiet(): Promise<void> {
    const deadline = performance.now() + PATIENCE_MILLISECONDS;
    while (this.waiting.size > 0 || this.busy.size > 0) {
      // Whoever ends while this is asked may let others through that the answer still calls waiting.
      const [waiting, busy] = [[...this.waiting], [...this.busy]];
      const { rows } = await this.#real.monitor.query(
        `select a.usename as role, a.application_name as name from pg_locks l join pg_stat_activity a using (pid) where not granted`,
      );
      await new Promise((resolve) => setImmediate(resolve));
      const roles = new Set(rows.map((row) => String(row.role)));
      const names = new Set(rows.map((row) => String(row.name)));
      const blocked =
        waiting.every((party) => roles.has(roleOf(party))) &&
        busy.every((name) => names.has(`script ${name}`));
      if (blocked) return;
      if (performance.now() > deadline) {
        this.faults.push(`Nobody knows what ${[...this.waiting, ...this.busy].join(', ')} wait for.`);
        return;
      }
    }
  }

  async stored(): Promise<string> {
    const { monitor } = this.#real;
    const ids = this.#customers;
    const number = (id: string) => `customer-${ids.indexOf(id)}`;
    const milliseconds = 'floor(extract(epoch from period_start) * 1000)::bigint as start';
    const customers = await monitor.query('select id, version from customer where id = any($1)', [ids]);
    const versions = new Map(customers.rows.map((row) => [row.id, Number(row.version)]));
    const read = async (table: string) => {
      const { rows } = await monitor.query(
        `select customer_id, feature, scope, used, ${milliseconds} from ${table} where customer_id = any($1)`,
        [ids],
      );
      return rows
        .map(({ customer_id, feature, scope, used, start }) => {
          const periodStart = start === null ? null : Number(start);
          return `${number(customer_id)} ${sayAccount({ feature, scope, used: Number(used), periodStart })}`;
        })
        .sort();
    };
    const { rows } = await monitor.query(
      'select customer_id, id, item, used_after from consumption where customer_id = any($1)',
      [ids],
    );
    return JSON.stringify({
      versions: ids.map((id) => versions.get(id)),
      accounts: await read('account'),
      periods: await read('account_period'),
      rows: rows.map((row) => `${number(row.customer_id)} ${row.id} ${row.item} ${row.used_after}`).sort(),
    });
  }

  /** Nothing of a script is left to the next one. */
  async close(): Promise<void> {
    await this.#real.holder.query('rollback').catch(() => undefined);
    const deadline = performance.now() + PATIENCE_MILLISECONDS;
    while (this.waiting.size + this.busy.size + this.open.size > 0 && performance.now() < deadline) {
      const transactions = [...this.open.values()];
      this.open.clear();
      await Promise.all(transactions.map((transaction) => transaction.rollback().catch(() => undefined)));
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }
}
