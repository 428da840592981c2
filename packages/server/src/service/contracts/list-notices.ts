import type { ApiNotice, NoticeListQuery } from '@pennon/protocol/management/notices';
import type { OutboxQuestion, OutboxRow } from '../../store/outbox-reads.js';
import { type FollowPlace, readNewest, readOldest } from '../../store/outbox-reads.js';
import type { Credential } from '../credential.js';
import { isId } from '../new-id.js';
import { fromCursor, type Page, toCursor, toPage } from '../page.js';
import { environmentInReach } from '../scope.js';
import { fromTime, toTime } from '../times.js';
import { NOTICE_TYPES, type NoticeType } from '../usage-notices.js';
import { findCustomer } from './customer-record.js';
import type { ContractServices } from './data-change.js';
import { productNamed } from './named-product.js';
import { refuse } from './refusals.js';

/** What was told of usage: to look at, the latest first, or to follow without passing anything over. */
export async function listNotices(
  services: ContractServices,
  credential: Credential,
  named: { readonly environment: string },
  query: NoticeListQuery,
): Promise<Page<ApiNotice>> {
  const environment = environmentInReach(services.directory, credential, named.environment);
  const { customer, product, feature, type, from, to, limit = 50 } = query;
  const question = {
    environmentId: environment.id,
    types: type === undefined ? NOTICE_TYPES : [type],
    productId:
      product === undefined ? credential.productId : productNamed(services.directory, credential, product).id,
    customerId:
      customer === undefined ? null : (await findCustomer(services.database, environment.id, customer)).id,
    subject: feature ?? null,
    from: from === undefined ? null : new Date(fromTime(from, 'from')),
    to: to === undefined ? null : new Date(fromTime(to, 'to')),
    limit,
  };
  return query.order === 'oldest'
    ? follow(services, question, query.cursor)
    : latest(services, question, query.cursor);
}

async function latest(
  services: ContractServices,
  question: OutboxQuestion,
  cursor: string | undefined,
): Promise<Page<ApiNotice>> {
  const { limit } = question;
  const [word, at, id] = fromCursor(cursor, 3) ?? [];
  if (cursor !== undefined && (word !== 'newest' || !isId(id ?? '') || !/^\d{1,15}$/.test(at ?? ''))) {
    throw cursorInvalid();
  }
  const before = id === undefined ? null : { occurredAt: new Date(Number(at)), id };
  const rows = await readNewest(services.database, { ...question, limit: limit + 1 }, before);
  return toPage(
    rows,
    limit,
    (row) => toApiNotice(services, row),
    (row) => ['newest', String(row.occurred_at.getTime()), row.id],
  );
}

const BEGINNING: FollowPlace = { transactionId: '0', id: '00000000-0000-0000-0000-000000000000' };

/** There is always a next place, also where nothing is there yet. */
async function follow(
  services: ContractServices,
  question: OutboxQuestion,
  cursor: string | undefined,
): Promise<Page<ApiNotice>> {
  const after = fromFollowCursor(cursor);
  const rows = await readOldest(services.database, question, after);
  if (rows === null) throw cursorInvalid();
  const last = rows.at(-1);
  const place =
    last === undefined ? (after ?? BEGINNING) : { transactionId: last.transaction_id, id: last.id };
  return {
    items: rows.map((row) => toApiNotice(services, row)),
    nextCursor: toCursor(['oldest', place.transactionId, place.id]),
  };
}

function fromFollowCursor(cursor: string | undefined): FollowPlace | null {
  const [word, transactionId, id] = fromCursor(cursor, 3) ?? [];
  if (transactionId === undefined || id === undefined) return null;
  if (word !== 'oldest' || !isId(id) || !/^\d{1,18}$/.test(transactionId)) throw cursorInvalid();
  return { transactionId, id };
}

function cursorInvalid() {
  return refuse(
    'invalid',
    'CURSOR_INVALID',
    'The `cursor` is not one that this list gave in this `order`, or the database was restored since. Begin again without one; `from` spares what you have seen.',
    'cursor',
  );
}

type NoticeData = Pick<
  ApiNotice,
  'used' | 'reserved' | 'limit' | 'percent' | 'overage' | 'enforcement' | 'period'
> &
  Partial<Pick<ApiNotice, 'level' | 'wouldHaveDenied' | 'previous'>>;

function toApiNotice({ directory }: ContractServices, row: OutboxRow): ApiNotice {
  const data = JSON.parse(row.data) as NoticeData;
  return {
    id: row.id,
    type: row.type as NoticeType,
    occurredAt: toTime(row.occurred_at.getTime()),
    customer: row.customer_key ?? '',
    product: row.product_id === null ? '' : (directory.product(row.product_id)?.key ?? ''),
    feature: row.subject ?? '',
    scope: row.scope,
    level: data.level ?? null,
    used: data.used,
    reserved: data.reserved,
    limit: data.limit,
    percent: data.percent,
    overage: data.overage,
    enforcement: data.enforcement,
    wouldHaveDenied: data.wouldHaveDenied ?? false,
    period: data.period,
    previous: data.previous ?? null,
  };
}
