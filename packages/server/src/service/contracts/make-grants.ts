import type { GrantEffect, GrantKind, Instant, TargetKind } from '@pennon/engine/model/customer';
import type { JsonObject } from '@pennon/engine/model/json';
import { LIMITS } from '@pennon/engine/model/limits';
import { type Insertable, sql } from 'kysely';
import { fromInstant, fromInstantOrNull } from '../../store/instant.js';
import type { AccessGrantTable } from '../../store/tables.js';
import type { EvaluationDependencies } from '../evaluation-request.js';
import { isId, newId } from '../new-id.js';
import type { EnvironmentRecord, ProductRecord } from '../ports.js';
import { ServiceError } from '../service-error.js';
import type { ContractServices, DataChange } from './data-change.js';
import { changeGrantedLots, makeGrantedLots } from './grant-lots.js';
import { type GrantRow, toGrantOf } from './grant-record.js';
import type { PublishedItems } from './published-items.js';
import { checkSpan, refuse, unknownName } from './refusals.js';

/** What grants, bundles and vouchers are made with. */
export interface GrantServices extends ContractServices, EvaluationDependencies {}

export interface GrantTarget {
  readonly kind: TargetKind;
  readonly key: string;
}

/** What every grant says, but for whom and what. */
export interface GrantTerms {
  readonly kind: GrantKind;
  readonly startsAt: Instant;
  readonly endsAt: Instant | null;
  readonly contractReference: string | null;
}

export interface GrantDraft extends GrantTerms {
  readonly target: GrantTarget;
  readonly effect: GrantEffect;
  readonly reason: string;
  readonly owner: string | null;
  readonly source: string | null;
  /** The application of a bundle that makes it. */
  readonly applicationId: string | null;
}

const DAY_MILLISECONDS = 86_400_000;

/** Everything temporary ends by the clock: which kinds must, and which rest on a contract (C-6). */
const RULES: Record<GrantKind, { readonly mustEnd: boolean; readonly needsReference: boolean }> = {
  demo: { mustEnd: true, needsReference: false },
  beta: { mustEnd: true, needsReference: false },
  contract: { mustEnd: false, needsReference: true },
  support: { mustEnd: false, needsReference: false },
  voucher: { mustEnd: false, needsReference: false },
};

/**
 * @param named What is refused, for its reader: `A grant`, `An application`.
 * @param endAt Where the end stands in the body.
 */
export function checkTerms(
  { kind, startsAt, endsAt, contractReference }: GrantTerms,
  named: string,
  endAt = '/endsAt',
): void {
  const rule = RULES[kind];
  checkSpan(startsAt, endsAt);
  if (rule.needsReference && contractReference === null) {
    throw refuse(
      'unprocessable',
      'CONTRACT_REFERENCE_MISSING',
      `${named} of kind \`${kind}\` names the contract that it rests on: send \`contractReference\`.`,
      '/contractReference',
    );
  }
  if (!rule.mustEnd) return;
  const longest = LIMITS.demoDays.value;
  if (endsAt === null) {
    throw refuse(
      'unprocessable',
      'END_MISSING',
      `${named} of kind \`${kind}\` ends by the clock: send an \`endsAt\` within ${longest} days, or another \`kind\`.`,
      endAt,
    );
  }
  if (endsAt - startsAt > longest * DAY_MILLISECONDS) {
    throw refuse(
      'unprocessable',
      'SPAN_TOO_LONG',
      `${named} of kind \`${kind}\` ends within ${longest} days of its start: send an earlier end, or another \`kind\`.`,
      endAt,
    );
  }
}

/** A new end lies ahead: what is to end now is revoked, so that the trail says who took it back and why. */
export function checkNewEnd(endsAt: Instant | null, now: Instant, endAt = '/endsAt'): void {
  if (endsAt === null || endsAt > now) return;
  throw refuse(
    'unprocessable',
    'END_PASSED',
    'That end has passed. Send a later `endsAt`; to end it now, revoke it.',
    endAt,
  );
}

/** Whether grants of the kind end by the clock, whatever is said. */
export function mustEnd(kind: GrantKind): boolean {
  return RULES[kind].mustEnd;
}

/** `days` after the start; each is 24 hours. */
export function daysAfter(startsAt: Instant, days: number): Instant {
  return startsAt + days * DAY_MILLISECONDS;
}

/** Groups and segments must exist; customers, users and instances need not be known yet. An instance is stored by its key. */
export async function readTarget(
  services: GrantServices,
  change: DataChange,
  items: PublishedItems,
  target: GrantTarget,
  scope: { readonly product: ProductRecord; readonly environment: EnvironmentRecord },
): Promise<GrantTarget> {
  if (target.kind === 'group' || target.kind === 'segment') {
    if ((await items.findOne(target.kind, target.key)) === null) {
      const code = target.kind === 'group' ? 'GROUP_UNKNOWN' : 'SEGMENT_UNKNOWN';
      throw unknownName(code, target.kind, target.key, await items.keysOf(target.kind), '/target/key');
    }
    checkForgeable(services, scope, target);
    return target;
  }
  if (target.kind !== 'instance' || !isId(target.key)) return target;
  const row = await change.transaction
    .selectFrom('instance')
    .select('key')
    .where('environment_id', '=', change.environmentId)
    .where('id', '=', target.key)
    .executeTakeFirst();
  return row === undefined ? target : { kind: 'instance', key: row.key };
}

/** A condition over what callers say of themselves gives nothing, so a grant to such a segment would not reach whom its reader expects. */
function checkForgeable(
  { snapshots }: GrantServices,
  { product, environment }: { readonly product: ProductRecord; readonly environment: EnvironmentRecord },
  target: GrantTarget,
): void {
  if (target.kind !== 'segment') return;
  const segment = snapshots.current(product.id, environment.id)?.segments.get(target.key);
  if (segment === undefined || segment.condition === null || segment.trusted) return;
  throw refuse(
    'unprocessable',
    'SEGMENT_FORGEABLE',
    `The condition of the segment \`${target.key}\` rests on what a caller can forge, so a grant to it would reach its stored members only. Name a segment without such a condition, or ask \`segment("${target.key}")\` in a rule of the flag.`,
    '/target/key',
  );
}

/**
 * Whoever makes grants of one target follows each other, over all processes, so that the limit is exact. A target has no row that could be
 * locked: it may name a key never seen. INVARIANT: a customer's own row, which redeeming locks first, comes before.
 */
async function lockTarget(change: DataChange, product: ProductRecord, { kind, key }: GrantTarget) {
  if (kind === 'customer') await change.touchCustomers([key]);
  const name = JSON.stringify(['grants', change.environmentId, product.id, kind, key]);
  await sql`select pg_advisory_xact_lock(hashtextextended(${name}, 0))`.execute(change.transaction);
}

async function checkCount(change: DataChange, product: ProductRecord, target: GrantTarget, more: number) {
  const { count } = await change.transaction
    .selectFrom('access_grant')
    .select((expression) => expression.fn.countAll<number>().as('count'))
    .where('environment_id', '=', change.environmentId)
    .where('target_kind', '=', target.kind)
    .where('target_key', '=', target.key)
    .where('product_id', '=', product.id)
    .where('revoked_at', 'is', null)
    .where((where) =>
      where.or([where('ends_at', 'is', null), where('ends_at', '>', fromInstant(change.now))]),
    )
    .executeTakeFirstOrThrow();
  if (count + more > LIMITS.grantsPerTarget.value) {
    throw new ServiceError(
      'unprocessable',
      'TOO_MANY_GRANTS',
      `The ${target.kind} \`${target.key}\` has ${count} grants in force or to come, and at most ${LIMITS.grantsPerTarget.value} are allowed. Revoke some, or put what they give into a plan or a segment.`,
    );
  }
}

/**
 * Stores grants of one target whose effects were read, each with its own audit entry. The caller tells the target's readers once, by
 * `touchTarget`.
 */
export async function makeGrants(
  services: GrantServices,
  change: DataChange,
  product: ProductRecord,
  drafts: readonly GrantDraft[],
): Promise<GrantRow[]> {
  const target = drafts[0]?.target;
  if (target === undefined) return [];
  await lockTarget(change, product, target);
  await checkCount(change, product, target, drafts.length);
  const rows = await change.transaction
    .insertInto('access_grant')
    .values(drafts.map((draft) => toRow(change, product, draft)))
    .returningAll()
    .execute();
  // Ids are made in order, and an insert answers in no order that is promised.
  rows.sort((left, right) => (left.id < right.id ? -1 : 1));
  await recordGrants(services, change, rows, product, 'grant.create');
  await makeGrantedLots(change, product, rows);
  return rows;
}

function toRow(change: DataChange, product: ProductRecord, draft: GrantDraft): Insertable<AccessGrantTable> {
  return {
    id: newId(),
    environment_id: change.environmentId,
    product_id: product.id,
    target_kind: draft.target.kind,
    target_key: draft.target.key,
    kind: draft.kind,
    effect: JSON.stringify(draft.effect),
    starts_at: fromInstant(draft.startsAt),
    ends_at: fromInstantOrNull(draft.endsAt),
    reason: draft.reason,
    owner: draft.owner,
    contract_reference: draft.contractReference,
    source: draft.source,
    application_id: draft.applicationId,
    revoked_at: null,
    revoke_reason: null,
    version: 1,
    created_at: fromInstant(change.now),
  };
}

export type GrantColumns = Partial<
  Pick<
    GrantRow,
    'ends_at' | 'revoked_at' | 'revoke_reason' | 'kind' | 'owner' | 'contract_reference' | 'source'
  >
>;

/** Changes grants alike, each with its audit entry; in the order of their ids. */
export async function updateGrants(
  services: GrantServices,
  change: DataChange,
  rows: readonly GrantRow[],
  product: ProductRecord,
  columns: GrantColumns,
  action: 'grant.extend' | 'grant.change' | 'grant.revoke',
): Promise<GrantRow[]> {
  if (rows.length === 0) return [];
  const saved = await change.transaction
    .updateTable('access_grant')
    .set((expression) => ({ ...columns, version: expression('version', '+', 1) }))
    .where(
      'id',
      'in',
      rows.map((row) => row.id),
    )
    .returningAll()
    .execute();
  saved.sort((left, right) => (left.id < right.id ? -1 : 1));
  await recordGrants(services, change, saved, product, action);
  await changeGrantedLots(change, product, saved, action);
  return saved;
}

async function recordGrants(
  { snapshots }: GrantServices,
  change: DataChange,
  rows: readonly GrantRow[],
  product: ProductRecord,
  action: string,
): Promise<void> {
  await change.recordAll(
    rows.map((row) => ({
      action,
      productId: product.id,
      objectKind: 'grant',
      objectId: row.id,
      objectVersion: row.version,
      after: toGrantOf(snapshots, row, product.key) as unknown as JsonObject,
    })),
  );
}
