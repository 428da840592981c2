import type { CompiledFeature } from '@pennon/engine/snapshot/snapshot';
import type { ApiUsage, NearListQuery, UsageListQuery } from '@pennon/protocol/management/usage';
import {
  type NearCursor,
  readAccountsOf,
  readNear,
  type StoredStanding,
} from '../../store/usage-standings.js';
import { findCustomer } from '../contracts/customer-record.js';
import type { CustomerName } from '../contracts/customers.js';
import type { ContractServices } from '../contracts/data-change.js';
import { productNamed } from '../contracts/named-product.js';
import type { Credential } from '../credential.js';
import type { CustomerFactsStore } from '../customer-facts.js';
import { isId } from '../new-id.js';
import { cursorRefused, fromCursor, type Page, toCursor } from '../page.js';
import type { Snapshots } from '../ports.js';
import { runInSlices } from '../run-in-slices.js';
import { environmentInReach, productInReach } from '../scope.js';
import { readStates, type StandingsQuestion, standingsOf, untouched } from './standings.js';

export interface UsageReading extends ContractServices {
  readonly snapshots: Snapshots;
  /** Reads many customers at once; not the one that answers evaluations, which has a deadline. */
  readonly facts: CustomerFactsStore;
}

const DEFAULT_PAGE = 50;
const EMPTY: Page<ApiUsage> = { items: [], nextCursor: null };

/**
 * How the metered features of a customer stand now: first those that count per customer, whether they were used or not, by feature; then
 * the accounts of users and instances that were used, by scope and feature.
 */
export async function listUsage(
  services: UsageReading,
  credential: Credential,
  named: CustomerName,
  query: UsageListQuery,
): Promise<Page<ApiUsage>> {
  const environment = environmentInReach(services.directory, credential, named.environment);
  const product = productNamed(services.directory, credential, query.product);
  const customer = await findCustomer(services.database, environment.id, named.customer);
  const snapshot = services.snapshots.current(product.id, environment.id);
  if (snapshot === null) return EMPTY;
  const limit = query.limit ?? DEFAULT_PAGE;
  const [scope = '', feature = ''] = fromCursor(query.cursor, 2) ?? [];
  const question = {
    environmentId: environment.id,
    productId: product.id,
    snapshot,
    now: services.clock.now(),
  };
  const state = (await readStates(services.facts, question, [customer.key])).get(customer.key);
  if (state === undefined) return EMPTY;
  const asked = {
    environmentId: environment.id,
    productId: product.id,
    productKey: snapshot.productKey,
    customerId: customer.id,
    feature: query.feature ?? null,
  };
  const rows: StoredStanding[] = [];
  if (scope === '') {
    const pooled = snapshot.featureList.filter(
      (one) => isPooled(one) && isAsked(one, query.feature, feature),
    );
    const next = pooled
      .map(({ key }) => key)
      .sort()
      .slice(0, limit + 1);
    const stored = await readAccountsOf(services.database, {
      ...asked,
      scoped: null,
      limit: snapshot.featureList.length,
    });
    const known = new Map(stored.map((row) => [row.feature, row]));
    rows.push(...next.map((key) => known.get(key) ?? untouched(state, key)));
  }
  if (rows.length <= limit) {
    const after = scope === '' ? null : { scope, feature };
    const left = limit + 1 - rows.length;
    rows.push(...(await readAccountsOf(services.database, { ...asked, scoped: { after }, limit: left })));
  }
  return pageOfStandings(question, rows, limit, new Map([[customer.key, state]]), (row) => [
    row.scope,
    row.feature,
  ]);
}

function isPooled({ type, per }: CompiledFeature): boolean {
  return type === 'metered' && per === 'customer';
}

function isAsked({ key }: CompiledFeature, feature: string | undefined, after: string): boolean {
  return key > after && (feature === undefined || key === feature);
}

/**
 * Who is near or over a limit, whose last decision left the most of it taken first. What is shown of each is of now: a limit that was
 * changed since is resolved anew, and the order is that of the last decisions.
 */
export async function listNear(
  services: UsageReading,
  credential: Credential,
  named: { readonly environment: string; readonly product: string },
  query: NearListQuery,
): Promise<Page<ApiUsage>> {
  const environment = environmentInReach(services.directory, credential, named.environment);
  const product = productInReach(services.directory, credential, named.product);
  const snapshot = services.snapshots.current(product.id, environment.id);
  if (snapshot === null) return EMPTY;
  const limit = query.limit ?? DEFAULT_PAGE;
  const rows = await readNear(services.database, {
    environmentId: environment.id,
    productId: product.id,
    productKey: snapshot.productKey,
    feature: query.feature ?? null,
    percent: query.percent ?? 80,
    after: nearCursorOf(query.cursor),
    limit: limit + 1,
  });
  const question = {
    environmentId: environment.id,
    productId: product.id,
    snapshot,
    now: services.clock.now(),
  };
  const states = await readStates(
    services.facts,
    question,
    rows.slice(0, limit).map(({ customerKey }) => customerKey),
  );
  return pageOfStandings(question, rows, limit, states, (row) => [
    String(row.percentKnown),
    row.customerId,
    row.scope,
    row.feature,
  ]);
}

function nearCursorOf(cursor: string | undefined): NearCursor | null {
  const position = fromCursor(cursor, 4);
  if (position === null) return null;
  const [percent = '', customerId = '', scope = '', feature = ''] = position;
  const isOurs = /^\d{1,9}$/.test(percent) && isId(customerId);
  if (!isOurs) throw cursorRefused();
  return { percent: Number(percent), customerId, scope, feature };
}

async function pageOfStandings(
  question: StandingsQuestion,
  rows: readonly StoredStanding[],
  limit: number,
  states: Parameters<typeof standingsOf>[1],
  positionOf: (row: StoredStanding) => readonly string[],
): Promise<Page<ApiUsage>> {
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  const items = await runInSlices(standingsOf(question, states, shown));
  return {
    items,
    nextCursor: rows.length > limit && last !== undefined ? toCursor(positionOf(last)) : null,
  };
}
