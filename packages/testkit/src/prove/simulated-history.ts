import { checkHistory } from './check-history.js';
import { drawCall, featuresOf, limitScaleOf, type Profile } from './draw-calls.js';
import { type Seeded, seeded } from './seeded.js';
import type { Fate } from './simulated-accounts.js';
import { askOf, type ClientCall, describe, type Heard, refusalOf } from './simulated-clients.js';
import {
  CUSTOMERS,
  type CustomerGrants,
  customerId,
  customerState,
  drawPlanLimits,
  NO_GRANTS,
  NO_SHARED,
  type PlanLimits,
  type SharedGrants,
  snapshotOf,
} from './simulated-installation.js';
import { type Facts, SimulatedProcess } from './simulated-process.js';
import { SimulatedStore, StoreError } from './simulated-store.js';
import { SimulatedTime } from './simulated-time.js';
import { planTrouble } from './simulated-trouble.js';

/*
 * One history: clients with calls that they repeat under the same key until they are answered, 2 to 8 processes that crash and pause, a
 * store that is killed, messages that are lost, doubled and late, and limits that change meanwhile. All of it is drawn from one seed.
 */

export interface HistoryResult {
  readonly violations: readonly string[];
  /** Processes and stores that were killed. */
  readonly kills: number;
  readonly calls: number;
  readonly commits: number;
  /** Of everything that clients and store have seen, in order: the same for the same seed. */
  readonly fingerprint: number;
  readonly trace: readonly string[];
}

const CLIENT_PATIENCE_MILLISECONDS = 1500;
/** When faults end, in milliseconds from the start; then everything must come to an end. */
const LONGEST_HISTORY_MILLISECONDS = 20_000;

export function runHistory(
  seed: number,
  options: { readonly trace?: boolean; readonly profile?: Profile } = {},
): Promise<HistoryResult> {
  return new History(seed, options.profile ?? 'consume', options.trace ?? false).run();
}

export class History {
  readonly time = new SimulatedTime();
  readonly store: SimulatedStore;
  readonly calls: ClientCall[] = [];
  readonly plans = new Map<number, PlanLimits>();
  readonly grants = new Map<string, CustomerGrants>();
  readonly shared = new Map<number, SharedGrants>();
  /** When each revision, and each version of the shared grants, was committed. */
  readonly plansAt = new Map<number, number>();
  readonly sharedAt = new Map<number, number>();
  readonly chance: Seeded;
  readonly profile: Profile;
  readonly processes: SimulatedProcess[] = [];
  /** How far the database's clock is before the time of the history. */
  clockOffset: number;
  kills = 0;
  /** No trouble any more. */
  calm = false;
  readonly #tracing: boolean;
  readonly #trace: string[] = [];
  /** How often a message of the store is lost, and how slow it is. */
  readonly #lossProbability: number;
  readonly #slowness: number;
  /** How often a client's message arrives twice, and how much of a stream goes to any process instead of the first. */
  readonly #doubling: number;
  readonly #elsewhere: number;
  #fingerprint = 0x811c9dc5;

  constructor(seed: number, profile: Profile, tracing: boolean) {
    this.profile = profile;
    const chance = seeded(seed);
    this.chance = chance;
    this.#tracing = tracing;
    const processCount = 2 + chance.below(7);
    this.#lossProbability = chance.pick([0, 0.01, 0.05, 0.15]);
    this.#slowness = chance.pick([0.2, 1, 5]);
    // Behind wrong guesses no other is made for a while: some streams meet few callers beside them, so that many guesses are made.
    [this.#doubling, this.#elsewhere] =
      profile === 'stream' ? [chance.pick([0.01, 0.02, 0.06]), chance.pick([0.01, 0.04, 0.15])] : [0.06, 1];
    // So near to the turn of the hour that most histories cross it.
    this.clockOffset = Date.UTC(2027, 2, 10, 12) - chance.below(profile === 'stream' ? 200 : 4000);
    this.store = new SimulatedStore({
      time: this.time,
      clock: () => Math.floor(this.clockOffset + this.time.now),
      duration: (statement) => this.#duration(statement),
      fault: (statement) => this.#storeFault(statement),
    });
    this.plans.set(1, drawPlanLimits(chance, featuresOf(profile), limitScaleOf(profile)));
    this.shared.set(0, NO_SHARED);
    for (const key of CUSTOMERS) {
      this.store.customerVersions.set(customerId(key), 1);
      this.grants.set(`${key}|1`, NO_GRANTS);
    }
    for (let index = 0; index < processCount; index += 1) this.processes.push(this.start());
  }

  /** The database's clock at an instant of the history; where it is never set back. */
  clockAt(at: number): number {
    return Math.floor(this.clockOffset + at);
  }

  async run(): Promise<HistoryResult> {
    this.#planCalls();
    planTrouble(this);
    const answered = () => this.calls.every((call) => call.settled);
    await this.time.run(answered, LONGEST_HISTORY_MILLISECONDS);
    this.#heal();
    await this.time.run(answered, this.time.now + LONGEST_HISTORY_MILLISECONDS);
    for (const call of this.calls) if (this.chance.chance(0.4)) this.#attempt(call, 0);
    // A call that nobody ever answers is asked for ever.
    await this.time.run(undefined, this.time.now + LONGEST_HISTORY_MILLISECONDS);
    const violations = [...checkHistory(this), ...this.#leftovers()];
    return {
      violations,
      kills: this.kills,
      calls: this.calls.length,
      commits: this.store.commits.length,
      fingerprint: this.#fingerprint >>> 0,
      trace: this.#trace,
    };
  }

  /** What nobody can tell from outside: what the store was wrongly asked for, lanes that never end, and locks that nobody gives back. */
  #leftovers(): readonly string[] {
    const violations: string[] = [...this.store.faults];
    if (this.processes.some((one) => one.alive && !one.idle)) violations.push('A lane is still at work.');
    if (this.store.locks.size > 0) violations.push(`Locks are left: ${[...this.store.locks.keys()]}.`);
    return violations;
  }

  note(line: string): void {
    const text = `${this.time.now.toFixed(3)} ${line}`;
    for (let index = 0; index < text.length; index += 1) {
      this.#fingerprint = Math.imul(this.#fingerprint ^ text.charCodeAt(index), 0x01000193);
    }
    if (this.#tracing) this.#trace.push(text);
  }

  /** A process that is new, or comes back. */
  start(): SimulatedProcess {
    const chance = this.chance;
    return new SimulatedProcess({
      store: this.store,
      facts: this.#facts(),
      delay: () => 0.05 + chance.draw() * 0.3 * this.#slowness + this.#hiccup(),
      fate: () => this.#fate(),
      skewMilliseconds: chance.below(10_000) - 5000,
    });
  }

  #facts(): Facts {
    return {
      snapshot: (revision) => snapshotOf(revision, this.plans.get(revision) ?? {}),
      customer: (key, version, sharedVersion) =>
        customerState(
          key,
          version,
          this.grants.get(`${key}|${version}`) ?? NO_GRANTS,
          this.shared.get(sharedVersion) ?? NO_SHARED,
        ),
      customerVersion: (key) => this.store.customerVersions.get(customerId(key)) ?? 0,
    };
  }

  /** Now and then something takes so long that deadlines and timeouts pass. */
  #hiccup(): number {
    return !this.calm && this.chance.chance(0.005 * this.#slowness) ? this.chance.between(100, 1500) : 0;
  }

  #fate(): Fate {
    if (this.calm || !this.chance.chance(this.#lossProbability)) return 'answered';
    return this.chance.chance(0.5) ? 'lost-request' : 'lost-reply';
  }

  #duration(statement: string): number {
    const most = statement === 'commit' ? 2 : 0.2;
    return 0.02 + this.chance.draw() * most * this.#slowness + this.#hiccup();
  }

  #storeFault(statement: string): StoreError | null {
    if (this.calm || !this.chance.chance(0.003)) return null;
    switch (statement) {
      case 'customer-lock':
      case 'account-lock':
        return new StoreError('40P01', 'deadlock detected');
      case 'consumption-copy':
        return this.chance.chance(0.5)
          ? new StoreError('23514', 'new row violates partition constraint')
          : new StoreError('53100', 'could not extend file: no space left on device');
      default:
        return null;
    }
  }

  /* Clients. */

  #planCalls(): void {
    const chance = this.chance;
    const stream = this.profile === 'stream';
    const count = stream ? 50 + chance.below(90) : 6 + chance.below(30);
    const span = chance.pick(stream ? [20, 60, 150] : [5, 200, 3000]);
    for (let index = 0; index < count; index += 1) {
      const sentAt = chance.draw() * span;
      const call = drawCall(chance, this.profile, index, sentAt);
      this.calls.push(call);
      this.time.after(sentAt, () => this.#attempt(call, 0));
      if (chance.chance(0.05)) this.#misuse(call);
    }
  }

  /** Whoever was given a hold ends it: once or several times, at once or about when it ends by itself. */
  #endHold(call: ClientCall, heard: Heard): void {
    const reservation = heard.kind === 'answer' ? heard.answer.decisions[0]?.reservation : undefined;
    const [item] = call.items;
    if (call.settled || reservation === undefined || item === undefined) return;
    const chance = this.chance;
    const ends = this.store.options.clock();
    for (let count = chance.below(4); count > 0; count -= 1) {
      const wait = chance.chance(0.5)
        ? chance.draw() * 20
        : Math.max(0, reservation.expiresAt - ends + chance.between(-10, 10));
      const end: ClientCall = {
        ...call,
        operation: chance.chance(0.6) ? 'settle' : 'release-hold',
        mode: 'all',
        items: [{ key: item.key, amount: chance.below(reservation.amount + 3) }],
        holdId: reservation.id,
        idempotencyKey: `${call.idempotencyKey}-end-${count}`,
        sentAt: this.time.now + wait,
        heard: [],
        settled: false,
      };
      this.calls.push(end);
      this.time.after(wait, () => this.#attempt(end, 0));
    }
  }

  /** The same key under another body, at about the same time. */
  #misuse(call: ClientCall): void {
    const sentAt = call.sentAt + this.chance.between(-3, 30);
    const items = call.items.map(({ key, amount }) => ({ key, amount: amount + 10 }));
    const other = { ...call, items, sentAt: Math.max(0, sentAt), heard: [], misused: true };
    this.calls.push(other);
    this.time.after(other.sentAt, () => this.#attempt(other, 0));
  }

  #attempt(call: ClientCall, attempt: number): void {
    const chance = this.chance;
    let waiting = true;
    const again = (milliseconds: number): void => {
      this.time.after(milliseconds, () => {
        if (waiting) {
          waiting = false;
          if (!call.settled) this.#attempt(call, attempt + 1);
        }
      });
    };
    again(CLIENT_PATIENCE_MILLISECONDS);
    const copies = !this.calm && chance.chance(this.#doubling) ? 2 : 1;
    for (let copy = 0; copy < copies; copy += 1) {
      if (!this.calm && chance.chance(0.03)) continue;
      const process = this.#pickProcess();
      this.time.after(this.#messageDelay(), () => {
        if (!process.alive) {
          again(20);
          return;
        }
        process.deliver(() => {
          void askOf(process, call).then(
            (answer) => this.#reply(process, call, { kind: 'answer', at: 0, answer }, again),
            (error: unknown) => this.#reply(process, call, refusalOf(error), again),
          );
        });
      });
    }
  }

  /** Most of a stream goes to one process. */
  #pickProcess(): SimulatedProcess {
    const { chance, processes } = this;
    const [first] = processes;
    return first === undefined || chance.chance(this.#elsewhere) ? chance.pick(processes) : first;
  }

  #messageDelay(): number {
    const late = !this.calm && this.chance.chance(0.05) ? this.chance.between(10, 2500) : 0;
    return 0.1 + this.chance.draw() * 2 + late;
  }

  /** `null`: the outcome is unknown, and the same key asks again. */
  #reply(
    process: SimulatedProcess,
    call: ClientCall,
    heard: Heard | null,
    again: (milliseconds: number) => void,
  ): void {
    if (!process.alive) return;
    if (!this.calm && this.chance.chance(0.03)) return;
    this.time.after(this.#messageDelay(), () => {
      if (heard === null) {
        this.note(`${call.idempotencyKey} unknown`);
        again(5 + this.chance.draw() * 50);
        return;
      }
      this.note(`${call.idempotencyKey} ${describe(heard)}`);
      call.heard.push({ ...heard, at: this.time.now });
      if (call.operation === 'reserve') this.#endHold(call, heard);
      call.settled = true;
    });
  }

  #heal(): void {
    this.calm = true;
    this.store.up = true;
    for (const [index, process] of this.processes.entries()) {
      process.goOn();
      if (!process.alive) this.processes[index] = this.start();
    }
  }
}
