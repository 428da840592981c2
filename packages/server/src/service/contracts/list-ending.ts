import type { GrantEffect } from '@pennon/engine/model/customer';
import type { ApiEnding, EndingQuery } from '@pennon/protocol/management/ending';
import { ENDING_ORDER, type EndingRow, readEnding } from '../../store/ending-list.js';
import { fromInstant } from '../../store/instant.js';
import type { Credential } from '../credential.js';
import { isId } from '../new-id.js';
import { fromCursor, type Page, toPage } from '../page.js';
import { environmentInReach, productInReach } from '../scope.js';
import { fromTime } from '../times.js';
import type { ContractServices } from './data-change.js';
import { daysAfter } from './make-grants.js';

/**
 * Everything temporary that ends within some days: grants, applications of bundles, licenses, the grace of a due payment, memberships and
 * vouchers.
 */
export async function listEnding(
  services: ContractServices,
  credential: Credential,
  named: { readonly environment: string },
  query: EndingQuery,
): Promise<Page<ApiEnding>> {
  const environment = environmentInReach(services.directory, credential, named.environment);
  const product =
    query.product === undefined ? null : productInReach(services.directory, credential, query.product);
  const now = services.clock.now();
  const limit = query.limit ?? 50;
  const rows = await readEnding(services.database, {
    environmentId: environment.id,
    productId: product?.id ?? credential.productId ?? undefined,
    types: query.type === undefined ? ENDING_ORDER : [query.type],
    kind: query.kind,
    from: fromInstant(now),
    until: fromInstant(daysAfter(now, query.withinDays ?? 30)),
    after: positionOf(query.cursor),
    limit: limit + 1,
  });
  return toPage(
    rows,
    limit,
    (row) => toApiEnding(row, environment.key),
    (row) => [row.ends_at.toISOString(), row.type, row.id],
  );
}

function positionOf(cursor: string | undefined) {
  const [end, type, id] = fromCursor(cursor, 3) ?? [];
  if (end === undefined || type === undefined || id === undefined || !isId(id)) return undefined;
  return { endsAt: fromInstant(fromTime(end, 'cursor')), type, id };
}

function toApiEnding(row: EndingRow, environmentKey: string): ApiEnding {
  return {
    type: row.type,
    id: row.id,
    product: row.product_key,
    endsAt: row.ends_at.toISOString(),
    target: { kind: row.target_kind, key: row.target_key },
    kind: row.kind,
    what: row.type === 'grant' ? subjectOf(JSON.parse(row.what) as GrantEffect) : row.what,
    reason: row.reason,
    owner: row.owner,
    contractReference: row.contract_reference,
    path: `/api/v1/environments/${encodeURIComponent(environmentKey)}/${pathOf(row)}`,
  };
}

function subjectOf(effect: GrantEffect): string {
  return effect.type === 'flag' ? effect.flag : effect.feature;
}

function pathOf(row: EndingRow): string {
  const target = encodeURIComponent(row.target_key);
  switch (row.type) {
    case 'application':
      return `bundle-applications/${row.id}`;
    case 'grant':
      return `grants/${row.id}`;
    case 'grace':
    case 'license':
      return `customers/${target}/licenses/${row.id}`;
    case 'membership':
      return `products/${row.product_key}/${row.kind}s/${row.what}/members/${row.target_kind}/${target}`;
    case 'voucher':
      return `vouchers/${row.id}`;
  }
}
