import type {
  ApiGrant,
  ApiReachingGrant,
  CustomerGrantsQuery,
  GrantListQuery,
} from '@pennon/protocol/management/grants';
import {
  type GrantFilter,
  type ListedGrant,
  readGrants,
  readGrantsReaching,
} from '../../store/grant-lists.js';
import { fromInstant } from '../../store/instant.js';
import type { Credential } from '../credential.js';
import { type Page, toPage } from '../page.js';
import { environmentInReach, productInReach } from '../scope.js';
import { fromTime, toTimeOrNull } from '../times.js';
import { findCustomer } from './customer-record.js';
import { endCursorOf, endPositionOf } from './end-cursor.js';
import { toGrantOf } from './grant-record.js';
import { daysAfter, type GrantServices } from './make-grants.js';
import { metSegments } from './met-segments.js';
import { refuse } from './refusals.js';

function filterOf(
  services: GrantServices,
  credential: Credential,
  environmentId: string,
  query: CustomerGrantsQuery,
): GrantFilter {
  const product =
    query.product === undefined ? null : productInReach(services.directory, credential, query.product);
  const now = services.clock.now();
  const ends = [
    ...(query.endsBefore === undefined ? [] : [fromTime(query.endsBefore, 'endsBefore')]),
    ...(query.endsWithinDays === undefined ? [] : [daysAfter(now, query.endsWithinDays)]),
  ];
  return {
    environmentId,
    productId: product?.id ?? credential.productId ?? undefined,
    kind: query.kind,
    contractReference: query.contractReference,
    endsBefore: ends.length === 0 ? undefined : fromInstant(Math.min(...ends)),
    liveAt: query.revoked === true ? undefined : fromInstant(now),
    after: endPositionOf(query.cursor),
    limit: (query.limit ?? 50) + 1,
  };
}

/**
 * Grants that are in force or to come, those that end first first; all that rest on contracts in one place by
 * `kind=contract` (C-6).
 */
export async function listGrants(
  services: GrantServices,
  credential: Credential,
  named: { readonly environment: string },
  query: GrantListQuery,
): Promise<Page<ApiGrant>> {
  const environment = environmentInReach(services.directory, credential, named.environment);
  const { targetKind, targetKey } = query;
  if ((targetKind === undefined) !== (targetKey === undefined)) {
    throw refuse('invalid', 'QUERY_INVALID', 'Send `targetKind` and `targetKey` together.', 'targetKind');
  }
  const filter = filterOf(services, credential, environment.id, query);
  const rows = await readGrants(services.database, {
    ...filter,
    applicationId: query.application,
    customerKey: query.customer,
    target:
      targetKind === undefined || targetKey === undefined ? undefined : { kind: targetKind, key: targetKey },
  });
  return toPage(rows, filter.limit - 1, (row) => itemOf(services, row), endCursorOf);
}

function itemOf({ snapshots }: GrantServices, row: ListedGrant): ApiGrant {
  return toGrantOf(snapshots, row, row.product_key);
}

const WAYS = 20;

/** Every grant that reaches one customer, each with through whom or what it does (C-6). */
export async function listCustomerGrants(
  services: GrantServices,
  credential: Credential,
  named: { readonly environment: string; readonly customer: string },
  query: CustomerGrantsQuery,
): Promise<Page<ApiReachingGrant>> {
  const environment = environmentInReach(services.directory, credential, named.environment);
  const filter = filterOf(services, credential, environment.id, query);
  const rows = await readGrantsReaching(services.database, {
    ...filter,
    customerKey: named.customer,
    now: fromInstant(services.clock.now()),
    met: await metSegments(services, credential, environment, named.customer),
    ways: WAYS,
  });
  // Grants may name customers that nobody registered; one that no grant names either is a misspelt one.
  if (rows.length === 0) await findCustomer(services.database, environment.id, named.customer);
  return toPage(
    rows,
    filter.limit - 1,
    (row) => ({
      ...itemOf(services, row),
      through: row.through.map(([kind, key, endsAt]) => ({
        kind: kind as ApiReachingGrant['through'][number]['kind'],
        key,
        endsAt: toTimeOrNull(endsAt === null ? null : Date.parse(endsAt)),
      })),
    }),
    endCursorOf,
  );
}
