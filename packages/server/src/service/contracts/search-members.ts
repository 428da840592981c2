import type { ApiInstance, ApiUser, SubjectSearchQuery } from '@pennon/protocol/management/customers';
import type { Credential } from '../credential.js';
import type { Page } from '../page.js';
import { environmentInReach } from '../scope.js';
import { type FoundSubject, findSubjects } from './find-subjects.js';
import { toApiInstance } from './instance-record.js';
import { customersById, type SearchServices } from './list-customers.js';
import { toApiUser } from './user-record.js';

const DEFAULT_PAGE = 50;

/** P-4: users of all customers of the environment, by the beginning of key, mail, or any word of the name. */
export async function searchUsers(
  services: SearchServices,
  credential: Credential,
  named: { readonly environment: string },
  query: SubjectSearchQuery,
): Promise<Page<ApiUser>> {
  return searchMembers(services, credential, named, query, 'user', async (found, keyOf) => {
    const rows = await services.database
      .selectFrom('customer_user')
      .selectAll()
      .where((expression) =>
        expression(
          expression.refTuple('customer_id', 'key'),
          'in',
          found.map(({ customerId, key }) => expression.tuple(customerId, key)),
        ),
      )
      .execute();
    return rows.map((row) => ({ row, item: toApiUser(row, keyOf(row.customer_id)) }));
  });
}

/** Deployments of all customers of the environment, by the beginning of key or any word of the name. */
export async function searchInstances(
  services: SearchServices,
  credential: Credential,
  named: { readonly environment: string },
  query: SubjectSearchQuery,
): Promise<Page<ApiInstance>> {
  const environment = environmentInReach(services.directory, credential, named.environment);
  return searchMembers(services, credential, named, query, 'instance', async (found, keyOf) => {
    const rows = await services.database
      .selectFrom('instance')
      .selectAll()
      .where('environment_id', '=', environment.id)
      .where(
        'key',
        'in',
        found.map(({ key }) => key),
      )
      .execute();
    return rows.map((row) => ({ row, item: toApiInstance(row, keyOf(row.customer_id)) }));
  });
}

interface Member<Item> {
  readonly row: { readonly customer_id: string; readonly key: string };
  readonly item: Item;
}

async function searchMembers<Item>(
  services: SearchServices,
  credential: Credential,
  named: { readonly environment: string },
  query: SubjectSearchQuery,
  kind: 'user' | 'instance',
  read: (
    found: readonly FoundSubject[],
    customerKeyOf: (id: string) => string,
  ) => Promise<readonly Member<Item>[]>,
): Promise<Page<Item>> {
  const environment = environmentInReach(services.directory, credential, named.environment);
  const { search, cursor, limit = DEFAULT_PAGE } = query;
  const page = await findSubjects(services.search, environment.id, kind, { search, limit, cursor });
  const { items: found, nextCursor } = page;
  if (found.length === 0) return { items: [], nextCursor };
  const customers = await customersById(
    services,
    found.map(({ customerId }) => customerId),
  );
  const members = await read(found, (id) => customers.get(id)?.key ?? '');
  const byName = new Map(members.map(({ row, item }) => [`${row.customer_id}/${row.key}`, item]));
  // Whoever went between the two reads is left out.
  const items = found.flatMap(({ customerId, key }) => {
    const item = byName.get(`${customerId}/${key}`);
    return item === undefined ? [] : [item];
  });
  return { items, nextCursor };
}
