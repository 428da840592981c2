import type { AccountKey } from '@pennon/server/store/account-transaction';
import { type Accounts, openAccounts } from '@pennon/server/store/accounts';
import pg from 'pg';
import { Parties, sayAccount } from './interleaving-parties.js';
import { PARTIES, type Party, type Step } from './interleaving-script.js';

/** Sessions of the script that are no consume give up as those of consume do. */
const OTHER_SESSION = 'set lock_timeout = 800';
const PATIENCE_MILLISECONDS = 5000;

/** Sessions at work, and which of them wait for a lock. What they do is read before their locks are. */
const ACTIVE = `
select a.usename as role, a.application_name as name,
  exists (select from pg_locks l where l.pid = a.pid and not l.granted) as waits
from pg_stat_activity a
where a.state = 'active' and a.pid <> pg_backend_pid() and a.datname = current_database() and a.backend_type = 'client backend'`;

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

  /**
   * INVARIANT: `pg_locks` tells the truth at once: a lock is granted by whoever gives it up, before anybody hears of that. Only of a failure the
   * client hears a moment before: so whoever is at work still, and does not wait, is waited for.
   */
  protected async quiet(): Promise<void> {
    const deadline = performance.now() + PATIENCE_MILLISECONDS;
    while (this.waiting.size > 0 || this.busy.size > 0) {
      // Whoever ends while this is asked may let others through that the answer still calls waiting.
      const [waiting, busy] = [[...this.waiting], [...this.busy]];
      const { rows } = await this.#real.monitor.query(ACTIVE);
      await new Promise((resolve) => setImmediate(resolve));
      const blockedOnes = rows.filter((row) => row.waits);
      const roles = new Set(blockedOnes.map((row) => String(row.role)));
      const names = new Set(blockedOnes.map((row) => String(row.name)));
      const blocked =
        blockedOnes.length === rows.length &&
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
    const hours = await monitor.query(
      `select customer_id, feature, scope, sum(amount) as amount from usage_hour where customer_id = any($1)
       group by customer_id, feature, scope`,
      [ids],
    );
    return JSON.stringify({
      versions: ids.map((id) => versions.get(id)),
      accounts: await read('account'),
      periods: await read('account_period'),
      rows: rows.map((row) => `${number(row.customer_id)} ${row.id} ${row.item} ${row.used_after}`).sort(),
      hours: hours.rows
        .map((row) => `${number(row.customer_id)}|${row.feature}|${row.scope} ${row.amount}`)
        .sort(),
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
