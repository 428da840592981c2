import type pg from 'pg';
import type { MadeLot } from './check-lots.js';
import { type Acknowledged, checkRealHistory, type LimitChange, type Told } from './check-real-history.js';
import type { Phase } from './kill-phases.js';
import type { OwnDatabase } from './own-database.js';
import { callSurely, type RealCall, type RealEvent, tellSurely } from './real-client.js';
import type { RealFeature } from './real-installation.js';
import type { ProcessPool } from './real-processes.js';
import { buyCredits, changeLimits, killDatabase, killProcesses } from './real-trouble.js';
import { type Seeded, seeded } from './seeded.js';

/*
 * One real history: a customer of its own, clients that call for it, and somebody who kills. In the end every answer that a client has
 * must stand in the tables, every repetition must be answered alike, and no limit may be exceeded.
 */

export interface RealHistorySurroundings {
  readonly database: OwnDatabase;
  readonly processes: ProcessPool;
  readonly tables: pg.Pool;
  /** `kill -9` of processes in each history. */
  readonly killsEach: number;
  /** The database itself is killed too. */
  readonly killsDatabase: boolean;
}

export interface RealHistoryResult {
  readonly violations: readonly string[];
  readonly calls: number;
  readonly events: number;
  readonly lots: number;
  readonly replays: number;
  /** What the processes that were killed were in the middle of. */
  readonly phases: Readonly<Record<Phase, number>>;
}

const REPLAYS = 10;

export async function runRealHistory(
  seed: number,
  surroundings: RealHistorySurroundings,
): Promise<RealHistoryResult> {
  return new RealHistory(seed, surroundings).run();
}

class RealHistory {
  readonly #seed: number;
  readonly #chance: Seeded;
  readonly #surroundings: RealHistorySurroundings;
  readonly #customer: string;
  /** Events are told of it only, in the same batches. */
  readonly #other: string;
  readonly #acknowledged: Acknowledged[] = [];
  readonly #told: Told[] = [];
  readonly #events: RealEvent[] = [];
  readonly #changes: LimitChange[] = [];
  readonly #lots: MadeLot[] = [];
  readonly #violations: string[] = [];
  readonly #phases: Record<Phase, number> = { idle: 0, lock: 0, decide: 0, commit: 0 };
  #drawn = 0;
  #troubled = true;

  constructor(seed: number, surroundings: RealHistorySurroundings) {
    this.#seed = seed;
    this.#chance = seeded(seed);
    this.#surroundings = surroundings;
    this.#customer = `customer-${seed}-${Date.now().toString(36)}`;
    this.#other = `${this.#customer}-other`;
  }

  async run(): Promise<RealHistoryResult> {
    const { tables } = this.#surroundings;
    await this.#register();
    const trouble = this.#makeTrouble();
    await Promise.all(Array.from({ length: 8 + this.#chance.below(9) }, () => this.#beClient()));
    await trouble;
    const replays = await this.#replay();
    for (const customer of [this.#customer, this.#other]) {
      this.#violations.push(
        ...(await checkRealHistory(tables, customer, {
          acknowledged: this.#acknowledged.filter(({ call }) => call.customer === customer),
          told: this.#told.filter(({ event }) => event.customer === customer),
          changes: this.#changes,
          lots: this.#lots,
        })),
      );
    }
    return {
      violations: this.#violations,
      calls: this.#acknowledged.length,
      events: this.#events.length,
      lots: this.#lots.length,
      replays,
      phases: this.#phases,
    };
  }

  /** The first consumption registers the customer; nobody can give back or be granted anything before. */
  async #register(): Promise<void> {
    const call: RealCall = {
      operation: 'consume',
      customer: this.#customer,
      idempotencyKey: `${this.#customer}-first`,
      body: { key: 'calls', amount: 1, mode: 'all' },
    };
    this.#acknowledged.push({
      call,
      answer: await callSurely(this.#surroundings.processes, this.#chance, call),
    });
  }

  async #makeTrouble(): Promise<void> {
    const { processes, tables, database, killsEach, killsDatabase } = this.#surroundings;
    // Drawn apart, so that which trouble there is does not hang on which answer came first.
    const [kills, limits, credits, crash] = [1, 2, 3, 4].map((part) => seeded(this.#seed * 8 + part));
    if (kills === undefined || limits === undefined || credits === undefined || crash === undefined) return;
    try {
      await Promise.all([
        killProcesses(processes, tables, kills, killsEach, this.#phases),
        changeLimits(processes, tables, limits, this.#customer, this.#changes),
        buyCredits(processes, tables, credits, this.#customer, this.#lots),
        killsDatabase ? killDatabase(database, crash) : null,
      ]);
    } finally {
      this.#troubled = false;
    }
  }

  /** One call at a time, as long as there is trouble; some are made twice at once, under one key. */
  async #beClient(): Promise<void> {
    const chance = this.#chance;
    while (this.#drawn < FEWEST_CALLS || (this.#troubled && this.#drawn < MOST_CALLS)) {
      this.#drawn += 1;
      const twice = chance.chance(0.1);
      if (chance.chance(0.15)) await this.#tell(twice);
      else await this.#call(this.#drawCall(this.#drawn), twice);
      await new Promise((resolve) => setTimeout(resolve, chance.draw() * 300));
    }
  }

  async #call(call: RealCall, twice: boolean): Promise<void> {
    const { processes } = this.#surroundings;
    const [answer, other] = await Promise.all([
      callSurely(processes, this.#chance, call),
      twice ? callSurely(processes, this.#chance, call) : null,
    ]);
    if (other !== null && other.text !== answer.text) {
      this.#violations.push(`\`${call.idempotencyKey}\` was answered in two ways at once.`);
    }
    this.#acknowledged.push({ call, answer });
  }

  #drawCall(index: number): RealCall {
    const chance = this.#chance;
    const key = chance.pick(DRAWN);
    const release = (key === 'seats' || key === 'members') && chance.chance(0.4);
    const mode = !release && key !== 'members' && chance.chance(0.1) ? 'upTo' : 'all';
    return {
      operation: release ? 'release' : 'consume',
      customer: this.#customer,
      idempotencyKey: `${this.#customer}-${index}${mode === 'upTo' ? '-up-to' : ''}`,
      body:
        key === 'members'
          ? { key, amount: 1, mode, holder: `member-${chance.below(9)}` }
          : { key, amount: 1 + chance.below(3), mode },
    };
  }

  /** A batch of new events, and now and then one that was told before or is just being told by somebody else. */
  async #tell(twice: boolean): Promise<void> {
    const chance = this.#chance;
    const { processes } = this.#surroundings;
    const batch = Array.from({ length: 1 + chance.below(5) }, () => {
      if (this.#events.length > 0 && chance.chance(0.2)) return chance.pick(this.#events);
      const event: RealEvent = {
        id: `${this.#customer}-event-${this.#events.length}`,
        customer: chance.chance(0.7) ? this.#customer : this.#other,
        key: chance.pick(TOLD),
        amount: 1 + chance.below(3),
      };
      this.#events.push(event);
      return event;
    });
    const tellings = await Promise.all([
      tellSurely(processes, chance, batch),
      twice ? tellSurely(processes, chance, [...batch].reverse()) : [],
    ]);
    const answers = [tellings[0], [...tellings[1]].reverse()];
    for (const statuses of answers) {
      for (const [index, status] of statuses.entries()) {
        const event = batch[index];
        if (event !== undefined) this.#told.push({ event, status });
      }
    }
  }

  /** Asks again, under the same keys, what was answered before, and tells again what was told. */
  async #replay(): Promise<number> {
    const { processes } = this.#surroundings;
    const chance = this.#chance;
    const asked = this.#acknowledged.filter(() => chance.chance(0.3)).slice(0, REPLAYS);
    for (const { call, answer } of asked) {
      const again = await callSurely(processes, chance, call);
      if (again.text !== answer.text) {
        this.#violations.push(`\`${call.idempotencyKey}\` was answered ${again.text} after ${answer.text}.`);
      }
    }
    const told = this.#events.filter(() => chance.chance(0.3)).slice(0, REPLAYS);
    if (told.length === 0) return asked.length;
    for (const [index, status] of (await tellSurely(processes, chance, told)).entries()) {
      if (status !== 'duplicate') {
        this.#violations.push(`The event \`${told[index]?.id}\` was ${status} after it had been.`);
      }
    }
    return asked.length + told.length;
  }
}

const FEWEST_CALLS = 60;
const MOST_CALLS = 1200;

/** How often each is drawn; `told` is recorded only. */
const DRAWN: readonly RealFeature[] = [
  ...(['calls', 'calls', 'calls', 'seats', 'seats'] as const),
  ...(['members', 'members', 'credits', 'credits', 'mixed'] as const),
];

/** What events are about; of `credits` they are taken out of lots, as what is consumed. */
const TOLD: readonly RealFeature[] = ['told', 'told', 'mixed', 'mixed', 'credits'];
