import type { ApiCustomer, CustomerListQuery } from '@pennon/protocol/management/customers';
import type { Credential } from '../credential.js';
import { fromCursor, type Page, toPage } from '../page.js';
import { environmentInReach } from '../scope.js';
import { type CustomerRow, toApiCustomer } from './customer-record.js';
import type { ContractServices } from './data-change.js';
import { findSubjects, type SubjectSearch } from './find-subjects.js';

export interface SearchServices extends ContractServices {
  readonly search: SubjectSearch;
}

const DEFAULT_PAGE = 50;

/** In the order of keys; with `search`, in the order of the words that were found. */
export async function listCustomers(
  services: SearchServices,
  credential: Credential,
  named: { readonly environment: string },
  query: CustomerListQuery,
): Promise<Page<ApiCustomer>> {
  const environment = environmentInReach(services.directory, credential, named.environment);
  const { search, cursor, limit = DEFAULT_PAGE } = query;
  const archived = query.archived === true;
  if (search !== undefined) {
    const kind = archived ? 'archived' : 'customer';
    const { items, nextCursor } = await findSubjects(services.search, environment.id, kind, {
      search,
      limit,
      cursor,
    });
    const found = await customersById(
      services,
      items.map((item) => item.customerId),
    );
    const customers = items.flatMap((item) => found.get(item.customerId) ?? []);
    return { items: customers.map(toApiCustomer), nextCursor };
  }
  const [after] = fromCursor(cursor, 1) ?? [];
  let select = services.database
    .selectFrom('customer')
    .selectAll()
    .where('environment_id', '=', environment.id)
    .where('archived_at', archived ? 'is not' : 'is', null)
    .orderBy('key')
    .limit(limit + 1);
  if (after !== undefined) select = select.where('key', '>', after);
  return toPage(await select.execute(), limit, toApiCustomer, (row) => [row.key]);
}

export async function customersById(
  services: ContractServices,
  ids: readonly string[],
): Promise<ReadonlyMap<string, CustomerRow>> {
  if (ids.length === 0) return new Map();
  const rows = await services.database
    .selectFrom('customer')
    .selectAll()
    .where('id', 'in', [...new Set(ids)])
    .execute();
  return new Map(rows.map((row) => [row.id, row]));
}
