import { createHash, randomBytes } from 'node:crypto';
import type { JsonValue } from '@pennon/engine/model/json';
import { LIMITS } from '@pennon/engine/model/limits';
import { type BillingConnectionRow, findBillingConnection, insertDelivery } from '../../store/inbox-rows.js';
import { fromInstant } from '../../store/instant.js';
import type { ContractServices } from '../contracts/data-change.js';
import { isId, newId } from '../new-id.js';
import { ServiceError } from '../service-error.js';
import type { DeliveryHeaders, ReadEvent } from './billing-adapter.js';
import type { BillingAdapters, WebhookProvider } from './billing-adapters.js';
import { activeSecrets } from './billing-secrets.js';
import { readText, type SignatureFault } from './signatures/signature-check.js';

export interface Delivery {
  readonly provider: WebhookProvider;
  /** As it stands in the path. */
  readonly connection: string;
  readonly headers: DeliveryHeaders;
  /** The very octets that came. */
  readonly body: Uint8Array;
}

export interface Received {
  readonly isNew: boolean;
  readonly state: 'waiting' | 'ignored' | 'dead';
}

export type ReceivingServices = Pick<ContractServices, 'database' | 'clock'> & {
  readonly adapters: BillingAdapters;
};

/** In base64, which is a secret of every provider. */
const NOBODYS_SECRET = randomBytes(32).toString('base64');

/**
 * Takes a delivery into the inbox, once, and does nothing else: when this resolves it is committed, and the provider may forget it
 * (K-12). What is signed is never refused: what cannot be read is kept as a dead letter.
 *
 * INVARIANT: who has no secret learns nothing. A connection that is not there is answered, and takes as long, as one whose secrets
 * do not fit.
 *
 * @throws ServiceError `SIGNATURE_REFUSED` (400)
 */
export async function receiveDelivery(services: ReceivingServices, delivery: Delivery): Promise<Received> {
  const { database, clock, adapters } = services;
  const named = isId(delivery.connection) ? await findBillingConnection(database, delivery.connection) : null;
  const connection = named?.provider === delivery.provider ? named : null;
  const adapter = adapters[delivery.provider];
  const now = clock.now();
  const secrets = connection === null ? [NOBODYS_SECRET] : activeSecrets(connection.secrets, now);
  const check = await adapter.checkSignature(delivery.headers, { body: delivery.body, secrets, now });
  if (!check.ok) throw refusedSignature(check.fault);
  if (connection === null) throw refusedSignature('NO_MATCH');
  const text = readText(delivery.body);
  const json = parseJson(text);
  const event = json === undefined ? null : adapter.readEvent(json, delivery.headers, connection.is_live);
  const problem = event === null ? 'UNREADABLE' : problemOf(event, connection);
  const state =
    problem !== null ? 'dead' : event !== null && concerns(event, connection) ? 'waiting' : 'ignored';
  const isNew = await insertDelivery(database, {
    connection_id: connection.id,
    account: event?.account.slice(0, LIMITS.billingReference.value) ?? '',
    event_id: event?.id.slice(0, LIMITS.billingReference.value) ?? unreadableId(delivery.body),
    id: newId(now),
    environment_id: connection.environment_id,
    type: event?.type.slice(0, LIMITS.billingReference.value) ?? '',
    subject: event?.subject?.slice(0, LIMITS.billingReference.value) ?? null,
    occurred_at: fromInstant(event?.occurredAt ?? check.signedAt),
    received_at: fromInstant(now),
    body: text?.replaceAll('\u0000', '') ?? null,
    state,
    due_at: fromInstant(now),
    problem,
  });
  return { isNew, state };
}

/** What is of another mode or account is kept, and changes nothing: a wrong endpoint must be seen, not believed. */
export function problemOf(event: ReadEvent, connection: BillingConnectionRow): string | null {
  if (event.isLive !== null && event.isLive !== connection.is_live) return 'BILLING_MODE';
  return event.account === connection.account ? null : 'BILLING_ACCOUNT';
}

/** Whether there is anything to be done: with a key of the provider's API, also where only the bell rings. */
function concerns(event: ReadEvent, connection: BillingConnectionRow): boolean {
  return event.news.length > 0 || (event.rings && connection.api_key !== null);
}

/** What cannot be read has no id of its own: the same octets again are the same delivery. */
function unreadableId(body: Uint8Array): string {
  return `sha256:${createHash('sha256').update(body).digest('hex')}`;
}

export function parseJson(text: string | null): JsonValue | undefined {
  if (text === null) return undefined;
  try {
    return JSON.parse(text) as JsonValue;
  } catch {
    return undefined;
  }
}

const SIGNATURE_WORDS: Readonly<Record<SignatureFault, string>> = {
  MISSING: 'is missing; let the provider sign what it sends',
  MALFORMED: 'is not of the form that the provider writes',
  TOO_OLD: 'is too old; let the provider send it again',
  IN_THE_FUTURE: 'is of the future; set the clocks',
  NO_MATCH:
    'fits no active secret of a connection of this address; compare both, and send the body as it was signed',
};

function refusedSignature(fault: SignatureFault): ServiceError {
  const message = `The signature of this delivery ${SIGNATURE_WORDS[fault]}.`;
  return new ServiceError('invalid', 'SIGNATURE_REFUSED', message);
}
