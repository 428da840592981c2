import type { DesiredLicense } from '@pennon/engine/billing/desired-license';
import { canonicalJson } from '@pennon/engine/catalog/canonical-json';
import type { BillingRecord } from '@pennon/engine/model/billing-subscription';
import type { Instant, LicenseStatus } from '@pennon/engine/model/customer';
import type { JsonValue } from '@pennon/engine/model/json';
import { anchorAt, parseAnchor } from '@pennon/engine/period/anchor';
import type { ApiBillingDrift, ApiBillingDriftPage } from '@pennon/protocol/management/billing-deliveries';
import type { PageQuery } from '@pennon/protocol/management/common';
import type { Transaction } from 'kysely';
import { type BillingSubscriptionRow, findBillingCustomer } from '../../store/billing-rows.js';
import type { Tables } from '../../store/tables.js';
import type { ContractServices } from '../contracts/data-change.js';
import { type LicenseRow, settledAt, termsOf } from '../contracts/license-record.js';
import type { Credential } from '../credential.js';
import { fromCursor, toCursor } from '../page.js';
import type { EnvironmentRecord } from '../ports.js';
import { toTimeOrNull } from '../times.js';
import { type BillingDecided, decideBilling } from './apply-billing.js';
import { type ConnectionName, findConnection } from './manage-connections.js';
import { reachedWhole } from './reached-whole.js';

/**
 * What billing says against what is licensed, subscription by subscription: decided anew from what is known, and held against the
 * licenses as they stand. A page is of the subscriptions that were looked at, and names those that differ.
 */
export async function listDrift(
  services: ContractServices,
  credential: Credential,
  named: ConnectionName,
  query: PageQuery,
): Promise<ApiBillingDriftPage> {
  const environment = reachedWhole(services, credential, named.environment);
  const connection = await findConnection(services.database, environment, named.connection);
  const limit = query.limit ?? 50;
  const [after] = fromCursor(query.cursor, 1) ?? [];
  // One instant of the store: what is changed meanwhile must not look like drift.
  return services.database
    .transaction()
    .setIsolationLevel('repeatable read')
    .setAccessMode('read only')
    .execute(async (transaction) => {
      let select = transaction
        .selectFrom('billing_subscription')
        .selectAll()
        .where('connection_id', '=', connection.id)
        .orderBy('subscription')
        .limit(limit + 1);
      if (after !== undefined) select = select.where('subscription', '>', after);
      const rows = await select.execute();
      const page = rows.slice(0, limit);
      const reader = new DriftReader(services, transaction, environment);
      const items: ApiBillingDrift[] = [];
      for (const row of page) items.push(...(await reader.driftOf(row)));
      const last = page.at(-1);
      return {
        items,
        nextCursor: rows.length > limit && last !== undefined ? toCursor([last.subscription]) : null,
        looked: page.length,
        reconciledAt: toTimeOrNull(connection.reconciled_at?.getTime() ?? null),
      };
    });
}

/** Decides once for each customer of a page. */
class DriftReader {
  readonly #services: ContractServices;
  readonly #transaction: Transaction<Tables>;
  readonly #environment: EnvironmentRecord;
  readonly #decided = new Map<string, BillingDecided>();

  constructor(services: ContractServices, transaction: Transaction<Tables>, environment: EnvironmentRecord) {
    this.#services = services;
    this.#transaction = transaction;
    this.#environment = environment;
  }

  async driftOf(row: BillingSubscriptionRow): Promise<ApiBillingDrift[]> {
    const { latest } = JSON.parse(row.record) as BillingRecord;
    if (latest === null) return [];
    const linked = await findBillingCustomer(this.#transaction, row.connection_id, row.customer);
    const common = {
      subscription: row.subscription,
      billingCustomer: row.customer,
      customer: linked?.key ?? null,
      billedStatus: latest.subscription.status,
    };
    const bare = { ...common, licenseStatus: null, license: null, product: null, differences: [] };
    if (linked === null) return [{ ...bare, kind: 'UNLINKED' }];
    const now = this.#services.clock.now();
    const decided = await this.#decide(linked.customer_id, now);
    const own = decided.subscriptions.find(
      (one) => one.subscription === row.subscription && one.connection_id === row.connection_id,
    );
    if (own === undefined) return [];
    const licenses = await this.#licensesOf(linked.customer_id);
    const found = own.licenses.flatMap((desired): ApiBillingDrift[] => {
      const held = own.held.find(
        ({ product_id, slot }) => slot === desired.slot && this.#keyOf(product_id) === desired.product,
      );
      const license = licenses.find(({ id }) => id === held?.license_id) ?? null;
      const drift = driftBetween(desired, license, now);
      return drift === null
        ? []
        : [
            {
              ...common,
              ...drift,
              licenseStatus: (license?.status as LicenseStatus | undefined) ?? null,
              license: license?.id ?? null,
              product: desired.product,
            },
          ];
    });
    return own.problems.some(({ isHeld }) => isHeld) ? [{ ...bare, kind: 'UNRESOLVED' }, ...found] : found;
  }

  #keyOf(productId: string): string | null {
    return this.#services.directory.product(productId)?.key ?? null;
  }

  async #decide(customerId: string, now: Instant): Promise<BillingDecided> {
    const known = this.#decided.get(customerId);
    if (known !== undefined) return known;
    const { directory } = this.#services;
    const decided = await decideBilling(
      this.#transaction,
      directory,
      this.#environment,
      customerId,
      now,
      false,
    );
    this.#decided.set(customerId, decided);
    return decided;
  }

  #licensesOf(customerId: string): Promise<LicenseRow[]> {
    return this.#transaction
      .selectFrom('license')
      .selectAll()
      .where('customer_id', '=', customerId)
      .execute();
  }
}

function driftBetween(
  desired: DesiredLicense,
  license: LicenseRow | null,
  now: Instant,
): Pick<ApiBillingDrift, 'kind' | 'differences'> | null {
  const stands = license !== null && isInForce(license, now);
  const isBilled = desired.status !== 'ended' && (desired.endsAt === null || desired.endsAt > now);
  if (!isBilled) return stands ? { kind: 'NOT_BILLED', differences: [] } : null;
  if (!stands) return { kind: 'NOT_LICENSED', differences: [] };
  const billed = billedTerms(desired, license);
  const licensed = licensedTerms(settledAt(license, now));
  const differences = Object.entries(billed)
    .map(([member, value]) => ({ member, billed: value, licensed: licensed[member] ?? null }))
    .filter((one) => canonicalJson(one.billed as JsonValue) !== canonicalJson(one.licensed as JsonValue));
  return differences.length === 0 ? null : { kind: 'DIFFERENT', differences };
}

function isInForce(license: LicenseRow, now: Instant): boolean {
  return license.status !== 'ended' && (license.ends_at === null || license.ends_at.getTime() > now);
}

type Terms = Readonly<Record<string, JsonValue>>;

function billedTerms(desired: DesiredLicense, license: LicenseRow): Terms {
  const zone = parseAnchor(license.anchor)?.timeZone ?? 'UTC';
  const { next } = desired;
  return {
    plan: desired.plan,
    planVersion: desired.planVersion,
    quantity: desired.quantity,
    kind: desired.kind,
    status: desired.status,
    startsAt: toTimeOrNull(desired.startsAt),
    endsAt: toTimeOrNull(desired.endsAt),
    graceEndsAt: toTimeOrNull(desired.graceEndsAt),
    anchor: anchorAt(desired.anchorAt, zone),
    addons: desired.addons as unknown as JsonValue,
    nextPlan:
      next === null ? null : { plan: next.plan, planVersion: next.planVersion, at: toTimeOrNull(next.at) },
  };
}

function licensedTerms(row: LicenseRow): Terms {
  const terms = termsOf(row);
  const { next_plan_key: plan, next_plan_version: planVersion, next_plan_at: at } = row;
  return {
    plan: terms.plan,
    planVersion: terms.planVersion,
    quantity: terms.quantity,
    kind: terms.kind,
    status: terms.status,
    startsAt: toTimeOrNull(terms.startsAt),
    endsAt: toTimeOrNull(terms.endsAt),
    graceEndsAt: toTimeOrNull(terms.graceEndsAt),
    anchor: row.anchor,
    addons: terms.addons as unknown as JsonValue,
    nextPlan:
      plan === null || planVersion === null || at === null
        ? null
        : { plan, planVersion, at: toTimeOrNull(at.getTime()) },
  };
}
