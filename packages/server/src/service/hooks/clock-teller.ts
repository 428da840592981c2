import type { Instant } from '@pennon/engine/model/customer';
import type { JsonObject } from '@pennon/engine/model/json';
import type { Kysely, Transaction } from 'kysely';
import {
  type ClockEdge,
  type ClockKind,
  type Crossed,
  type CrossedSpan,
  forgetUnlistened,
  lockToldUntil,
  readCrossed,
  readListenedEnvironments,
  readToldUntil,
  writeToldUntil,
} from '../../store/hook-clock.js';
import { fromInstant } from '../../store/instant.js';
import { writeToldChanges } from '../../store/outbox-changes.js';
import type { Tables } from '../../store/tables.js';
import { toGrantOf } from '../contracts/grant-record.js';
import { toApiLicense } from '../contracts/license-record.js';
import { toApiTopUp } from '../contracts/lot-record.js';
import { toApiMembership } from '../contracts/membership-record.js';
import { createLeasedSweep, type LeasedSweep } from '../leased-sweep.js';
import type { Clock, Directory, Snapshots } from '../ports.js';
import { toTime } from '../times.js';
import { type ChangeEntry, type ToldChange, tellChanges } from './told-changes.js';

/*
 * Tells what only time changes: what began, what ended, a plan that was changed ahead. INVARIANT: once each, also what happened while no
 * process ran: up to when was told stands in the row that is written with what is told.
 */

export interface ClockTellerOptions {
  readonly database: Kysely<Tables>;
  readonly directory: Directory;
  readonly snapshots: Pick<Snapshots, 'current'>;
  readonly clock: Clock;
  readonly onProblem: (problem: string, error: unknown) => void;
  readonly pollMilliseconds?: number;
}

interface Boundary {
  readonly kind: ClockKind;
  readonly edge: ClockEdge;
  /** As the audit trail would name it, had somebody done it. */
  readonly action: string;
  /** Told so long before. */
  readonly leadDays?: number;
}

/** Long enough to talk about a renewal, and once more when it is urgent. */
const ENDS_SOON_DAYS = [7, 1] as const;
const DAY = 86_400_000;

const BOUNDARIES: readonly Boundary[] = [
  { kind: 'license', edge: 'start', action: 'license.began' },
  { kind: 'license', edge: 'end', action: 'license.ended' },
  { kind: 'license', edge: 'next-plan', action: 'license.plan-began' },
  { kind: 'grant', edge: 'start', action: 'grant.began' },
  { kind: 'grant', edge: 'end', action: 'grant.ended' },
  { kind: 'membership', edge: 'start', action: 'membership.began' },
  { kind: 'membership', edge: 'end', action: 'membership.ended' },
  { kind: 'top-up', edge: 'start', action: 'top-up.began' },
  { kind: 'top-up', edge: 'end', action: 'top-up.ended' },
  ...ENDS_SOON_DAYS.flatMap((leadDays) =>
    (['license', 'grant', 'membership', 'top-up'] as const).map(
      (kind): Boundary => ({ kind, edge: 'end', action: 'ends-soon', leadDays }),
    ),
  ),
];

const POLL_MILLISECONDS = 2000;
/** A change that was made just before its own instant has this long to commit. */
const BEHIND_MILLISECONDS = 2000;
/** How far what is written may lie behind where nothing happens: so much is looked through again after a restart. */
const WRITTEN_MILLISECONDS = 60_000;
const AT_ONCE = 500;

export function createClockTeller(options: ClockTellerOptions): LeasedSweep {
  const { database, onProblem, pollMilliseconds = POLL_MILLISECONDS } = options;
  return createLeasedSweep({
    database,
    name: 'clock-told',
    pollMilliseconds,
    async sweep(isStopping) {
      let isMore = false;
      await forgetUnlistened(database);
      for (const environmentId of await readListenedEnvironments(database)) {
        for (const boundary of BOUNDARIES) {
          if (isStopping()) return 'done';
          isMore = (await tellBoundary(options, environmentId, boundary)) || isMore;
        }
      }
      return isMore ? 'more' : 'done';
    },
    onProblem: (error) => onProblem('what began and ended by the clock could not be told', error),
  });
}

/** One batch in one transaction. Answers whether there may be more. */
async function tellBoundary(
  options: ClockTellerOptions,
  environmentId: string,
  boundary: Boundary,
): Promise<boolean> {
  const { database, clock } = options;
  const until = fromInstant(clock.now() - BEHIND_MILLISECONDS);
  const { leadDays = 0 } = boundary;
  const name = `${boundary.kind} ${boundary.edge}${leadDays === 0 ? '' : ` in ${leadDays}`}`;
  if (await isNothingDue(options, environmentId, boundary, name, until)) return false;
  return database.transaction().execute(async (transaction) => {
    const after = await lockToldUntil(transaction, environmentId, name, until);
    if (after.getTime() >= until.getTime()) return false;
    const span = { after: ahead(after, leadDays), until: ahead(until, leadDays) };
    const last = await tellSpan(options, transaction, environmentId, boundary, span);
    await writeToldUntil(transaction, environmentId, name, last === null ? until : ahead(last, -leadDays));
    return last !== null;
  });
}

/**
 * Of the last instant all or nothing, in pages: where all contracts end with the year, a million rows cross one instant, and no process
 * has room for all of them. Answers up to when was told; `null`: all of the span.
 */
async function tellSpan(
  options: ClockTellerOptions,
  transaction: Transaction<Tables>,
  environmentId: string,
  boundary: Boundary,
  whole: CrossedSpan,
): Promise<Date | null> {
  const where = { environmentId, occurredAt: fromInstant(options.clock.now()), versions: new Map() };
  let full: Date | null = null;
  for (let span = whole; ; ) {
    const rows = await readCrossed(transaction, environmentId, boundary, span, AT_ONCE);
    const told = rows.flatMap((row) => tellRow(options, boundary, row));
    await writeToldChanges(transaction, where, told);
    const last = rows.at(-1);
    if (last === undefined || rows.length < AT_ONCE) return full;
    full = last.crossed_at;
    span = { after: full, until: full, afterId: last.id };
  }
}

/** Most of the time that is all: nothing is locked or written where nothing began or ended. */
async function isNothingDue(
  { database }: ClockTellerOptions,
  environmentId: string,
  boundary: Boundary,
  name: string,
  until: Date,
): Promise<boolean> {
  const after = await readToldUntil(database, environmentId, name);
  if (after === null || until.getTime() - after.getTime() > WRITTEN_MILLISECONDS) return false;
  const { leadDays = 0 } = boundary;
  const span = { after: ahead(after, leadDays), until: ahead(until, leadDays) };
  return (await readCrossed(database, environmentId, boundary, span, 1)).length === 0;
}

function ahead(instant: Date, days: number): Date {
  return new Date(instant.getTime() + days * DAY);
}

function tellRow(
  options: ClockTellerOptions,
  { kind, action, leadDays }: Boundary,
  row: Crossed<ClockKind>,
): readonly ToldChange[] {
  const at = row.crossed_at.getTime();
  if (leadDays !== undefined) return tellEnd(options, { kind, leadDays }, row);
  const entry: ChangeEntry = {
    action,
    productId: row.product_id,
    objectKind: kind,
    objectId: row.id,
    after: objectOf(options, row, at),
  };
  return tellChanges([entry], at);
}

/** What ended while no process ran is told as ended, and not as something that is to come. */
function tellEnd(
  { clock }: ClockTellerOptions,
  { kind, leadDays }: { readonly kind: ClockKind; readonly leadDays: number },
  row: Crossed<ClockKind>,
): readonly ToldChange[] {
  const endsAt = row.crossed_at.getTime();
  if (endsAt <= clock.now()) return [];
  const target = targetOf(row);
  return [
    {
      type: 'ends.soon',
      productId: row.product_id,
      subject: `${kind}/${row.id}`,
      owner: target,
      data: { kind, id: row.id, target, endsAt: toTime(endsAt), days: leadDays },
    },
  ];
}

function targetOf(row: Crossed<ClockKind>) {
  if ('plan_key' in row) return { kind: 'customer', key: row.customer_key };
  if ('remaining' in row) return holderOf(row);
  if ('effect' in row) return { kind: row.target_kind, key: row.target_key };
  return { kind: row.member_kind, key: row.member_key };
}

function holderOf(row: Crossed<'top-up'>) {
  if (row.scope === '') return { kind: 'customer', key: row.customer_key };
  return { kind: row.is_instance ? 'instance' : 'user', key: row.scope };
}

/** As it is at that instant: a plan that was changed ahead is changed. */
function objectOf(
  { directory, snapshots }: ClockTellerOptions,
  row: Crossed<ClockKind>,
  at: Instant,
): JsonObject {
  const product = directory.product(row.product_id)?.key ?? row.product_id;
  if ('plan_key' in row) return toApiLicense(row, row.customer_key, product, at) as unknown as JsonObject;
  if ('remaining' in row) {
    const names = { customer: row.customer_key, product, target: holderOf(row) };
    return toApiTopUp(row, names, at) as unknown as JsonObject;
  }
  if ('effect' in row) return toGrantOf(snapshots, row, product) as unknown as JsonObject;
  return toApiMembership(row, product);
}
