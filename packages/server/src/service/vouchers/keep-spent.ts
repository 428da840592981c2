import { spentPart } from '@pennon/engine/entitlement/spent-part';
import type { AccountState, GrantEffect, Instant } from '@pennon/engine/model/customer';
import type { EvaluationRequest } from '@pennon/engine/model/evaluation';
import { LIMITS } from '@pennon/engine/model/limits';
import type { CompiledFeature, Snapshot } from '@pennon/engine/snapshot/snapshot';
import type { ApiRedemption } from '@pennon/protocol/management/vouchers';
import { sql } from 'kysely';
import { toInstantOrNull } from '../../store/instant.js';
import { LOTS_OF, toLots } from '../../store/lot-statements.js';
import type { DataChange } from '../contracts/data-change.js';
import { type GrantServices, makeGrants } from '../contracts/make-grants.js';
import { touchTarget } from '../contracts/touch-target.js';
import type { ProductRecord } from '../ports.js';
import { toTimeOrNull } from '../times.js';
import { evaluationOf } from './redemption-facts.js';
import type { RedemptionTarget } from './redemption-target.js';
import { givenGrants, type RedemptionRow } from './voucher-record.js';

type Kept = ApiRedemption['kept'];

export interface Revocation {
  readonly row: RedemptionRow;
  readonly customerKey: string;
  readonly version: number | null;
  readonly product: ProductRecord;
  readonly snapshot: Snapshot | null;
  /** Of the grants that were made. */
  readonly source: string;
}

/**
 * What was used out of the grants that are about to end is given again, for as long as it counts: exactly so much that the balance is 0
 * (K-8: never what was used). Of every account that they lifted, as it stands under the customer's lock.
 */
export async function keepSpent(
  services: GrantServices,
  change: DataChange,
  revocation: Revocation,
): Promise<Kept> {
  const { row, snapshot, product } = revocation;
  if (snapshot === null) return [];
  const withdrawn = new Set(givenGrants(row).map(({ id }) => id));
  const features = meteredFeatures(
    snapshot,
    givenGrants(row).map(({ effect }) => effect),
  );
  const kept: Kept = [];
  for (const feature of features) {
    for (const account of await accountsOf(change, row, feature)) {
      const request = await requestFor(services, change, revocation, feature, account);
      const target = targetOf(row, feature, account.scope);
      const spent = request === null ? null : spentPart(request, feature.key, withdrawn, target);
      if (spent === null) continue;
      const endsAt = earlier(spent.until, toInstantOrNull(row.ends_at));
      if (endsAt !== null && endsAt <= change.now) continue;
      const [made] = await makeGrants(services, change, product, [
        {
          kind: 'voucher',
          target,
          effect: { type: 'add', feature: feature.key, amount: spent.amount },
          startsAt: change.now,
          endsAt,
          contractReference: null,
          reason: `Used before the redemption ${row.id} was revoked.`,
          owner: null,
          source: revocation.source,
          applicationId: null,
        },
      ]);
      if (made === undefined) throw new Error('A grant that was made is there.');
      await touchTarget(change, target);
      kept.push({
        feature: feature.key,
        scope: account.scope,
        amount: spent.amount,
        until: toTimeOrNull(endsAt),
        grant: made.id,
      });
    }
  }
  return kept;
}

function earlier(left: Instant | null, right: Instant | null): Instant | null {
  if (left === null || right === null) return left ?? right;
  return Math.min(left, right);
}

/** Those that effects lift themselves, and those that a granted flag gives along. */
function meteredFeatures(snapshot: Snapshot, effects: readonly GrantEffect[]): readonly CompiledFeature[] {
  const keys = effects.flatMap((effect) =>
    effect.type === 'flag' ? Object.keys(effect.limits ?? {}) : [effect.feature],
  );
  return [...new Set(keys)].sort().flatMap((key) => {
    const feature = snapshot.features.get(key);
    return feature?.type === 'metered' ? [feature] : [];
  });
}

/** Of a feature that counts per user or instance, every account that the grant's target holds, those that used most first. */
async function accountsOf(
  change: DataChange,
  row: RedemptionRow,
  feature: CompiledFeature,
): Promise<readonly AccountState[]> {
  let select = change.transaction
    .selectFrom('account')
    .select(['feature', 'scope', 'period_start', 'period_end', 'used', 'reserved', 'covered'])
    .select(sql`${sql.raw(LOTS_OF('account'))}`.as('lots'))
    .where('customer_id', '=', row.customer_id)
    .where('product_id', '=', row.product_id)
    .where('feature', '=', feature.key)
    .where((where) => where.or([where('used', '>', 0), where('reserved', '>', 0)]))
    .orderBy('used', 'desc')
    .orderBy('scope')
    .limit(LIMITS.spentAccounts.value);
  if (feature.per === row.target_kind && feature.per !== 'customer') {
    select = select.where('scope', '=', row.target_key);
  }
  const rows = await select.execute();
  return rows.map(({ scope, period_start, period_end, used, reserved, covered, lots }) => ({
    feature: feature.key,
    scope,
    periodStart: toInstantOrNull(period_start),
    periodEnd: toInstantOrNull(period_end),
    used,
    reserved,
    covered,
    lots: toLots(lots),
  }));
}

/** Whose account it is: what is kept is kept for that one alone. */
function targetOf(row: RedemptionRow, { per }: CompiledFeature, scope: string): RedemptionTarget {
  return per === 'customer' ? { kind: row.target_kind, key: row.target_key } : { kind: per, key: scope };
}

/** With the account's own row as truth, instead of the balance that memory last knew. */
async function requestFor(
  services: GrantServices,
  change: DataChange,
  { row, customerKey, version, product, snapshot }: Revocation,
  feature: CompiledFeature,
  account: AccountState,
): Promise<EvaluationRequest<Snapshot> | null> {
  if (snapshot === null) return null;
  const scopeOf = (kind: 'user' | 'instance'): string | null => {
    if (feature.per === kind) return account.scope;
    return row.target_kind === kind ? row.target_key : null;
  };
  const request = await evaluationOf(
    services,
    snapshot,
    {
      environmentId: change.environmentId,
      product,
      customerKey,
      userKey: scopeOf('user'),
      instanceRef: scopeOf('instance'),
      version,
    },
    change.now,
  );
  const { customer } = request;
  if (customer === null || customer === 'unavailable') return null;
  return { ...request, customer: { ...customer, accounts: [account] } };
}
