import { randomUUID } from 'node:crypto';
import type { CustomerState } from '@pennon/engine/model/customer';
import { isJsonObject, type JsonObject } from '@pennon/engine/model/json';
import type { Snapshot } from '@pennon/engine/snapshot/snapshot';
import type { Kysely, Transaction } from 'kysely';
import { isDatabaseUnavailable } from '../../store/database-error.js';
import { holdLease } from '../../store/hook-sequence.js';
import {
  forgetDue,
  forgetStates,
  moveWalk,
  type NamedCustomer,
  readCustomers,
  readCustomersAfter,
  readDue,
  readRevision,
  readStateScopes,
  readTimely,
  readToldStates,
  readWalk,
  type StateScope,
  type ToldState,
  writeToldStates,
} from '../../store/hook-states.js';
import { fromInstant, fromInstantOrNull } from '../../store/instant.js';
import { writeToldChanges } from '../../store/outbox-changes.js';
import type { Tables } from '../../store/tables.js';
import { statesOf } from '../contracts/plan-move-preview.js';
import type { CustomerFactsStore } from '../customer-facts.js';
import { createLeasedSweep, type LeasedSweep } from '../leased-sweep.js';
import type { Clock, Snapshots } from '../ports.js';
import { runInSlices } from '../run-in-slices.js';
import { changedEntitlements, changedState, type WorkedOut, workOut } from './customer-state.js';
import type { ToldChange } from './told-changes.js';

/*
 * Works out what customers have and may do after something happened to them, after the clock may have changed it, and after what may concern
 * all of them; and tells what is another than what was told last. One process at a time does it, under a lease that it holds through each
 * transaction. What is due is read before the facts, and taken away with what is told: whoever is killed in between does it again.
 */

export interface StateTellerOptions {
  readonly database: Kysely<Tables>;
  readonly snapshots: Pick<Snapshots, 'atLeast'>;
  readonly facts: Pick<CustomerFactsStore, 'load'>;
  readonly clock: Clock;
  readonly onProblem: (problem: string, error: unknown) => void;
  readonly pollMilliseconds?: number;
}

const LEASE = 'customer-states';
const POLL_MILLISECONDS = 500;
/** Small enough that what the driver and `JSON.parse` do with a page holds the event loop for less than 10 ms. */
const PAGE = 50;
const SNAPSHOT_MILLISECONDS = 2000;
const FORGOTTEN_AT_ONCE = 5000;

type Work = (transaction: Transaction<Tables>) => Promise<void>;

export function createStateTeller(options: StateTellerOptions): LeasedSweep {
  const { database, onProblem, pollMilliseconds = POLL_MILLISECONDS } = options;
  const teller = new StateTeller(options);
  return createLeasedSweep({
    database,
    name: LEASE,
    holder: teller.holder,
    pollMilliseconds,
    sweep: (isStopping) => teller.sweep(isStopping),
    onProblem: (error) => onProblem('what customers may do could not be told', error),
  });
}

class StateTeller {
  readonly holder = randomUUID();
  readonly #options: StateTellerOptions;

  constructor(options: StateTellerOptions) {
    this.#options = options;
  }

  async sweep(isStopping: () => boolean): Promise<'done' | 'more'> {
    const { database, onProblem } = this.#options;
    const scopes = await readStateScopes(database);
    let isMore = await forgetStates(database, scopes, FORGOTTEN_AT_ONCE);
    const environments = new Map<string, StateScope[]>();
    for (const scope of scopes) {
      environments.set(scope.environmentId, [...(environments.get(scope.environmentId) ?? []), scope]);
    }
    for (const [environmentId, ofEnvironment] of environments) {
      if (isStopping()) return 'done';
      try {
        isMore = (await this.#tellDue(environmentId, ofEnvironment)) || isMore;
        for (const scope of ofEnvironment) {
          isMore = (await this.#tellTimely(scope)) || isMore;
          isMore = (await this.#tellNext(scope)) || isMore;
        }
      } catch (error) {
        if (isDatabaseUnavailable(error)) throw error;
        // A catalog that cannot be loaded here holds up no other environment.
        onProblem('what customers of an environment may do could not be told', error);
      }
    }
    return isMore ? 'more' : 'done';
  }

  /** What happened to customers. Answers whether there may be more. */
  async #tellDue(environmentId: string, scopes: readonly StateScope[]): Promise<boolean> {
    const { database } = this.#options;
    const due = await readDue(database, environmentId, PAGE);
    if (due.length === 0) return false;
    const customers = await readCustomers(database, [...new Set(due.map((one) => one.customer_id))]);
    const works: Work[] = [];
    for (const scope of scopes) works.push(await this.#work(scope, customers, 'due'));
    await this.#write(async (transaction) => {
      for (const work of works) await work(transaction);
      const ids = due.map(({ id }) => id);
      await forgetDue(transaction, ids);
    });
    return due.length === PAGE;
  }

  async #tellTimely(scope: StateScope): Promise<boolean> {
    const { database, clock } = this.#options;
    const customers = await readTimely(database, scope, fromInstant(clock.now()), PAGE);
    if (customers.length === 0) return false;
    await this.#write(await this.#work(scope, customers, 'time'));
    return customers.length === PAGE;
  }

  /** The next page of a walk through all customers. */
  async #tellNext(scope: StateScope): Promise<boolean> {
    const { database } = this.#options;
    const walk = await readWalk(database, scope);
    if (!walk.is_walking) return false;
    const customers = await readCustomersAfter(database, scope.environmentId, walk.after_key, PAGE);
    const work = await this.#work(scope, customers, 'walk');
    const last = customers.length < PAGE ? null : (customers.at(-1)?.key ?? null);
    await this.#write(async (transaction) => {
      await work(transaction);
      await moveWalk(transaction, scope, last);
    });
    return true;
  }

  async #write(work: Work): Promise<void> {
    await this.#options.database.transaction().execute(async (transaction) => {
      if (await holdLease(transaction, LEASE, this.holder)) await work(transaction);
    });
  }

  /** What is to be written of some customers. */
  async #work(
    scope: StateScope,
    customers: readonly NamedCustomer[],
    why: 'due' | 'time' | 'walk',
  ): Promise<Work> {
    const { database, snapshots, facts, clock } = this.#options;
    const { environmentId, productId } = scope;
    if (customers.length === 0) return async () => undefined;
    const walk = await readWalk(database, scope);
    const revision = await readRevision(database, scope);
    const snapshot = await snapshots.atLeast(productId, environmentId, revision, SNAPSHOT_MILLISECONDS);
    const keys = customers.map(({ key }) => key);
    const loaded = await facts.load({
      environmentId,
      productId,
      customerKeys: keys,
      instanceRef: null,
      userKeys: [],
      teamKeys: [],
      shared: true,
      balanceCustomerKeys: keys,
      scopes: [],
    });
    const told = await readToldStates(
      database,
      productId,
      customers.map(({ id }) => id),
    );
    const now = clock.now();
    const states = await runInSlices(statesOf(loaded, snapshot.productKey));
    const worked = await runInSlices(workAllOut(snapshot, states, now));
    // Of one that nobody has looked at before nothing is known, unless it came after all were.
    const isNew = why === 'due' && !walk.is_first;
    const changes: { readonly id: string; readonly told: readonly ToldChange[] }[] = [];
    const rows: ToldState[] = [];
    for (const { id, key } of customers) {
      const one = worked.get(key);
      if (one === undefined) continue;
      const before = told.get(id);
      changes.push({ id, told: changesOf(scope, id, before, one, { isNew, isDue: why === 'due' }) });
      rows.push(rowOf(id, one));
    }
    const written = rows.filter((row) => isAnother(told.get(row.customerId), row));
    return async (transaction) => {
      const where = { environmentId, occurredAt: fromInstant(now), versions: new Map() };
      // Who was erased since they were read is named no more: the name would be made anew.
      const ids = customers.map(({ id }) => id);
      const there = new Set((await readCustomers(transaction, ids)).map(({ id }) => id));
      const news = changes.flatMap((one) => (there.has(one.id) ? one.told : []));
      await writeToldChanges(transaction, where, news);
      const known = written.filter(({ customerId }) => there.has(customerId));
      await writeToldStates(transaction, scope, known);
    };
  }
}

function* workAllOut(
  snapshot: Snapshot,
  states: ReadonlyMap<string, CustomerState>,
  now: number,
): Generator<void, ReadonlyMap<string, WorkedOut>> {
  const worked = new Map<string, WorkedOut>();
  for (const [key, state] of states) {
    yield;
    worked.set(key, workOut(snapshot, state, now));
  }
  return worked;
}

function changesOf(
  { productId, wantsEntitlements, wantsStates }: StateScope,
  customerId: string,
  before: ToldState | undefined,
  worked: WorkedOut,
  { isNew, isDue }: { readonly isNew: boolean; readonly isDue: boolean },
): readonly ToldChange[] {
  if (before?.digest === worked.digest) return [];
  const isKnown = before !== undefined || isNew;
  return [
    ...(wantsEntitlements && isKnown ? changedEntitlements(productId, givenIn(before), worked) : []),
    ...(wantsStates && (isKnown || isDue) ? [changedState(productId, customerId, worked)] : []),
  ];
}

function givenIn(before: ToldState | undefined): JsonObject | null {
  const given: unknown = before === undefined ? null : JSON.parse(before.entitlements);
  return isJsonObject(given) ? given : null;
}

function rowOf(customerId: string, { entitlements, digest, nextAt }: WorkedOut): ToldState {
  return {
    customerId,
    entitlements: JSON.stringify(entitlements),
    digest,
    nextAt: fromInstantOrNull(nextAt),
  };
}

function isAnother(before: ToldState | undefined, row: ToldState): boolean {
  return before?.digest !== row.digest || before.nextAt?.getTime() !== row.nextAt?.getTime();
}
