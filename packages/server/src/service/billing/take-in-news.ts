import { compareMarks, EMPTY_RECORD, withReport, withSchedule } from '@pennon/engine/billing/billing-record';
import type { BillingRecord } from '@pennon/engine/model/billing-subscription';
import { LIMITS } from '@pennon/engine/model/limits';
import {
  findBillingCustomer,
  findBillingSubscription,
  lockBillingCustomer,
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
  for (const one of news) await remember(change, source, one);
  const customer = await linkedCustomer(change, connection.id, theirs);
  if (customer !== null) {
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

async function remember(change: DataChange, { connection }: BillingSource, news: BillingNews): Promise<void> {
  if (news.kind === 'link') {
    await link(change, connection.id, news.customer, news.customerKey);
    return;
  }
  const id = news.kind === 'subscription' ? news.subscription.id : news.subscription;
  const row = await findBillingSubscription(change.transaction, connection.id, id);
  const before = row === null ? EMPTY_RECORD : (JSON.parse(row.record) as BillingRecord);
  const after = news.kind === 'subscription' ? withReport(before, news) : withSchedule(before, news);
  if (after !== before) {
    await writeBillingSubscription(change.transaction, {
      connection_id: connection.id,
      subscription: id,
      environment_id: change.environmentId,
      // A schedule may come before its subscription, and then the subscription says whose both are.
      customer: after.latest?.subscription.customer ?? customerOf(news),
      record: JSON.stringify(after),
      updated_at: fromInstant(change.now),
    });
  }
  const key = after.latest?.subscription.customerKey ?? null;
  if (key !== null) await linkIfNew(change, connection.id, customerOf(news), key);
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
  const found = await change.transaction
    .selectFrom('customer')
    .select('id')
    .where('environment_id', '=', change.environmentId)
    .where('key', '=', key)
    .where('erased_at', 'is', null)
    .executeTakeFirst();
  if (found === undefined) return;
  await change.transaction
    .insertInto('billing_customer')
    .values({
      connection_id: connectionId,
      customer,
      environment_id: change.environmentId,
      customer_id: found.id,
      linked_at: fromInstant(change.now),
    })
    .onConflict((conflict) => conflict.columns(['connection_id', 'customer']).doNothing())
    .execute();
}

async function linkedCustomer(
  change: DataChange,
  connectionId: string,
  customer: string,
): Promise<CustomerRow | null> {
  const found = await findBillingCustomer(change.transaction, connectionId, customer);
  const row = found === null ? null : await change.lockCustomer(found.key);
  return row === null || row.id !== found?.customer_id ? null : row;
}

/** Nobody knows whose it is: it waits, and is listed until somebody says so. */
async function reportUnlinked(
  change: DataChange,
  { connection }: BillingSource,
  news: BillingNews,
): Promise<void> {
  if (news.kind === 'link') return;
  const subscription = news.kind === 'subscription' ? news.subscription.id : news.subscription;
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
