import { compareMarks, EMPTY_RECORD, withReport, withSchedule } from '@pennon/engine/billing/billing-record';
import type { BillingRecord } from '@pennon/engine/model/billing-subscription';
import { LIMITS } from '@pennon/engine/model/limits';
import {
  findBillingCustomer,
  findBillingSubscription,
  findCustomerId,
  lockBillingCustomer,
  lockBillingSubscription,
  replaceProblems,
  writeBillingSubscription,
} from '../../store/billing-rows.js';
import { holdBillingConnection } from '../../store/inbox-rows.js';
import { fromInstant } from '../../store/instant.js';
import type { CustomerRow } from '../contracts/customer-record.js';
import { type ContractServices, changeData, type DataChange } from '../contracts/data-change.js';
import { ServiceError } from '../service-error.js';
import { applyBilling } from './apply-billing.js';
import { type BillingNews, type BillingSource, contextOf, customerOf } from './billing-news.js';

/** What became of it. `unlinked`: it is known, and nobody knows yet which customer of ours it is. */
export type NewsOutcome = 'applied' | 'unlinked';

/**
 * Takes in what a provider tells: remembers it, decides anew what the customer should hold, and writes what that changes, in one
 * transaction with its audit entries (law 8). Told again, or late, it changes nothing (K-12).
 *
 * @throws ServiceError of code `BILLING_MODE` where test mode is told over a connection of live mode, or the other way round
 */
export async function takeInNews(
  services: ContractServices,
  source: BillingSource,
  news: BillingNews,
): Promise<NewsOutcome> {
  const { item } = await changeData<NewsOutcome>(
    services,
    contextOf(source),
    source.connection.environmentId,
    async (change) => ({ item: await takeInAll(services, change, source, [news]), created: false }),
  );
  return item;
}

/** Everything that one event says, and that was asked because of it: decided once for each customer. */
export async function takeInEvent(
  services: ContractServices,
  source: BillingSource,
  news: readonly BillingNews[],
): Promise<void> {
  const byCustomer = new Map<string, [BillingNews, ...BillingNews[]]>();
  for (const one of news) {
    const known = byCustomer.get(customerOf(one));
    if (known === undefined) byCustomer.set(customerOf(one), [one]);
    else known.push(one);
  }
  for (const own of byCustomer.values()) {
    await changeData(services, contextOf(source), source.connection.environmentId, async (change) => ({
      item: await takeInAll(services, change, source, own),
      created: false,
    }));
  }
}

/** The same within a change, of what is told of one customer at once. */
export async function takeInAll(
  services: ContractServices,
  change: DataChange,
  source: BillingSource,
  news: readonly [BillingNews, ...BillingNews[]],
): Promise<NewsOutcome> {
  const { connection } = source;
  const theirs = customerOf(news[0]);
  for (const one of news) checkMode(source, one);
  if (!(await holdBillingConnection(change.transaction, connection.id))) throw removedConnection(source);
  await lockBillingCustomer(change.transaction, connection.id, theirs);
  for (const id of subscriptionsOf(news))
    await lockBillingSubscription(change.transaction, connection.id, id);
  const left = new Set<string>();
  for (const one of news) {
    const before = await remember(change, source, one);
    if (before !== null) left.add(before);
  }
  const [customer, ...earlier] = await lockLinked(change, connection.id, [theirs, ...left]);
  for (const one of earlier) if (one !== null) await applyBilling(services, change, one);
  if (customer !== null && customer !== undefined) {
    await applyBilling(services, change, customer);
    return 'applied';
  }
  for (const one of news) await reportUnlinked(change, source, one);
  return 'unlinked';
}

/** Whether that is what counts of the subscription now; else a newer state was told before. */
export async function isNewestReport(
  change: DataChange,
  { connection }: BillingSource,
  { mark, subscription }: BillingNews & { readonly kind: 'subscription' },
): Promise<boolean> {
  const row = await findBillingSubscription(change.transaction, connection.id, subscription.id);
  const record = row === null ? EMPTY_RECORD : (JSON.parse(row.record) as BillingRecord);
  return record.latest !== null && compareMarks(record.latest.mark, mark) === 0;
}

/** INVARIANT: nothing that is only a test changes what a live customer has. */
function checkMode({ connection }: BillingSource, news: BillingNews): void {
  if (news.kind !== 'subscription' || news.subscription.isLive === connection.isLive) return;
  const [told, bound] = connection.isLive ? ['test', 'live'] : ['live', 'test'];
  throw new ServiceError(
    'unprocessable',
    'BILLING_MODE',
    `\`${news.subscription.id}\` is of ${told} mode, and the connection \`${connection.key}\` takes ${bound} mode only. Send ${told} mode over a connection of its own.`,
  );
}

/** In one order, whoever tells of several. */
function subscriptionsOf(news: readonly BillingNews[]): readonly string[] {
  return [...new Set(news.flatMap((one) => (one.kind === 'link' ? [] : [subscriptionOf(one)])))].sort();
}

function subscriptionOf(news: Exclude<BillingNews, { readonly kind: 'link' }>): string {
  return news.kind === 'subscription' ? news.subscription.id : news.subscription;
}

/** Answers which customer there had the subscription before, where it is another one's now. */
async function remember(
  change: DataChange,
  { connection }: BillingSource,
  news: BillingNews,
): Promise<string | null> {
  if (news.kind === 'link') {
    await link(change, connection.id, news.customer, news.customerKey);
    return null;
  }
  const id = subscriptionOf(news);
  const row = await findBillingSubscription(change.transaction, connection.id, id);
  const before = row === null ? EMPTY_RECORD : (JSON.parse(row.record) as BillingRecord);
  const after = news.kind === 'subscription' ? withReport(before, news) : withSchedule(before, news);
  // A schedule may come before its subscription, and then the subscription says whose both are.
  const customer = after.latest?.subscription.customer ?? customerOf(news);
  if (after !== before) {
    await writeBillingSubscription(change.transaction, {
      connection_id: connection.id,
      subscription: id,
      environment_id: change.environmentId,
      customer,
      record: JSON.stringify(after),
      updated_at: fromInstant(change.now),
    });
  }
  const key = after.latest?.subscription.customerKey ?? null;
  // What is told late may be of the one who had it before: the key that counts now is not theirs.
  if (key !== null && customer === customerOf(news)) await linkIfNew(change, connection.id, customer, key);
  return row === null || row.customer === customer ? null : row.customer;
}

/** The customer of ours that the provider names, where nobody is linked yet. */
export async function linkIfNew(
  change: DataChange,
  connectionId: string,
  customer: string,
  key: string,
): Promise<void> {
  const known = await findBillingCustomer(change.transaction, connectionId, customer);
  if (known === null) await link(change, connectionId, customer, key);
}

/** The first link stands: a customer there that would become another of ours is for a person to say. */
async function link(change: DataChange, connectionId: string, customer: string, key: string): Promise<void> {
  const customerId = await findCustomerId(change.transaction, change.environmentId, key);
  if (customerId === null) return;
  await change.transaction
    .insertInto('billing_customer')
    .values({
      connection_id: connectionId,
      customer,
      environment_id: change.environmentId,
      customer_id: customerId,
      linked_at: fromInstant(change.now),
    })
    .onConflict((conflict) => conflict.columns(['connection_id', 'customer']).doNothing())
    .execute();
}

/** Who customers there are here, in the order they are named; their rows are locked in one order, whoever is linked to whom. */
async function lockLinked(
  change: DataChange,
  connectionId: string,
  customers: readonly string[],
): Promise<readonly (CustomerRow | null)[]> {
  const found: Awaited<ReturnType<typeof findBillingCustomer>>[] = [];
  for (const one of customers) found.push(await findBillingCustomer(change.transaction, connectionId, one));
  const locked = new Map<string, CustomerRow>();
  for (const key of [...new Set(found.flatMap((one) => (one === null ? [] : [one.key])))].sort()) {
    const row = await change.lockCustomer(key);
    if (row !== null) locked.set(row.id, row);
  }
  return found.map((one) => (one === null ? null : (locked.get(one.customer_id) ?? null)));
}

/** Nobody knows whose it is: it waits, and is listed until somebody says so. */
async function reportUnlinked(
  change: DataChange,
  { connection }: BillingSource,
  news: BillingNews,
): Promise<void> {
  if (news.kind === 'link') return;
  const subscription = subscriptionOf(news);
  const row = { connection_id: connection.id, subscription, environment_id: change.environmentId };
  const problem = {
    code: 'CUSTOMER_NOT_LINKED',
    product: null,
    name: customerOf(news).slice(0, LIMITS.billingReference.value),
    item: null,
    isHeld: true,
  };
  await replaceProblems(change.transaction, row, [problem], fromInstant(change.now));
}

function removedConnection({ connection, event }: BillingSource): ServiceError {
  const message = `\`${event.id}\` came over the connection \`${connection.key}\`, which was removed meanwhile.`;
  return new ServiceError('unprocessable', 'UNREADABLE', message);
}
