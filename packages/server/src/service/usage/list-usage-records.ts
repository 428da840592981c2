import type { JsonObject } from '@pennon/engine/model/json';
import type { ApiUsageRecord, UsageRecordQuery } from '@pennon/protocol/management/usage';
import { type RecordsQuestion, readRecords, type StoredRecord } from '../../store/usage-listings.js';
import { findCustomer } from '../contracts/customer-record.js';
import type { CustomerName } from '../contracts/customers.js';
import type { ContractServices } from '../contracts/data-change.js';
import { productNamed } from '../contracts/named-product.js';
import type { Credential } from '../credential.js';
import { isId } from '../new-id.js';
import { cursorRefused, fromCursor, type Page, toPage } from '../page.js';
import { environmentInReach } from '../scope.js';
import { fromTime, toTime, toTimeOrNull } from '../times.js';

/** Every decision and every recorded event of a customer, the newest first: the audit view of usage (law 8). */
export async function listUsageRecords(
  services: ContractServices,
  credential: Credential,
  named: CustomerName,
  query: UsageRecordQuery,
): Promise<Page<ApiUsageRecord>> {
  const environment = environmentInReach(services.directory, credential, named.environment);
  const product = productNamed(services.directory, credential, query.product);
  const customer = await findCustomer(services.database, environment.id, named.customer);
  const limit = query.limit ?? 50;
  const rows = await newestRecords(services, {
    customerId: customer.id,
    productId: product.id,
    feature: query.feature ?? null,
    scope: query.scope ?? null,
    from: query.from === undefined ? null : fromTime(query.from, 'from'),
    to: query.to === undefined ? null : fromTime(query.to, 'to'),
    kind: query.kind ?? null,
    after: cursorOf(query.cursor),
    limit: limit + 1,
  });
  return toPage(rows, limit, toRecord, (row) => [String(row.at), row.id, String(row.item)]);
}

const HOUR = 3_600_000;
/** How far back is looked before further: for want of an index by time, what is not looked at need not be sorted. */
const SPANS = [HOUR, 24 * HOUR, 31 * 24 * HOUR];

async function newestRecords(
  { database, clock }: ContractServices,
  question: RecordsQuestion,
): Promise<readonly StoredRecord[]> {
  const { from, to, after, limit } = question;
  const newest = after?.at ?? to ?? clock.now();
  for (const span of SPANS) {
    const since = newest - span;
    if (from !== null && since <= from) break;
    const rows = await readRecords(database, { ...question, from: since });
    if (rows.length >= limit) return rows;
  }
  return readRecords(database, question);
}

function cursorOf(cursor: string | undefined): RecordsQuestion['after'] {
  const position = fromCursor(cursor, 3);
  if (position === null) return null;
  const [at = '', id = '', item = ''] = position;
  const isOurs = /^\d{1,15}$/.test(at) && isId(id) && /^\d{1,6}$/.test(item);
  if (!isOurs) throw cursorRefused();
  return { at: Number(at), id, item: Number(item) };
}

function toRecord(row: StoredRecord): ApiUsageRecord {
  return {
    at: toTime(row.at),
    id: row.id,
    operation: row.operation as ApiUsageRecord['operation'],
    feature: row.feature,
    scope: row.scope,
    amount: row.amount,
    periodStart: toTimeOrNull(row.period_start),
    attributes: row.attributes === null ? null : (JSON.parse(row.attributes) as JsonObject),
    actor: row.actor,
    decision: toDecision(row),
    event: toEvent(row),
  };
}

function toDecision(row: StoredRecord): ApiUsageRecord['decision'] {
  if (row.allowed === null) return null;
  return {
    item: row.item,
    allowed: row.allowed,
    reason: row.reason ?? '',
    enforcement: row.enforcement ?? '',
    requested: row.requested ?? 0,
    usedAfter: row.used_after ?? 0,
    reservedAfter: row.reserved_after ?? 0,
    limit: row.limit_at_decision,
    idempotencyKey: row.idempotency_key ?? '',
    revision: row.revision ?? 0,
  };
}

function toEvent(row: StoredRecord): ApiUsageRecord['event'] {
  if (row.allowed !== null) return null;
  return {
    source: row.source ?? '',
    id: row.event_id ?? '',
    type: row.type ?? '',
    counted: row.counted ?? 0,
    occurredAt: toTime(row.occurred_at ?? row.at),
    countedAt: toTime(row.counted_at ?? row.at),
    corrects: row.corrects,
  };
}
