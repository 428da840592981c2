import type {
  ApiBillingDelivery,
  ApiBillingDeliveryBody,
  BillingDeliveryQuery,
  BillingReplay,
  BillingReplayed,
} from '@pennon/protocol/management/billing-deliveries';
import { type InboxRow, reviveDeliveries } from '../../store/inbox-rows.js';
import { fromInstant } from '../../store/instant.js';
import { type Changed, type ContractServices, changeData } from '../contracts/data-change.js';
import { notFound } from '../contracts/refusals.js';
import type { ChangeContext, Credential } from '../credential.js';
import { isId } from '../new-id.js';
import { fromCursor, type Page, toPage } from '../page.js';
import { toTime } from '../times.js';
import { type ConnectionName, findConnection } from './manage-connections.js';
import { reachedWhole } from './reached-whole.js';

/** What came over a connection and stands as asked; the oldest first. Dead letters, unless another state is named. */
export async function listDeliveries(
  services: ContractServices,
  credential: Credential,
  named: ConnectionName,
  query: BillingDeliveryQuery,
): Promise<Page<ApiBillingDelivery>> {
  const environment = reachedWhole(services, credential, named.environment);
  const connection = await findConnection(services.database, environment, named.connection);
  const limit = query.limit ?? 50;
  const [after] = fromCursor(query.cursor, 1) ?? [];
  let select = services.database
    .selectFrom('webhook_inbox')
    .selectAll()
    .where('connection_id', '=', connection.id)
    .where('state', '=', query.state ?? 'dead')
    .orderBy('id')
    .limit(limit + 1);
  if (after !== undefined && isId(after)) select = select.where('id', '>', after);
  return toPage(await select.execute(), limit, toApiDelivery, (row) => [row.id]);
}

/** One with its body as it came. */
export async function readDelivery(
  services: ContractServices,
  credential: Credential,
  named: ConnectionName & { readonly delivery: string },
): Promise<ApiBillingDeliveryBody> {
  const environment = reachedWhole(services, credential, named.environment);
  const connection = await findConnection(services.database, environment, named.connection);
  const row = await services.database
    .selectFrom('webhook_inbox')
    .selectAll()
    .where('connection_id', '=', connection.id)
    .where('id', '=', named.delivery)
    .executeTakeFirst();
  if (row !== undefined) return { ...toApiDelivery(row), body: row.body };
  throw notFound(
    'BILLING_DELIVERY_NOT_FOUND',
    `The delivery \`${named.delivery}\``,
    'GET …/deliveries lists those that are kept.',
  );
}

/** Dead letters are tried again from the first attempt on: those named, or all of the connection. */
export async function replayDeliveries(
  services: ContractServices,
  credential: Credential,
  context: ChangeContext,
  named: ConnectionName,
  body: BillingReplay,
): Promise<Changed<BillingReplayed>> {
  const environment = reachedWhole(services, credential, named.environment);
  const connection = await findConnection(services.database, environment, named.connection);
  return changeData(services, context, environment.id, async (change) => {
    const ids = body.deliveries ?? null;
    const replayed = await reviveDeliveries(change.transaction, connection.id, ids, fromInstant(change.now));
    await change.record({
      action: 'billing-connection.replay',
      productId: null,
      objectKind: 'billing-connection',
      objectId: connection.id,
      objectVersion: connection.version,
      after: { connection: connection.key, deliveries: ids, replayed },
    });
    return { item: { replayed }, created: false };
  });
}

function toApiDelivery(row: InboxRow): ApiBillingDelivery {
  return {
    id: row.id,
    eventId: row.event_id,
    type: row.type,
    account: row.account,
    billingCustomer: row.subject,
    state: row.state,
    attempts: row.attempts,
    problem: row.problem,
    occurredAt: toTime(row.occurred_at.getTime()),
    receivedAt: toTime(row.received_at.getTime()),
    dueAt: row.state === 'waiting' ? toTime(row.due_at.getTime()) : null,
  };
}
