import {
  aboutCustomer,
  compileCustomerCondition,
  decideCustomerCondition,
} from '@pennon/engine/entitlement/customer-condition';
import {
  comparePlanChange,
  concernedFeatures,
  type PlanChangeEffect,
  withAccountsOver,
} from '@pennon/engine/impact/compare-plan-change';
import type { CustomerState, Instant } from '@pennon/engine/model/customer';
import type { Condition } from '@pennon/engine/snapshot/condition';
import type { CompiledFeature, Snapshot } from '@pennon/engine/snapshot/snapshot';
import { sql } from 'kysely';
import {
  holdMove,
  insertItems,
  type LicenseOfMove,
  licensesToMove,
  type SelectedItem,
} from '../../store/plan-move-rows.js';
import type { CustomerFactsStore, Facts } from '../customer-facts.js';
import type { Snapshots } from '../ports.js';
import { runInSlices } from '../run-in-slices.js';
import { ServiceError } from '../service-error.js';
import type { ContractServices } from './data-change.js';
import { anchorFrom, settledAt } from './license-record.js';
import { billingPeriodEnd } from './plan-change.js';
import { accountsOver, type Finding } from './plan-move-accounts.js';
import type { PlanMoveRow } from './plan-move-record.js';
import { PublishedItems } from './published-items.js';

/*
 * Who a move is for and what it would mean for each, in pages: a page of licenses, the customers' facts in one statement, the engine in
 * slices, and one transaction that writes what was found together with how far it came. Memory is bounded by the page.
 */

export interface PlanMoveServices extends ContractServices {
  readonly snapshots: Snapshots;
  /** Reads many customers at once; not the one that answers evaluations, which has a deadline. */
  readonly facts: CustomerFactsStore;
}

/**
 * Licenses of one transaction. What the driver and `JSON.parse` do with a page is done in one piece and so holds the event loop: small
 * enough for less than 10 ms.
 */
const PAGE = 50;

interface ExaminedLicense extends Finding {
  readonly license: LicenseOfMove;
}

interface Preview {
  readonly move: PlanMoveRow;
  readonly snapshot: Snapshot;
  readonly selector: Condition | null;
  readonly features: readonly CompiledFeature[];
  readonly now: Instant;
}

/** Works on one page; `false`: there is no more, and the move is a draft now. `null`: the lease is lost. */
export async function previewPage(
  services: PlanMoveServices,
  holder: string,
  move: PlanMoveRow,
): Promise<PlanMoveRow | null> {
  const snapshot = services.snapshots.current(move.product_id, move.environment_id);
  if (snapshot === null) {
    throw new ServiceError('unavailable', 'UNAVAILABLE', 'What is published there is not loaded yet.');
  }
  const now = services.clock.now();
  const licenses = await licensesToMove(services.database, move, now, PAGE);
  const preview = {
    move,
    snapshot,
    selector: selectorOf(move, snapshot),
    features: featuresOf(move, snapshot),
    now,
  };
  const items = licenses.length === 0 ? [] : await examine(services, preview, licenses);
  const last = licenses.at(-1);
  return services.database.transaction().execute(async (transaction) => {
    const held = await holdMove(transaction, holder, move);
    if (held === null) return null;
    await insertItems(transaction, move, items);
    const count = (is: (item: SelectedItem) => boolean) => items.filter(is).length;
    const isDone = licenses.length < PAGE;
    const { rows } = await sql<PlanMoveRow>`
      update plan_move set examined = examined + ${licenses.length}, selected = selected + ${items.length},
        gaining = gaining + ${count((item) => item.gains)}, losing = losing + ${count((item) => item.loses)},
        over = over + ${count((item) => item.over)},
        version = version + ${isDone ? 1 : 0},
        cursor_customer_id = coalesce(${last?.customer_id ?? null}::uuid, cursor_customer_id),
        cursor_license_id = coalesce(${last?.id ?? null}::uuid, cursor_license_id),
        status = case when ${isDone} then 'draft' else status end, fault = null
      where id = ${move.id} returning *`.execute(transaction);
    return rows[0] ?? null;
  });
}

function selectorOf(move: PlanMoveRow, snapshot: Snapshot): Preview['selector'] {
  if (move.selector === null) return null;
  const compiled = compileCustomerCondition(snapshot, move.selector, 'customer');
  if (compiled.ok) return compiled.condition;
  const [issue] = compiled.issues;
  throw new ServiceError(
    'unprocessable',
    'SELECTOR_INVALID',
    issue?.message ?? 'The selector cannot be read.',
  );
}

function featuresOf(move: PlanMoveRow, snapshot: Snapshot): readonly CompiledFeature[] {
  return concernedFeatures(
    snapshot,
    { plan: move.from_plan, planVersion: move.from_version },
    { plan: move.to_plan, planVersion: move.to_version },
  );
}

async function examine(
  services: PlanMoveServices,
  preview: Preview,
  licenses: readonly LicenseOfMove[],
): Promise<readonly SelectedItem[]> {
  const plan = await fromPlan(services, preview.move);
  const { move, snapshot } = preview;
  const facts = await services.facts.load({
    environmentId: move.environment_id,
    productId: move.product_id,
    customerKeys: [...new Set(licenses.map((license) => license.customer_key))],
    instanceRef: null,
    userKeys: [],
    teamKeys: [],
    shared: true,
    balanceCustomerKeys: [],
    scopes: [],
  });
  const findings = await runInSlices(compareAll(preview, licenses, facts, plan));
  const over = await accountsOver(services, move, snapshot, findings);
  return runInSlices(toItems(findings, over));
}

async function fromPlan(services: PlanMoveServices, move: PlanMoveRow) {
  const product = services.directory.product(move.product_id);
  const environment = services.directory.environment(move.environment_id);
  if (product === null || environment === null) return null;
  return services.database.transaction().execute(async (transaction) => {
    const items = await PublishedItems.open(transaction, product, environment);
    return items.findOne('plan', `${move.from_plan}@${move.from_version}`);
  });
}

function* compareAll(
  { move, snapshot, selector, features, now }: Preview,
  licenses: readonly LicenseOfMove[],
  facts: Facts,
  plan: Awaited<ReturnType<typeof fromPlan>>,
): Generator<void, readonly ExaminedLicense[]> {
  const states = yield* statesOf(facts, snapshot.productKey);
  const findings: ExaminedLicense[] = [];
  for (const stored of licenses) {
    yield;
    const state = states.get(stored.customer_key);
    if (state === undefined) continue;
    if (selector !== null) {
      // Of whom it cannot be told, by a missing attribute say, is not meant.
      const meant = decideCustomerCondition(aboutCustomer(snapshot, state, now), selector);
      if (meant.kind !== 'meant') continue;
    }
    const row = settledAt(stored, now);
    const at = instantOf(move, row, plan, now);
    const change = {
      licenseId: row.id,
      plan: move.to_plan,
      planVersion: move.to_version,
      at,
      usage: move.usage,
      anchor: anchorFrom(row, at),
    };
    const comparison = comparePlanChange(snapshot, state, change, features);
    findings.push({ license: stored, customerId: stored.customer_id, state, change, comparison });
  }
  return findings;
}

function* toItems(
  findings: readonly ExaminedLicense[],
  over: Awaited<ReturnType<typeof accountsOver>>,
): Generator<void, readonly SelectedItem[]> {
  const items: SelectedItem[] = [];
  for (const { license, comparison } of findings) {
    yield;
    items.push(itemOf(license, withAccountsOver(comparison.effect, over.get(license.id) ?? [])));
  }
  return items;
}

function instantOf(
  move: PlanMoveRow,
  row: LicenseOfMove | ReturnType<typeof settledAt>,
  plan: Awaited<ReturnType<typeof fromPlan>>,
  now: Instant,
): Instant {
  if (move.timing === 'period-end') return billingPeriodEnd(row, plan, now);
  return move.at === null ? now : Math.max(now, move.at.getTime());
}

function itemOf(license: LicenseOfMove, effect: PlanChangeEffect): SelectedItem {
  return {
    customerId: license.customer_id,
    licenseId: license.id,
    customerKey: license.customer_key,
    gains: effect.gains.length > 0,
    loses: effect.loses.length > 0,
    over: effect.over.length > 0,
    effect: JSON.stringify(effect),
  };
}

/** The customers themselves: what single users, teams and instances were given is not part of a plan. */
/** Of those that are registered, by key, with the grants of groups and segments. */
export function* statesOf(
  facts: Facts,
  product: string,
): Generator<void, ReadonlyMap<string, CustomerState>> {
  const accounts = new Map(facts.balances.map((one) => [one.customerKey, one.accounts]));
  const states = new Map<string, CustomerState>();
  for (const [key, { record, licenses, groups, memberships, grants }] of facts.customers) {
    yield;
    if (record === null) continue;
    states.set(key, {
      id: record.id,
      key,
      version: record.version,
      createdAt: record.createdAt,
      timeZone: record.timeZone,
      attributes: record.attributes,
      licenses,
      groups,
      memberships,
      grants: [...grants, ...(facts.shared?.grants ?? [])],
      accounts: (accounts.get(key) ?? []).map((account) => ({ ...account, product })),
    });
  }
  return states;
}
