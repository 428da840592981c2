import { EMPTY_RECORD, withReport, withSchedule } from '@pennon/engine/billing/billing-record';
import { decideCustomer } from '@pennon/engine/billing/decide-customer';
import type { DesiredLicense, HeldLicense } from '@pennon/engine/billing/desired-license';
import type { BillingRecord } from '@pennon/engine/model/billing-subscription';
import { LIMITS } from '@pennon/engine/model/limits';
import {
  type BillingLicenseRow,
  type BillingSubscriptionRow,
  billingLicensesOf,
  billingSubscriptionsOf,
  findBillingCustomer,
  findBillingSubscription,
  lockBillingCustomer,
  type ProblemRow,
  replaceProblems,
  setAgainAt,
  writeBillingSubscription,
} from '../../store/billing-rows.js';
import { fromInstant, fromInstantOrNull } from '../../store/instant.js';
import type { CustomerRow } from '../contracts/customer-record.js';
import { type ContractServices, changeData, type DataChange } from '../contracts/data-change.js';
import type { ProductRecord } from '../ports.js';
import { ServiceError } from '../service-error.js';
import { type PublishedBilling, readBillingCatalogs } from './billing-catalogs.js';
import { type BillingNews, type BillingSource, contextOf, customerOf } from './billing-news.js';
import {
  changeBillingLicense,
  createBillingLicense,
  desiredOf,
  endBillingLicense,
} from './write-billing-licenses.js';

/** What is to be resolved is looked at again so often: a publish that maps an item is found without being told of. */
const LOOK_AGAIN_MILLISECONDS = 60_000;

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
  const { connection } = source;
  checkMode(source, news);
  const { item } = await changeData<NewsOutcome>(
    services,
    contextOf(source),
    connection.environmentId,
    async (change) => {
      await lockBillingCustomer(change.transaction, connection.id, customerOf(news));
      await remember(change, source, news);
      const customer = await linkedCustomer(change, connection.id, customerOf(news));
      if (customer === null) {
        await reportUnlinked(change, source, news);
        return { item: 'unlinked', created: false };
      }
      await applyBilling(services, change, customer);
      return { item: 'applied', created: false };
    },
  );
  return item;
}

/** Decides anew what a customer should hold by its subscriptions, and writes the difference. */
export async function applyBilling(
  services: ContractServices,
  change: DataChange,
  customer: CustomerRow,
): Promise<void> {
  const environment = services.directory.environment(change.environmentId);
  if (environment === null) return;
  const published = await readBillingCatalogs(change, services.directory, environment);
  const subscriptions = await billingSubscriptionsOf(change.transaction, customer.id);
  const held = await billingLicensesOf(change.transaction, customer.id);
  const heldBy = (row: BillingSubscriptionRow) => held.filter((license) => nameOf(license) === nameOf(row));
  const known = subscriptions.map((row) => ({
    id: nameOf(row),
    record: JSON.parse(row.record) as BillingRecord,
    catalogs: published
      .map((one) =>
        one.catalogOf(
          row.mapping,
          heldBy(row).some(({ product_id }) => product_id === one.product.id),
        ),
      )
      .filter((one) => one !== null),
    held: heldBy(row).flatMap((one) => toHeld(one, published)),
  }));
  const decision = decideCustomer(known, change.now);
  for (const row of subscriptions) {
    const decided = decision.subscriptions.get(nameOf(row));
    if (decided === undefined) continue;
    await writeLicenses(change, customer, row, decided.licenses, heldBy(row), published);
    const problems = decided.problems.map(
      ({ code, product, name, item, isHeld }): ProblemRow => ({
        code,
        product,
        name,
        item: item === null ? null : JSON.stringify(item),
        isHeld,
      }),
    );
    await replaceProblems(change.transaction, row, problems, fromInstant(change.now));
    const edges = [decision.againAt, problems.length > 0 ? change.now + LOOK_AGAIN_MILLISECONDS : null];
    const again = edges.filter((edge) => edge !== null);
    const againAt = again.length === 0 ? null : Math.min(...again);
    await setAgainAt(change.transaction, row, fromInstantOrNull(againAt));
  }
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

async function linkIfNew(
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

function nameOf(
  row: Pick<BillingSubscriptionRow | BillingLicenseRow, 'connection_id' | 'subscription'>,
): string {
  return `${row.connection_id} ${row.subscription}`;
}

function toHeld(row: BillingLicenseRow, published: readonly PublishedBilling[]): HeldLicense[] {
  const product = published.find((one) => one.product.id === row.product_id)?.product;
  if (product === undefined) return [];
  const { slot, plan, planVersion, quantity, addons } = desiredOf(row);
  return [{ product: product.key, slot, plan, planVersion, quantity, addons }];
}

async function writeLicenses(
  change: DataChange,
  customer: CustomerRow,
  subscription: BillingSubscriptionRow,
  desired: readonly DesiredLicense[],
  held: readonly BillingLicenseRow[],
  published: readonly PublishedBilling[],
): Promise<void> {
  const target = (product: ProductRecord, timeZone: string | null) => ({
    change,
    customer,
    subscription,
    product,
    timeZone,
  });
  for (const { product, timeZone } of published) {
    const own = held.filter((one) => one.product_id === product.id);
    const wanted = desired.filter((one) => one.product === product.key);
    for (const one of own) {
      if (!wanted.some(({ slot }) => slot === one.slot))
        await endBillingLicense(target(product, timeZone), one);
    }
    for (const one of wanted) {
      const before = own.find(({ slot }) => slot === one.slot);
      if (before === undefined) await createBillingLicense(target(product, timeZone), one);
      else await changeBillingLicense(target(product, timeZone), before, one);
    }
  }
}
