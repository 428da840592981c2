import { canonicalJson } from '@pennon/engine/catalog/canonical-json';
import type { BillingRecord } from '@pennon/engine/model/billing-subscription';
import type { JsonValue } from '@pennon/engine/model/json';
import { LIMITS } from '@pennon/engine/model/limits';
import { findBillingSubscription, openSubscriptions } from '../../store/billing-rows.js';
import { isDatabaseUnavailable } from '../../store/database-error.js';
import { type BillingConnectionRow, dueForReconciling, noteReconciled } from '../../store/inbox-rows.js';
import { fromInstant } from '../../store/instant.js';
import type { ContractServices } from '../contracts/data-change.js';
import { createLeasedSweep, type LeasedSweep } from '../leased-sweep.js';
import { ServiceError } from '../service-error.js';
import type { BillingSource } from './billing-news.js';
import { fetchedNewsOf } from './stripe/fetch-stripe-news.js';
import type { FetchedSubscription, StripeClient } from './stripe/stripe-client.js';
import { takeInEvent } from './take-in-news.js';

/*
 * What a provider says is asked anew by schedule, so that an event that never came is made good for. Page by page, so that neither
 * the lease nor the end of the process waits for a large account.
 */

export interface ReconcilingServices extends ContractServices {
  readonly stripeClientOf: (connection: BillingConnectionRow) => StripeClient | null;
  readonly onProblem: (problem: string, error: unknown) => void;
  readonly pollMilliseconds?: number;
}

const POLL_MILLISECONDS = 5000;
const MINUTE_MILLISECONDS = 60_000;
/** After a failure: a key that is refused is not tried every few seconds. */
const AFTER_FAILURE_MILLISECONDS = 5 * MINUTE_MILLISECONDS;
const ONE_BY_ONE = 50;

interface Round {
  readonly seen: Set<string>;
  /** What the next page begins after. */
  after: string | null;
  isListed: boolean;
  /** Of those that the list did not hold, what the next ones begin after. */
  lookedUp: string;
}

export function createReconciling(services: ReconcilingServices): LeasedSweep {
  const rounds = new Map<string, Round>();
  const failedAt = new Map<string, number>();

  async function sweep(): Promise<'done' | 'more'> {
    const now = services.clock.now();
    const before = fromInstant(now - LIMITS.billingReconcileMinutes.value * MINUTE_MILLISECONDS);
    const due = (await dueForReconciling(services.database, before)).filter(
      ({ id }) => now - (failedAt.get(id) ?? Number.NEGATIVE_INFINITY) >= AFTER_FAILURE_MILLISECONDS,
    );
    const [connection] = due;
    if (connection === undefined) return 'done';
    const round = rounds.get(connection.id) ?? {
      seen: new Set(),
      after: null,
      isListed: false,
      lookedUp: '',
    };
    rounds.set(connection.id, round);
    try {
      if (!(await reconcileStep(services, connection, round))) return 'more';
      failedAt.delete(connection.id);
      await noteReconciled(services.database, connection.id, fromInstant(services.clock.now()));
    } catch (error) {
      if (isDatabaseUnavailable(error)) throw error;
      failedAt.set(connection.id, services.clock.now());
      services.onProblem('a billing provider could not be asked for everything', error);
    }
    rounds.delete(connection.id);
    return due.length > 1 ? 'more' : 'done';
  }

  return createLeasedSweep({
    database: services.database,
    name: 'billing-reconcile',
    pollMilliseconds: services.pollMilliseconds ?? POLL_MILLISECONDS,
    sweep,
    onProblem: (error) => services.onProblem('billing could not be reconciled', error),
  });
}

/** All of one connection at once. */
export async function reconcileConnection(
  services: ReconcilingServices,
  connection: BillingConnectionRow,
): Promise<void> {
  const round: Round = { seen: new Set(), after: null, isListed: false, lookedUp: '' };
  while (!(await reconcileStep(services, connection, round)));
  await noteReconciled(services.database, connection.id, fromInstant(services.clock.now()));
}

/** True: that was the last step. */
async function reconcileStep(
  services: ReconcilingServices,
  connection: BillingConnectionRow,
  round: Round,
): Promise<boolean> {
  const client = services.stripeClientOf(connection);
  if (client === null) return true;
  const askedAt = services.clock.now();
  if (!round.isListed) {
    const { found, next } = await client.page(round.after);
    for (const one of found) {
      round.seen.add(one.subscription.id);
      await takeInOrReport(services, connection, one, askedAt);
    }
    round.after = next;
    round.isListed = next === null;
    return false;
  }
  // What the list does not hold and was not over when it was last told of.
  const open = await openSubscriptions(services.database, connection.id, round.lookedUp, ONE_BY_ONE);
  for (const id of open) {
    if (round.seen.has(id)) continue;
    const one = await client.subscription(id);
    if (one !== null) await takeInOrReport(services, connection, one, askedAt);
  }
  round.lookedUp = open.at(-1) ?? round.lookedUp;
  return open.length < ONE_BY_ONE;
}

/** One subscription that cannot be taken in must not keep all after it from being asked for. */
async function takeInOrReport(
  services: ReconcilingServices,
  connection: BillingConnectionRow,
  fetched: FetchedSubscription,
  askedAt: number,
): Promise<void> {
  try {
    await takeInDifference(services, connection, fetched, askedAt);
  } catch (error) {
    // A key of the other mode, or a connection that was removed: so it would be with each of them.
    if (isDatabaseUnavailable(error) || error instanceof ServiceError) throw error;
    services.onProblem(`\`${fetched.subscription.id}\` could not be reconciled`, error);
  }
}

/** Nothing is written of what is known already. */
async function takeInDifference(
  services: ReconcilingServices,
  { id, key, provider, environment_id, is_live }: BillingConnectionRow,
  fetched: FetchedSubscription,
  askedAt: number,
): Promise<void> {
  const row = await findBillingSubscription(services.database, id, fetched.subscription.id);
  const record = row === null ? null : (JSON.parse(row.record) as BillingRecord);
  const said = { subscription: fetched.subscription, phases: fetched.phases };
  const known = {
    subscription: record?.latest?.subscription ?? null,
    phases: record?.schedule?.phases ?? [],
  };
  if (canonicalJson(said as unknown as JsonValue) === canonicalJson(known as unknown as JsonValue)) return;
  const eventId = `reconcile-${askedAt}`;
  const source: BillingSource = {
    connection: { id, key, provider, environmentId: environment_id, isLive: is_live },
    event: { id: eventId, type: 'reconcile' },
  };
  await takeInEvent(services, source, fetchedNewsOf(fetched, askedAt, eventId));
}
