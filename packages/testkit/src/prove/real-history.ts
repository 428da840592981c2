import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { callHttp } from '../http-call.js';
import type { MadeLot } from './check-lots.js';
import { keyOfMonthBefore } from './check-real-credits.js';
import { checkRealHistory } from './check-real-history.js';
import type { Phase } from './kill-phases.js';
import type { OwnDatabase } from './own-database.js';
import { drawEnd, drawRealCall, TOLD } from './real-calls.js';
import { ROLLED_ALLOWANCE } from './real-catalog.js';
import { callSurely, type RealAnswer, type RealCall, type RealEvent, tellSurely } from './real-client.js';
import type { Acknowledged, LimitChange, Told } from './real-heard.js';
import type { ServerPool } from './real-servers.js';
import { buyCredits, changeLimits, cutOff, killDatabase, killProcesses } from './real-trouble.js';
import { type Seeded, seeded } from './seeded.js';

/*
 * One real history: a customer of its own, clients that call for it, and somebody who kills. In the end every answer that a client has
 * must stand in the tables, every repetition must be answered alike, and no limit may be exceeded.
 */

export interface RealHistorySurroundings {
  /** `null`: nobody kills it. */
  readonly database: Pick<OwnDatabase, 'killAndRestart'> | null;
  readonly processes: ServerPool;
  readonly tables: pg.Pool;
  /** `kill -9` of processes in each history. */
  readonly killsEach: number;
  /** The database itself is killed too. */
  readonly killsDatabase: boolean;
  /** How often one of the processes is cut off from the database. */
  readonly outages: number;
}

export interface RealHistoryResult {
  readonly violations: readonly string[];
  readonly calls: number;
  readonly events: number;
  readonly lots: number;
  /** Reservations that were given. */
  readonly holds: number;
  readonly outages: number;
  /** Calls that were answered without the store. */
  readonly fallbacks: number;
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
  readonly #usedBefore: number;
  #drawn = 0;
  #troubled = true;

  constructor(seed: number, surroundings: RealHistorySurroundings) {
    this.#seed = seed;
    this.#chance = seeded(seed);
    this.#surroundings = surroundings;
    this.#customer = `customer-${seed}-${randomUUID().slice(0, 8)}`;
    this.#other = `${this.#customer}-other`;
    // Not all of it: that would be told, in the month that it is moved out of.
    this.#usedBefore = 1 + this.#chance.below(ROLLED_ALLOWANCE - 1);
  }

  async run(): Promise<RealHistoryResult> {
    const { tables } = this.#surroundings;
    await this.#register();
    const clients = 8 + this.#chance.below(9);
    await Promise.all([this.#makeTrouble(), ...Array.from({ length: clients }, () => this.#beClient())]);
    await this.#count();
    const replays = await this.#replay();
    for (const customer of [this.#customer, this.#other]) {
      this.#violations.push(
        ...(await checkRealHistory(tables, customer, {
          acknowledged: this.#acknowledged.filter(({ call }) => call.customer === customer),
          told: this.#told.filter(({ event }) => event.customer === customer),
          changes: this.#changes,
          lots: this.#lots,
          ...(customer === this.#customer ? { usedBefore: this.#usedBefore } : {}),
        })),
      );
    }
    return {
      violations: this.#violations,
      calls: this.#acknowledged.length,
      events: this.#events.length,
      lots: this.#lots.length,
      holds: this.#acknowledged.filter(({ answer }) => answer.hold !== null).length,
      outages: this.#surroundings.outages,
      fallbacks: this.#acknowledged.filter(({ answer, other }) => answer.isFallback || other?.isFallback)
        .length,
      replays,
      phases: this.#phases,
    };
  }

  /** The first consumption registers the customer; nobody can give back or be granted anything before. It came a month ago. */
  async #register(): Promise<void> {
    const { processes, tables } = this.#surroundings;
    const call: RealCall = {
      operation: 'consume',
      customer: this.#customer,
      idempotencyKey: keyOfMonthBefore(this.#customer),
      body: { key: 'rolled', amount: this.#usedBefore, mode: 'all' },
    };
    this.#acknowledged.push({ call, answer: await callSurely(processes, this.#chance, call) });
    await tables.query(
      `update account a set period_start = a.period_start - interval '1 month', period_end = a.period_start
       from customer c where c.id = a.customer_id and c.key = $1`,
      [this.#customer],
    );
    // Whoever is to answer without the store must know the customer.
    const warm = (index: number): RealCall => ({
      ...call,
      idempotencyKey: `${this.#customer}-warm-${index}`,
      body: { key: 'calls', amount: 1, mode: 'all' },
    });
    const answers = Array.from({ length: 3 }, async (_, index) => {
      const answer = await callSurely(processes, this.#chance, warm(index));
      this.#acknowledged.push({ call: warm(index), answer });
    });
    await Promise.all(answers);
  }

  async #makeTrouble(): Promise<void> {
    const { processes, tables, database, killsEach, killsDatabase, outages } = this.#surroundings;
    // Drawn apart, so that which trouble there is does not hang on which answer came first.
    const [kills, limits, credits, crash, cuts] = [1, 2, 3, 4, 5].map((part) =>
      seeded(this.#seed * 8 + part),
    );
    if (!kills || !limits || !credits || !crash || !cuts) return;
    try {
      await Promise.all([
        killProcesses(processes, tables, kills, killsEach, this.#phases),
        changeLimits(processes, tables, limits, this.#customer, this.#changes),
        buyCredits(processes, tables, credits, this.#customer, this.#lots),
        cutOff(processes, cuts, { count: outages, kills: killsEach > 0 }),
        killsDatabase && database !== null ? killDatabase(database, crash) : null,
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
      else await this.#callAndEnd(drawRealCall(chance, this.#customer, this.#drawn), twice);
      await new Promise((resolve) => setTimeout(resolve, chance.draw() * 300));
    }
  }

  /** Whoever was given a hold ends it: once, twice, or about when it ends by itself, or not at all. */
  async #callAndEnd(call: RealCall, twice: boolean): Promise<void> {
    const chance = this.#chance;
    const { hold } = await this.#call(call, twice);
    for (let count = hold === null ? 0 : chance.below(4); hold !== null && count > 0; count -= 1) {
      const wait = chance.chance(0.6)
        ? chance.draw() * 100
        : hold.expiresAt - Date.now() + chance.between(-30, 30);
      await new Promise((resolve) => setTimeout(resolve, Math.min(1500, Math.max(0, wait))));
      await this.#call(drawEnd(chance, call, hold, count), chance.chance(0.2));
    }
  }

  async #call(call: RealCall, twice: boolean): Promise<RealAnswer> {
    const { processes } = this.#surroundings;
    const [answer, other] = await Promise.all([
      callSurely(processes, this.#chance, call),
      twice ? callSurely(processes, this.#chance, call) : null,
    ]);
    // One that was answered without the store may meet one that the store answered.
    const free = answer.isFallback || other?.isFallback === true;
    if (other !== null && other.text !== answer.text && !free) {
      this.#violations.push(
        `\`${call.idempotencyKey}\` was answered in two ways at once: ${answer.text} and ${other.text}.`,
      );
    }
    // Of two answers, the one of the store is what every repetition gets.
    const [first, second] = answer.isFallback && other !== null ? [other, answer] : [answer, other];
    this.#acknowledged.push({ call, answer: first, ...(second === null ? {} : { other: second }) });
    return first;
  }

  /** Until everything that was answered without the store is counted: by whoever answered it, or by whoever came after. */
  async #count(): Promise<void> {
    const { processes } = this.#surroundings;
    const deadline = Date.now() + COUNTED_MILLISECONDS;
    await processes.whole();
    for (const { url } of processes.alive) {
      while ((await waitingAt(url)) !== 0) {
        if (Date.now() > deadline) {
          this.#violations.push('What was answered without the store is still not counted.');
          return;
        }
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
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
      const isSame = answer.isFallback ? isKept(again, answer) : again.text === answer.text;
      if (!isSame) {
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
const COUNTED_MILLISECONDS = 120_000;

/** What was told without the store stands as it was told, unless the store had decided about the same call before. */
function isKept(again: RealAnswer, told: RealAnswer): boolean {
  return !again.isFallback || (again.allowed === told.allowed && again.taken === told.taken);
}

/** How many answers of a process are not counted yet; `null`: it does not say. */
async function waitingAt(url: string): Promise<number | null> {
  const answer = await callHttp('GET', `${url}/metrics`, {}).catch(() => null);
  const found = /^pennon_journal_waiting (\d+)/m.exec(answer?.text ?? '')?.[1];
  return found === undefined ? null : Number(found);
}
