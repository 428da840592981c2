import { aboutCustomer } from '@pennon/engine/entitlement/customer-condition';
import { resolveEntitlement } from '@pennon/engine/entitlement/resolve-entitlement';
import type { CreditLot, CustomerState, Instant } from '@pennon/engine/model/customer';
import type { EntitlementDecision } from '@pennon/engine/model/decision';
import { limitStateOf } from '@pennon/engine/model/over-limit';
import type { CompiledFeature, Snapshot } from '@pennon/engine/snapshot/snapshot';
import { wholePercent } from '@pennon/engine/usage/percent';
import type { ApiUsage } from '@pennon/protocol/management/usage';
import type { StoredStanding } from '../../store/usage-standings.js';
import { statesOf } from '../contracts/plan-move-preview.js';
import type { CustomerFactsStore } from '../customer-facts.js';
import { runInSlices } from '../run-in-slices.js';
import { toTime, toTimeOrNull } from '../times.js';

/* How accounts stand now: what the store counted, under the limit that the engine says is in force. */

export interface StandingsQuestion {
  readonly environmentId: string;
  readonly productId: string;
  readonly snapshot: Snapshot;
  readonly now: Instant;
}

/** The states of registered customers, in one statement. */
export async function readStates(
  facts: CustomerFactsStore,
  { environmentId, productId, snapshot }: StandingsQuestion,
  customerKeys: readonly string[],
): Promise<ReadonlyMap<string, CustomerState>> {
  const found = await facts.load({
    environmentId,
    productId,
    customerKeys: [...new Set(customerKeys)],
    instanceRef: null,
    userKeys: [],
    teamKeys: [],
    shared: true,
    balanceCustomerKeys: [],
    scopes: [],
  });
  return runInSlices(statesOf(found, snapshot.productKey));
}

/** Of whom the catalog or the customer is gone meanwhile there is no line. */
export function* standingsOf(
  question: StandingsQuestion,
  states: ReadonlyMap<string, CustomerState>,
  rows: readonly StoredStanding[],
): Generator<void, ApiUsage[]> {
  const items: ApiUsage[] = [];
  for (const row of rows) {
    yield;
    const state = states.get(row.customerKey);
    const feature = question.snapshot.features.get(row.feature);
    if (state === undefined || feature === undefined) continue;
    const item = standingOf(question, state, feature, row);
    if (item !== null) items.push(item);
  }
  return items;
}

/** A feature of which nothing was ever counted. */
export function untouched(state: CustomerState, feature: string): StoredStanding {
  return {
    customerId: state.id ?? '',
    customerKey: state.key,
    feature,
    scope: '',
    periodEnd: null,
    covered: 0,
    limitKnown: null,
    percentKnown: null,
    account: { feature, scope: '', periodStart: null, used: 0, reserved: 0 },
    metadata: {},
    memberships: [],
    grants: [],
  };
}

export function standingOf(
  { snapshot, now }: StandingsQuestion,
  state: CustomerState,
  feature: CompiledFeature,
  row: StoredStanding,
): ApiUsage | null {
  const own: CustomerState = {
    ...state,
    // An account that was never counted on has no period of its own.
    accounts: row.account.product === undefined ? [] : [row.account],
    // A user and an instance may share a key.
    memberships: [
      ...state.memberships,
      ...row.memberships.filter(({ member }) => member.kind === feature.per),
    ],
    grants: [...state.grants, ...row.grants.filter(({ target }) => target.kind === feature.per)],
  };
  const request = aboutCustomer(snapshot, own, now);
  const subject = { ...request.subject, ...namedBy(feature, row) };
  const decision = resolveEntitlement({ ...request, subject }, feature.key);
  return decision.kind === 'error' ? null : toUsage(decision, snapshot.productKey, feature, row);
}

function namedBy({ per }: CompiledFeature, { scope, metadata }: StoredStanding) {
  switch (per) {
    case 'customer':
      return {};
    case 'user':
      return { userKey: scope };
    case 'instance':
      return { instance: { key: scope, id: null, metadata } };
  }
}

function toUsage(
  decision: EntitlementDecision,
  product: string,
  feature: CompiledFeature,
  row: StoredStanding,
): ApiUsage {
  const { limit, usage, reserved, period } = decision;
  const bound = limit?.kind === 'finite' ? limit.value : null;
  const isOver =
    period !== null && row.account.periodStart !== null && row.account.periodStart < period.start;
  return {
    customer: row.customerKey,
    product,
    feature: feature.key,
    per: feature.per,
    scope: row.scope,
    granted: decision.granted,
    enforcement: decision.enforcement,
    limit: limit ?? { kind: 'finite', value: 0 },
    usage,
    reserved,
    balance: decision.balance,
    overage: decision.overage,
    covered: isOver ? 0 : row.covered,
    percent: wholePercent(usage + reserved, bound),
    state: limitStateOf(decision) ?? 'within_limit',
    period:
      period === null
        ? null
        : {
            start: toTime(period.start),
            end: toTime(period.end),
            interval: period.interval,
            timeZone: period.timeZone,
          },
    lastDecision:
      row.percentKnown === null && row.limitKnown === null
        ? null
        : { limit: row.limitKnown, percent: row.percentKnown },
    lots: (row.account.lots ?? []).map(toLot),
  };
}

function toLot({
  id,
  kind,
  priority,
  amount,
  remaining,
  startsAt,
  endsAt,
}: CreditLot): ApiUsage['lots'][number] {
  return { id, kind, priority, amount, remaining, startsAt: toTime(startsAt), endsAt: toTimeOrNull(endsAt) };
}
