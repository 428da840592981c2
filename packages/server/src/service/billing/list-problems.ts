import { BILLING_PROBLEM_CODES } from '@pennon/engine/billing/billing-problem';
import type { BillingItem } from '@pennon/engine/model/billing-subscription';
import type { ApiBillingProblem } from '@pennon/protocol/management/billing';
import type { PageQuery } from '@pennon/protocol/management/common';
import type { Kysely, Selectable } from 'kysely';
import type { BillingProblemTable } from '../../store/billing-tables.js';
import type { Tables } from '../../store/tables.js';
import type { ContractServices } from '../contracts/data-change.js';
import type { Credential } from '../credential.js';
import { fromCursor, type Page, toPage } from '../page.js';
import { toTime } from '../times.js';
import { reachedWhole } from './reached-whole.js';

const CODES = ['CUSTOMER_NOT_LINKED', ...BILLING_PROBLEM_CODES] as const;

/** What somebody has to look at, over all connections of the environment, until it is gone. */
export async function listProblems(
  services: ContractServices,
  credential: Credential,
  named: { readonly environment: string },
  query: PageQuery,
): Promise<Page<ApiBillingProblem>> {
  const environment = reachedWhole(services, credential, named.environment);
  const limit = query.limit ?? 50;
  const [connection, subscription, number] = fromCursor(query.cursor, 3) ?? [];
  let select = services.database
    .selectFrom('billing_problem')
    .innerJoin('billing_connection', 'billing_connection.id', 'billing_problem.connection_id')
    .selectAll('billing_problem')
    .select('billing_connection.key')
    .where('billing_problem.environment_id', '=', environment.id)
    .orderBy('billing_connection.key')
    .orderBy('billing_problem.subscription')
    .orderBy('billing_problem.number')
    .limit(limit + 1);
  if (connection !== undefined && subscription !== undefined) {
    const after = Number(number);
    select = select.where(({ eb, refTuple, tuple }) =>
      eb(
        refTuple('billing_connection.key', 'billing_problem.subscription', 'billing_problem.number'),
        '>',
        tuple(connection, subscription, Number.isSafeInteger(after) ? after : 0),
      ),
    );
  }
  return toPage(await select.execute(), limit, toApiProblem, (row) => [
    row.key,
    row.subscription,
    String(row.number),
  ]);
}

/** Of one subscription. */
export async function problemsOf(
  database: Kysely<Tables>,
  connectionId: string,
  subscription: string,
): Promise<ApiBillingProblem[]> {
  const rows = await database
    .selectFrom('billing_problem')
    .innerJoin('billing_connection', 'billing_connection.id', 'billing_problem.connection_id')
    .selectAll('billing_problem')
    .select('billing_connection.key')
    .where('billing_problem.connection_id', '=', connectionId)
    .where('billing_problem.subscription', '=', subscription)
    .orderBy('billing_problem.number')
    .execute();
  return rows.map(toApiProblem);
}

function toApiProblem(row: Selectable<BillingProblemTable> & { readonly key: string }): ApiBillingProblem {
  return {
    connection: row.key,
    subscription: row.subscription,
    code: CODES.find((code) => code === row.code) ?? 'NOT_MAPPED',
    product: row.product,
    name: row.name,
    item: row.item === null ? null : toApiItem(JSON.parse(row.item) as BillingItem),
    isHeld: row.is_held,
    since: toTime(row.since.getTime()),
  };
}

function toApiItem({ price, lookupKey, product, quantity }: BillingItem) {
  return { price, lookupKey, product, quantity };
}
