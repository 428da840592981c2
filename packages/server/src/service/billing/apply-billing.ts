import type { BillingProblem } from '@pennon/engine/billing/billing-problem';
import { decideCustomer } from '@pennon/engine/billing/decide-customer';
import type { DesiredLicense, HeldLicense } from '@pennon/engine/billing/desired-license';
import type { BillingRecord } from '@pennon/engine/model/billing-subscription';
import { versionedKey } from '@pennon/engine/model/catalog';
import type { Instant } from '@pennon/engine/model/customer';
import type { Transaction } from 'kysely';
import {
  type BillingLicenseRow,
  type BillingSubscriptionRow,
  billingLicensesOf,
  billingSubscriptionsOf,
  type ProblemRow,
  replaceProblems,
  setAgainAt,
} from '../../store/billing-rows.js';
import { fromInstant, fromInstantOrNull } from '../../store/instant.js';
import type { Tables } from '../../store/tables.js';
import type { CustomerRow } from '../contracts/customer-record.js';
import type { ContractServices, DataChange } from '../contracts/data-change.js';
import type { Directory, EnvironmentRecord } from '../ports.js';
import { type PublishedBilling, readBillingCatalogs } from './billing-catalogs.js';
import {
  type BillingTarget,
  changeBillingLicense,
  createBillingLicense,
  desiredOf,
  endBillingLicense,
} from './write-billing-licenses.js';

/** What is to be resolved is looked at again so often: a publish that maps an item is found without being told of. */
const LOOK_AGAIN_MILLISECONDS = 60_000;

/** What a customer holds by its subscriptions, and what it should. */
export interface BillingDecided {
  readonly published: readonly PublishedBilling[];
  readonly subscriptions: readonly (BillingSubscriptionRow & {
    readonly read: BillingRecord;
    readonly held: readonly BillingLicenseRow[];
    readonly licenses: readonly DesiredLicense[];
    readonly problems: readonly BillingProblem[];
  })[];
  /** Made by subscriptions that are somebody else's now. */
  readonly orphans: readonly BillingLicenseRow[];
  readonly againAt: Instant | null;
}

/** Reads what is known and decides; it writes nothing. `isHeld`: what it decides is written in this transaction. */
export async function decideBilling(
  transaction: Transaction<Tables>,
  directory: Directory,
  environment: EnvironmentRecord,
  customerId: string,
  now: Instant,
  isHeld: boolean,
): Promise<BillingDecided> {
  const subscriptions = (await billingSubscriptionsOf(transaction, customerId)).map((row) => {
    const record = JSON.parse(row.record) as BillingRecord;
    return { ...row, read: record, named: offeredProducts(record) };
  });
  const named = new Set(subscriptions.flatMap((row) => [...row.named]));
  const published = await readBillingCatalogs(transaction, directory, environment, named, isHeld);
  const held = await billingLicensesOf(transaction, customerId);
  const heldBy = (row: BillingSubscriptionRow) => held.filter((license) => nameOf(license) === nameOf(row));
  const known = subscriptions.map((row) => ({
    id: nameOf(row),
    record: row.read,
    catalogs: published
      .map((one) => {
        const isHeld = heldBy(row).some(({ product_id }) => product_id === one.product.id);
        return one.catalogOf(row.mapping, isHeld || row.named.has(one.product.key));
      })
      .filter((one) => one !== null),
    held: heldBy(row).flatMap((one) => toHeld(one, published)),
  }));
  const decision = decideCustomer(known, now);
  const isKnown = new Set(subscriptions.map(nameOf));
  return {
    published,
    subscriptions: subscriptions.map((row) => {
      const { licenses = [], problems = [] } = decision.subscriptions.get(nameOf(row)) ?? {};
      return { ...row, held: heldBy(row), licenses, problems };
    }),
    orphans: held.filter((license) => !isKnown.has(nameOf(license))),
    againAt: decision.againAt,
  };
}

/** Decides anew what a customer should hold by its subscriptions, and writes the difference. */
export async function applyBilling(
  services: ContractServices,
  change: DataChange,
  customer: CustomerRow,
): Promise<void> {
  const { directory } = services;
  const environment = directory.environment(change.environmentId);
  if (environment === null) return;
  const { transaction, now } = change;
  const decided = await decideBilling(transaction, directory, environment, customer.id, now, true);
  const { published } = decided;
  await endOrphans(change, customer, decided.orphans, published);
  for (const row of decided.subscriptions) {
    const refused = await writeLicenses(change, customer, row, row.licenses, row.held, published);
    const problems = [...row.problems.map(toProblemRow), ...refused];
    await replaceProblems(change.transaction, row, problems, fromInstant(change.now));
    const edges = [decided.againAt, problems.length > 0 ? change.now + LOOK_AGAIN_MILLISECONDS : null];
    const again = edges.filter((edge) => edge !== null);
    const againAt = again.length === 0 ? null : Math.min(...again);
    await setAgainAt(change.transaction, row, fromInstantOrNull(againAt));
  }
}

function toProblemRow({ code, product, name, item, isHeld }: BillingProblem): ProblemRow {
  return { code, product, name, item: item === null ? null : JSON.stringify(item), isHeld };
}

/** What items name themselves needs no mapping. */
function offeredProducts({ latest, schedule }: BillingRecord): ReadonlySet<string> {
  const items = [
    ...(latest?.subscription.items ?? []),
    ...(schedule?.phases ?? []).flatMap((phase) => phase.items),
  ];
  return new Set(items.flatMap(({ offer }) => (offer === undefined ? [] : [offer.product])));
}

/** What a subscription made that is somebody else's now. */
async function endOrphans(
  change: DataChange,
  customer: CustomerRow,
  orphans: readonly BillingLicenseRow[],
  published: readonly PublishedBilling[],
): Promise<void> {
  for (const one of orphans) {
    const found = published.find(({ product }) => product.id === one.product_id);
    if (found === undefined) continue;
    const { product, timeZone } = found;
    await endBillingLicense({ change, customer, subscription: one, product, timeZone }, one);
  }
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
): Promise<readonly ProblemRow[]> {
  const refused: ProblemRow[] = [];
  for (const { product, timeZone } of published) {
    const target: BillingTarget = { change, customer, subscription, product, timeZone };
    const own = held.filter((one) => one.product_id === product.id);
    const wanted = desired.filter((one) => one.product === product.key);
    for (const one of own) {
      if (!wanted.some(({ slot }) => slot === one.slot)) await endBillingLicense(target, one);
    }
    for (const one of wanted) {
      const before = own.find(({ slot }) => slot === one.slot);
      if (before !== undefined) await changeBillingLicense(target, before, one);
      else if (!(await createBillingLicense(target, one))) refused.push(tooMany(one));
    }
  }
  return refused;
}

/** Looked at again like everything that is to be resolved: it is made once there is room. */
function tooMany({ product, plan, planVersion }: DesiredLicense): ProblemRow {
  const name = versionedKey(plan, planVersion);
  return { code: 'TOO_MANY_LICENSES', product, name, item: null, isHeld: false };
}
