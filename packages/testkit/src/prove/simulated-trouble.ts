import type { CreditLot } from '@pennon/engine/model/customer';
import { DEFAULT_LOT_PRIORITY } from '@pennon/engine/model/limits';
import type { AccountKey } from '@pennon/server/store/account-transaction';
import { featuresOf, limitScaleOf } from './draw-calls.js';
import { makeLot, voidLot } from './simulated-credits.js';
import type { History } from './simulated-history.js';
import {
  CUSTOMERS,
  customerId,
  drawGrants,
  drawPlanLimits,
  drawShared,
  NO_GRANTS,
} from './simulated-installation.js';
import { BEGIN, COMMIT, raiseCustomer } from './simulated-statements.js';
import type { Statement } from './simulated-store.js';

/* What befalls the processes, the store and the customers of a simulated history while its clients call. */

const SPAN_MILLISECONDS = 3000;
const STREAM_MILLISECONDS = 150;
const HOUR_MILLISECONDS = 3_600_000;

export function planTrouble(history: History): void {
  new Trouble(history).plan();
}

class Trouble {
  readonly #history: History;
  #lots = 0;

  constructor(history: History) {
    this.#history = history;
  }

  plan(): void {
    const { chance, profile, time, processes } = this.#history;
    // A stream is over soon, and what is to befall it must do so while it flows.
    const span = profile === 'stream' ? STREAM_MILLISECONDS : SPAN_MILLISECONDS;
    const plan = (count: number, act: () => void): void => {
      for (let index = 0; index < count; index += 1) time.after(chance.draw() * span, act);
    };
    const often = profile === 'stream' ? 4 : 1;
    plan(often * chance.below(5), () => this.#publish());
    plan(often * chance.below(4), () => this.#changeCustomer());
    plan(often * chance.below(4), () => this.#changeShared());
    plan(chance.below(4), () => this.#killProcess());
    plan(chance.below(3), () => this.#pauseProcess());
    if (chance.chance(0.2)) plan(1, () => this.#killStore());
    if (profile === 'reservations') plan(chance.below(8), () => this.#sweep());
    else if (profile === 'credits') this.#planCredits(plan);
    else if (chance.chance(0.25)) plan(1, () => this.#setClockBack());
    for (let at = 100; at < SPAN_MILLISECONDS; at += 500) {
      time.after(at, () => {
        for (const process of processes) if (chance.chance(0.5)) process.hearOfChanges();
      });
    }
  }

  #planCredits(plan: (count: number, act: () => void) => void): void {
    const { chance } = this.#history;
    plan(1 + chance.below(6), () => this.#topUp());
    plan(chance.below(4), () => this.#voidLot());
    if (chance.chance(0.5)) plan(1 + chance.below(2), () => this.#passHours());
  }

  #publish(): void {
    const { store, chance, plans, plansAt, time, calm, profile } = this.#history;
    if (calm) return;
    const revision = store.revision + 1;
    plans.set(revision, drawPlanLimits(chance, featuresOf(profile), limitScaleOf(profile)));
    plansAt.set(revision, time.now);
    store.revision = revision;
    this.#history.note(`revision ${revision}`);
  }

  #changeCustomer(): void {
    const { store, chance, calm, profile } = this.#history;
    if (calm || !store.up) return;
    const key = chance.pick(CUSTOMERS);
    const grants = drawGrants(chance, featuresOf(profile), limitScaleOf(profile));
    const raise = raiseCustomer(customerId(key), (version) => {
      this.#history.grants.set(`${key}|${version}`, grants);
      this.#history.note(`${key} version ${version}`);
    });
    this.#once([BEGIN, raise, COMMIT]);
  }

  #topUp(): void {
    const { store, chance, calm } = this.#history;
    if (calm || !store.up) return;
    const key = chance.chance(0.8) ? CUSTOMERS[0] : CUSTOMERS[1];
    const now = store.options.clock();
    this.#lots += 1;
    const amount = 1 + chance.below(9);
    const lot: CreditLot = {
      id: `lot-${this.#lots}`,
      kind: chance.chance(0.4) ? 'promotional' : 'topup',
      priority: DEFAULT_LOT_PRIORITY,
      amount,
      remaining: amount,
      createdAt: now + this.#lots / 1000,
      startsAt: now + (chance.chance(0.2) ? chance.below(1000) : 0),
      endsAt: chance.chance(0.4)
        ? null
        : now + 1000 + chance.below(chance.chance(0.7) ? 2000 : HOUR_MILLISECONDS),
    };
    const account: AccountKey = { feature: chance.chance(0.7) ? 'calls' : 'minutes', scope: '' };
    const keep = this.#keepGrants(key, `with a lot of ${amount}`);
    this.#once(makeLot(customerId(key), account, lot, keep));
  }

  /** Any that is there, rolled over or not; one that is over by then stays as it is. */
  #voidLot(): void {
    const { store, chance, calm } = this.#history;
    const open = [...store.lots].filter(([, { closed }]) => !closed);
    if (calm || !store.up || open.length === 0) return;
    const [id, { customerId: whose, account }] = chance.pick(open);
    const key = CUSTOMERS.find((one) => customerId(one) === whose) ?? '';
    this.#once(voidLot(whose, account, id, this.#keepGrants(key, 'with a lot less')));
  }

  /** A change of the customer that leaves its grants. */
  #keepGrants(key: string, what: string): (version: number) => void {
    const { grants } = this.#history;
    return (version) => {
      grants.set(`${key}|${version}`, grants.get(`${key}|${version - 1}`) ?? NO_GRANTS);
      this.#history.note(`${key} version ${version} ${what}`);
    };
  }

  #once(statements: readonly Statement[]): void {
    const session = this.#history.store.open();
    session.run(statements, () => session.leave());
  }

  #changeShared(): void {
    const { store, chance, shared, sharedAt, time, calm, profile } = this.#history;
    if (calm) return;
    const version = store.sharedVersion + 1;
    shared.set(version, drawShared(chance, featuresOf(profile)));
    sharedAt.set(version, time.now);
    store.sharedVersion = version;
    this.#history.note(`shared ${version}`);
  }

  #killProcess(): void {
    const { chance, processes, time, calm } = this.#history;
    if (calm) return;
    const index = chance.below(processes.length);
    processes[index]?.crash();
    this.#history.kills += 1;
    this.#history.note(`process ${index} killed`);
    time.after(chance.between(1, 400), () => {
      processes[index] = this.#history.start();
    });
  }

  #pauseProcess(): void {
    const { chance, processes, time, calm } = this.#history;
    if (calm) return;
    const process = chance.pick(processes);
    process.pause();
    time.after(chance.between(5, 3000), () => process.goOn());
  }

  #killStore(): void {
    const { store, chance, time, calm } = this.#history;
    if (calm) return;
    store.crash();
    this.#history.kills += 1;
    this.#history.note('store killed');
    time.after(chance.between(50, 1500), () => {
      store.up = true;
    });
  }

  #sweep(): void {
    const { chance, processes, store } = this.#history;
    const process = chance.pick(processes);
    const id = customerId(CUSTOMERS[0]);
    const accounts = [...store.accounts].filter(([row]) => row.startsWith(`${id}|`));
    const ended = accounts.map(([, { feature, scope }]) => ({ feature, scope }));
    if (process.alive) process.deliver(() => void process.sweep(id, ended).catch(() => undefined));
  }

  /** A replica with a slower clock took over, for example. */
  #setClockBack(): void {
    if (this.#history.calm) return;
    this.#history.clockOffset -= this.#history.chance.between(500, 6000);
    this.#history.note('clock set back');
  }

  /** Nobody has called for some hours: periods are over that nobody closed. */
  #passHours(): void {
    if (this.#history.calm) return;
    this.#history.clockOffset += this.#history.chance.pick([1, 1, 2, 3]) * HOUR_MILLISECONDS;
    this.#history.note('hours later');
  }
}
