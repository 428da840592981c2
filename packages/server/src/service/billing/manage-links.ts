import type { ApiBillingLink, BillingLinkPut } from '@pennon/protocol/management/billing-events';
import type { PageQuery } from '@pennon/protocol/management/common';
import { findBillingCustomer, lockBillingCustomer, writeBillingCustomer } from '../../store/billing-rows.js';
import type { BillingConnectionRow } from '../../store/inbox-rows.js';
import { fromInstant } from '../../store/instant.js';
import { customerNotFound } from '../contracts/customer-record.js';
import {
  type Changed,
  type ContractServices,
  changeData,
  type DataChange,
} from '../contracts/data-change.js';
import type { ChangeContext, Credential } from '../credential.js';
import { fromCursor, type Page, toPage } from '../page.js';
import { toTime } from '../times.js';
import { applyBilling } from './apply-billing.js';
import { type ConnectionName, findConnection } from './manage-connections.js';
import { reachedWhole } from './reached-whole.js';

export interface LinkName extends ConnectionName {
  /** The provider's. */
  readonly billingCustomer: string;
}

/**
 * Says whose a provider's customer is, before anything is told of it or after; another one than before takes over what it bought, and
 * the one before loses that.
 */
export async function putLink(
  services: ContractServices,
  credential: Credential,
  context: ChangeContext,
  named: LinkName,
  body: BillingLinkPut,
): Promise<Changed<ApiBillingLink>> {
  const environment = reachedWhole(services, credential, named.environment);
  const connection = await findConnection(services.database, environment, named.connection);
  return changeData(services, context, environment.id, async (change) => {
    const before = await lockLink(change, connection, named.billingCustomer);
    // In one order, whoever is linked to whom.
    for (const key of [...new Set([body.customer, before?.key ?? body.customer])].sort())
      await change.lockCustomer(key);
    const customer = await change.lockCustomer(body.customer);
    if (customer === null) throw customerNotFound(body.customer);
    const isSame = before?.customer_id === customer.id;
    if (!isSame) {
      await writeBillingCustomer(change.transaction, {
        connection_id: connection.id,
        customer: named.billingCustomer,
        environment_id: environment.id,
        customer_id: customer.id,
        linked_at: fromInstant(change.now),
      });
      await applyTo(services, change, before?.key ?? null);
      await applyBilling(services, change, customer);
      await record(change, connection, named.billingCustomer, customer.id, before?.customer_id ?? null);
    }
    const linkedAt = toTime(isSame ? before.linked_at.getTime() : change.now);
    const item = {
      connection: connection.key,
      billingCustomer: named.billingCustomer,
      customer: customer.key,
      linkedAt,
    };
    return { item, created: before === null };
  });
}

export async function listLinks(
  services: ContractServices,
  credential: Credential,
  named: ConnectionName,
  query: PageQuery,
): Promise<Page<ApiBillingLink>> {
  const environment = reachedWhole(services, credential, named.environment);
  const connection = await findConnection(services.database, environment, named.connection);
  const limit = query.limit ?? 50;
  const [after] = fromCursor(query.cursor, 1) ?? [];
  let select = services.database
    .selectFrom('billing_customer')
    .innerJoin('customer', 'customer.id', 'billing_customer.customer_id')
    .select(['billing_customer.customer', 'billing_customer.linked_at', 'customer.key'])
    .where('billing_customer.connection_id', '=', connection.id)
    .orderBy('billing_customer.customer')
    .limit(limit + 1);
  if (after !== undefined) select = select.where('billing_customer.customer', '>', after);
  return toPage(
    await select.execute(),
    limit,
    (row) => ({
      connection: connection.key,
      billingCustomer: row.customer,
      customer: row.key,
      linkedAt: toTime(row.linked_at.getTime()),
    }),
    (row) => [row.customer],
  );
}

async function lockLink(change: DataChange, { id }: BillingConnectionRow, theirs: string) {
  await lockBillingCustomer(change.transaction, id, theirs);
  return findBillingCustomer(change.transaction, id, theirs);
}

async function applyTo(services: ContractServices, change: DataChange, key: string | null): Promise<void> {
  const customer = key === null ? null : await change.lockCustomer(key);
  if (customer !== null) await applyBilling(services, change, customer);
}

async function record(
  change: DataChange,
  connection: BillingConnectionRow,
  billingCustomer: string,
  customerId: string,
  before: string | null,
): Promise<void> {
  await change.record({
    action: 'billing-customer.link',
    productId: null,
    objectKind: 'billing-connection',
    objectId: connection.id,
    objectVersion: connection.version,
    after: { connection: connection.key, customerId, before },
    // Their name of somebody is as personal as ours.
    personal: { subjectKind: 'customer', subjectId: customerId, members: { billingCustomer } },
  });
}
