import { canonicalJson } from '@pennon/engine/catalog/canonical-json';
import type { JsonValue } from '@pennon/engine/model/json';
import { LIMITS } from '@pennon/engine/model/limits';
import type { BillingEvent, BillingEventResult } from '@pennon/protocol/management/billing-events';
import { findBillingCustomer, findCustomerId, licensesOfSubscription } from '../../store/billing-rows.js';
import { type BillingConnectionRow, findDelivery, insertDelivery } from '../../store/inbox-rows.js';
import { fromInstant } from '../../store/instant.js';
import { customerNotFound } from '../contracts/customer-record.js';
import {
  type Changed,
  type ContractServices,
  changeData,
  type DataChange,
} from '../contracts/data-change.js';
import { toApiLicense } from '../contracts/license-record.js';
import { refuse } from '../contracts/refusals.js';
import type { ChangeContext, Credential } from '../credential.js';
import { newId } from '../new-id.js';
import type { ServiceError } from '../service-error.js';
import { type BillingNews, type BillingSource, contextOf } from './billing-news.js';
import { customerOfEvent, fromBillingEvent, type ToldItems } from './from-billing-event.js';
import { problemsOf } from './list-problems.js';
import { findConnection } from './manage-connections.js';
import { reachedWhole } from './reached-whole.js';
import { isNewestReport, takeInAll } from './take-in-news.js';

const TYPE = 'subscription.state';

/**
 * Takes in the state of a subscription that somebody tells: a contract that was signed by hand, or a provider without an adapter. The
 * greatest `sequence` counts, whatever the order. When this resolves it is committed, with everything that it changes (K-12).
 *
 * @throws ServiceError `BILLING_CONNECTION_NOT_FOUND` and `CUSTOMER_NOT_FOUND` (404), `BILLING_SEQUENCE_USED` (409),
 *   `BILLING_PROVIDER` and faults of the body (422)
 */
export async function tellBillingEvent(
  services: ContractServices,
  credential: Credential,
  context: ChangeContext,
  named: { readonly environment: string },
  body: BillingEvent,
): Promise<Changed<BillingEventResult>> {
  const environment = reachedWhole(services, credential, named.environment);
  const connection = await findConnection(services.database, environment, body.connection);
  if (connection.provider !== 'api') throw wrongProvider(connection);
  const id = `${body.subscription}#${body.sequence}`;
  const source: BillingSource = {
    connection: {
      id: connection.id,
      key: connection.key,
      provider: connection.provider,
      environmentId: environment.id,
      isLive: connection.is_live,
    },
    event: { id, type: TYPE },
  };
  const told: ToldItems = { directory: services.directory, credential };
  return changeData(services, actingFor(context, source), environment.id, async (change) => {
    const news = fromBillingEvent(body, { id, isLive: connection.is_live, now: change.now }, told);
    const { reason: _, ...said } = body;
    const text = canonicalJson(said as unknown as JsonValue);
    const [report] = news;
    const inserted = await insertDelivery(change.transaction, {
      connection_id: connection.id,
      account: '',
      event_id: id,
      id: newId(change.now),
      environment_id: environment.id,
      type: TYPE,
      subject: customerOfEvent(body),
      occurred_at: fromInstant(report.mark.saidAt ?? change.now),
      received_at: fromInstant(change.now),
      body: text,
      state: 'done',
      due_at: fromInstant(change.now),
      problem: null,
    });
    if (!inserted) await checkSame(change, connection.id, id, text, body);
    else if (body.customer !== undefined) await checkKnown(change, body.customer);
    const outcome = inserted ? await takeInTold(services, change, source, news) : 'known';
    return { item: await resultOf(change, source, body, outcome), created: false };
  });
}

/** The audit names provider, event and connection; the reason is the caller's own, and names who called. */
function actingFor(context: ChangeContext, source: BillingSource): ChangeContext {
  const { actor, reason, ...rest } = context;
  const told = ` (told by ${actor.kind} \`${actor.id}\`)`;
  const text = `${(reason ?? '').slice(0, LIMITS.textLength.value - told.length)}${told}`;
  return { ...rest, actor: contextOf(source).actor, reason: text };
}

async function takeInTold(
  services: ContractServices,
  change: DataChange,
  source: BillingSource,
  news: readonly [BillingNews & { readonly kind: 'subscription' }, ...BillingNews[]],
): Promise<BillingEventResult['outcome']> {
  const outcome = await takeInAll(services, change, source, news);
  const isNewest = await isNewestReport(change, source, news[0]);
  return isNewest ? outcome : 'stale';
}

async function checkSame(
  change: DataChange,
  connectionId: string,
  eventId: string,
  text: string,
  { subscription, sequence }: BillingEvent,
): Promise<void> {
  const before = await findDelivery(change.transaction, connectionId, eventId);
  if (before?.body === text) return;
  throw refuse(
    'conflict',
    'BILLING_SEQUENCE_USED',
    `Something else was told of \`${subscription}\` with the sequence ${sequence}. Raise the sequence with every change.`,
    '/sequence',
  );
}

/** Whose it is must exist: what is told of nobody would be a silent loss. It is not locked here: what they have there is locked first. */
async function checkKnown(change: DataChange, key: string): Promise<void> {
  const customerId = await findCustomerId(change.transaction, change.environmentId, key);
  if (customerId === null) throw customerNotFound(key);
}

async function resultOf(
  change: DataChange,
  { connection, event }: BillingSource,
  body: BillingEvent,
  outcome: BillingEventResult['outcome'],
): Promise<BillingEventResult> {
  const { transaction } = change;
  const delivery = await findDelivery(transaction, connection.id, event.id);
  const linked = await findBillingCustomer(transaction, connection.id, customerOfEvent(body));
  const licenses =
    linked === null
      ? []
      : await licensesOfSubscription(transaction, linked.customer_id, connection.id, body.subscription);
  return {
    id: delivery?.id ?? '',
    outcome,
    customer: linked?.key ?? null,
    licenses: licenses.map(({ product, ...row }) =>
      toApiLicense(row, linked?.key ?? '', product, change.now),
    ),
    problems: await problemsOf(transaction, connection.id, body.subscription),
  };
}

function wrongProvider({ key, provider }: BillingConnectionRow): ServiceError {
  return refuse(
    'unprocessable',
    'BILLING_PROVIDER',
    `The connection \`${key}\` is told by ${provider} itself. Make one of the provider \`api\` for what is told here.`,
    '/connection',
  );
}
