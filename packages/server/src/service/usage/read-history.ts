import { resolveEntitlement } from '@pennon/engine/entitlement/resolve-entitlement';
import type { Aggregation } from '@pennon/engine/model/catalog';
import type { Instant } from '@pennon/engine/model/customer';
import type { EntitlementDecision } from '@pennon/engine/model/decision';
import type { EvaluationRequest } from '@pennon/engine/model/evaluation';
import { LIMITS } from '@pennon/engine/model/limits';
import { type HistoryWindow, windowEdges } from '@pennon/engine/period/windows';
import type { CompiledFeature, Snapshot } from '@pennon/engine/snapshot/snapshot';
import { historyZone } from '@pennon/engine/usage/history-zone';
import type { Kysely } from 'kysely';
import type { Tables } from '../../store/tables.js';
import {
  type AttributeFilter,
  atOneInstant,
  type GroupSum,
  type HistoryAccount,
  readCurrentPeriod,
  readGroupSums,
  readHistoryNow,
  readHourSums,
  readPeriodsBefore,
  readSharedHours,
  type StoredPeriod,
} from '../../store/usage-history.js';
import { accountScope } from '../consume-items.js';
import type { Credential } from '../credential.js';
import { entitlementFault, requireProvenCustomer, visibleRequest } from '../evaluate-entitlement.js';
import {
  type EvaluationDependencies,
  type EvaluationInput,
  type EvaluationStamp,
  prepareEvaluation,
} from '../evaluation-request.js';
import { ServiceError } from '../service-error.js';
import { isStorableKey } from '../storable-key.js';
import {
  addUp,
  type HistoryPoint,
  historyCuts,
  historyPoints,
  hourOf,
  sharedHours,
} from './history-points.js';

export interface HistoryDependencies extends EvaluationDependencies {
  readonly database: Kysely<Tables>;
}

export interface HistoryInput extends EvaluationInput {
  readonly key: string;
  readonly from: Instant;
  readonly to: Instant;
  readonly window: HistoryWindow;
  readonly by: readonly string[];
  readonly where: readonly AttributeFilter[];
}

/** What was used with certain values of the attributes, in the order of the question. */
export interface HistoryGroup {
  readonly values: readonly (string | null)[];
  readonly amount: number;
  readonly events: number;
}

export interface UsageHistory {
  readonly key: string;
  readonly customerKey: string;
  readonly aggregation: Aggregation;
  readonly timeZone: string;
  /** The instants that the windows cover. */
  readonly from: Instant;
  readonly to: Instant;
  readonly points: readonly (HistoryPoint & { readonly groups: readonly HistoryGroup[] })[];
  readonly stamp: EvaluationStamp;
}

/**
 * What was used of one feature over time, and how the balance stood at the end of each window (OEP: history). Windows that hold an
 * instant of `[from, to)` are given whole, up to the one that runs now. A customer that is not known has used nothing.
 */
export async function readHistory(
  dependencies: HistoryDependencies,
  credential: Credential,
  input: HistoryInput,
): Promise<UsageHistory> {
  requireProvenCustomer(credential);
  const prepared = await prepareEvaluation(dependencies, credential, input);
  const request = visibleRequest(prepared.request, credential, input.key);
  const feature = meteredFeature(request, input.key);
  const customerKey = request.subject.customerKey;
  if (customerKey === null) {
    throw entitlementFault('TARGETING_KEY_MISSING', 'Name the customer as `targetingKey`.');
  }
  refuseUndeclared(feature, input);
  // Whoever cannot be read now has no history that could be told (law 1).
  resolveAt(request, input.key, request.now);
  const scope = accountScope(feature, request.subject);
  const timeZone = historyZone(request, input.key);
  const edges = edgesOf(input, timeZone);
  const question = { request, feature, edges, input };
  const points = await atOneInstant(dependencies.database, async (database) => {
    const { environmentId, productId } = prepared;
    const storable = isStorableKey(customerKey) && (scope === '' || isStorableKey(scope));
    const { now, customerId } = await readHistoryNow(database, environmentId, storable ? customerKey : '');
    const account =
      customerId === null || !storable ? null : { customerId, productId, feature: feature.key, scope };
    return readPoints(database, question, account, now);
  });
  return {
    key: input.key,
    customerKey,
    aggregation: feature.aggregation,
    timeZone,
    from: edges[0] ?? input.from,
    to: edges.at(-1) ?? input.from,
    points,
    stamp: prepared.stamp,
  };
}

function meteredFeature({ snapshot }: EvaluationRequest<Snapshot>, key: string): CompiledFeature {
  const feature = snapshot.features.get(key);
  if (feature === undefined) {
    throw entitlementFault('ENTITLEMENT_NOT_FOUND', `The feature \`${key.slice(0, 128)}\` does not exist.`);
  }
  if (feature.type !== 'metered') {
    throw entitlementFault(
      'TYPE_MISMATCH',
      `\`${key}\` is ${feature.type}, and nothing of it is counted; ask for a metered feature.`,
    );
  }
  return feature;
}

function refuseUndeclared({ key, dimensions }: CompiledFeature, { by, where }: HistoryInput): void {
  const unknown = [...by, ...where.map(({ name }) => name)].find((name) => !dimensions.includes(name));
  if (unknown === undefined) return;
  const kept =
    dimensions.length === 0
      ? `\`${key}\` keeps no attribute apart; declare one under \`dimensions\``
      : `\`${key}\` keeps apart ${dimensions.map((name) => `\`${name}\``).join(', ')}`;
  throw new ServiceError(
    'invalid',
    'ATTRIBUTE_NOT_KEPT',
    `The attribute \`${unknown.slice(0, 128)}\` is not kept with the history: ${kept}.`,
  );
}

function edgesOf({ from, to, window }: HistoryInput, timeZone: string): readonly Instant[] {
  if (from >= to) {
    throw new ServiceError('invalid', 'SPAN_INVALID', '`from` must be before `to`.');
  }
  const most = LIMITS.historyWindows.value;
  const edges = windowEdges({ window, timeZone, from, to, most });
  if (edges === null) {
    throw new ServiceError(
      'invalid',
      'SPAN_TOO_LONG',
      `From \`from\` to \`to\` there are more than ${most} windows of \`${window}\`. Ask for a shorter span, or for larger windows.`,
    );
  }
  return edges;
}

interface PointsQuestion {
  readonly request: EvaluationRequest<Snapshot>;
  readonly feature: CompiledFeature;
  readonly edges: readonly Instant[];
  readonly input: Pick<HistoryInput, 'by' | 'where'>;
}

async function readPoints(
  database: Kysely<Tables>,
  { request, feature, edges, input }: PointsQuestion,
  account: HistoryAccount | null,
  now: Instant,
): Promise<UsageHistory['points']> {
  const periods = account === null ? [] : await readPeriods(database, account, edges);
  const cuts = historyCuts(edges, periods);
  const from = firstHour(edges, periods);
  const hours = sharedHours(edges, periods);
  const shared =
    account === null || hours.length === 0 ? [] : await readSharedHours(database, account, hours);
  const sums = account === null ? [] : await readHourSums(database, { account, cuts, from });
  const points = historyPoints({
    now,
    edges,
    aggregation: feature.aggregation,
    periods,
    cuts,
    sums,
    shared: new Map(shared.map(({ hour, ...rest }) => [hour, rest])),
    resolve: (at) => {
      const { limit, period } = resolveAt(request, feature.key, at);
      return { limit: limit ?? { kind: 'finite', value: 0 }, period };
    },
  });
  const { by, where } = input;
  if (by.length === 0 && where.length === 0) return points.map((point) => ({ ...point, groups: [] }));
  const ask = (one: Pick<HistoryInput, 'by' | 'where'>) =>
    account === null ? Promise.resolve([]) : readGroups(database, { account, edges, ...one });
  // With a filter, what a window shows is what passes it; the balance stays that of the account.
  const passing = where.length === 0 ? null : byBucket(await ask({ by: [], where }));
  const groups = byBucket(by.length === 0 ? [] : await ask({ by, where }));
  return points.map((point, index) => ({
    ...point,
    ...(passing === null ? {} : addUp(passing.get(index + 1) ?? [])),
    groups: (groups.get(index + 1) ?? []).map((sum) => ({ values: sum.values, ...addUp([sum]) })),
  }));
}

async function readGroups(
  database: Kysely<Tables>,
  {
    account,
    edges,
    by,
    where,
  }: Pick<HistoryInput, 'by' | 'where'> & {
    readonly account: HistoryAccount;
    readonly edges: readonly Instant[];
  },
): Promise<readonly GroupSum[]> {
  const most = LIMITS.historyGroups.value;
  const question = { account, cuts: edges, from: edges[0] ?? null, by, where, most };
  const groups = await readGroupSums(database, question);
  if (groups.length <= most) return groups;
  throw new ServiceError(
    'invalid',
    'SPAN_TOO_LONG',
    `There are more than ${most} amounts by these attributes. Ask for a shorter span, larger windows, or one value with \`where\`.`,
  );
}

function byBucket(sums: readonly GroupSum[]): ReadonlyMap<number, readonly GroupSum[]> {
  const found = new Map<number, GroupSum[]>();
  for (const sum of sums) {
    const known = found.get(sum.bucket);
    if (known === undefined) found.set(sum.bucket, [sum]);
    else known.push(sum);
  }
  return found;
}

/** Those that an edge of a window falls into, by their start. */
async function readPeriods(
  database: Kysely<Tables>,
  account: HistoryAccount,
  edges: readonly Instant[],
): Promise<readonly StoredPeriod[]> {
  const current = await readCurrentPeriod(database, account);
  if (current === null) return [];
  if (current.start === null) return [current];
  const closed = await readPeriodsBefore(database, account, edges);
  const earlier = closed.filter(({ start }) => start !== null && start < (current.start ?? 0));
  return [...earlier, current].sort((left, right) => (left.start ?? 0) - (right.start ?? 0));
}

/** From where hours are read: the beginning of the period in which the first window begins; `null`: of everything. */
function firstHour(edges: readonly Instant[], periods: readonly StoredPeriod[]): Instant | null {
  let from = edges[0] ?? 0;
  for (const { start, end } of periods) {
    if (start === null) return null;
    if (end === null || end > (edges[0] ?? 0)) from = Math.min(from, hourOf(start));
  }
  return from;
}

function resolveAt(request: EvaluationRequest<Snapshot>, key: string, now: Instant): EntitlementDecision {
  const decision = resolveEntitlement({ ...request, now }, key);
  if (decision.kind === 'error') throw entitlementFault(decision.errorCode, decision.message);
  return decision;
}
