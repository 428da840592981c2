import type { AccountKey } from '@pennon/server/store/account-transaction';
import type { Accounts } from '@pennon/server/store/accounts';
import { Parties, sayAccount } from './interleaving-parties.js';
import { PARTIES, type Party } from './interleaving-script.js';
import { simulatedAccounts } from './simulated-accounts.js';
import { BEGIN, COMMIT, insertAccounts, lockAccounts, raiseCustomer } from './simulated-statements.js';
import { type SimulatedSession, SimulatedStore } from './simulated-store.js';
import { SimulatedTime } from './simulated-time.js';

/** On the simulated store. */
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
    // Whatever is sent in one go is on its way before any of it arrives.
    await new Promise((resolve) => setImmediate(resolve));
    await this.#time.run(undefined, this.#time.now + 2);
    this.#time.after(0, () => undefined);
    await this.#time.run(undefined, this.#time.now + 2);
  }

  async stored(): Promise<string> {
    const { accounts, periods, consumptions, hours, customerVersions } = this.#store;
    return JSON.stringify({
      versions: [0, 1].map((customer) => customerVersions.get(`customer-${customer}`)),
      accounts: [...accounts].map(([row, account]) => `${row.slice(0, 10)} ${sayAccount(account)}`).sort(),
      periods: [...periods].map(([row, account]) => `${row.slice(0, 10)} ${sayAccount(account)}`).sort(),
      rows: consumptions.map((row) => `${row.customerId} ${row.id} ${row.item} ${row.usedAfter}`).sort(),
      hours: [...hours].map(([row, amount]) => `${row} ${amount}`).sort(),
    });
  }

  async close(): Promise<void> {}
}
