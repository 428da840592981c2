import { versionedKey } from '@pennon/engine/model/catalog';
import type { Instant, LicenseStatus } from '@pennon/engine/model/customer';
import type { ApiLicense, LicenseCancel } from '@pennon/protocol/management/licenses';
import { fromInstant, fromInstantOrNull } from '../../store/instant.js';
import type { ChangeContext, Credential } from '../credential.js';
import type { Precondition } from '../precondition.js';
import { ServiceError } from '../service-error.js';
import { toTime } from '../times.js';
import { changeLicense, type HeldLicense, type LicenseName } from './change-license.js';
import type { Changed, ContractServices } from './data-change.js';
import { beforeCancelOf, endBeforeCancel, type LicenseRow, withoutNext } from './license-record.js';
import { checkTransition } from './license-status.js';
import { billingPeriodEnd } from './plan-change.js';
import { refuse } from './refusals.js';

/** Ends a license: at once, or at the end of what is paid for; until then the way back is open. */
export function cancelLicense(
  services: ContractServices,
  credential: Credential,
  context: ChangeContext,
  named: LicenseName,
  body: LicenseCancel,
  precondition: Precondition,
): Promise<Changed<ApiLicense>> {
  return changeLicense(services, credential, context, named, precondition, 'license.cancel', (held) =>
    body.at === 'now' ? Promise.resolve(endNow(held)) : endAtPeriodEnd(held),
  );
}

/** INVARIANT: what is ended at once gives nothing from then on, whatever the policies of a downgrade say. */
function endNow({ row, change }: HeldLicense): LicenseRow | null {
  if (row.status === 'ended') return null;
  const end = Math.max(change.now, row.starts_at.getTime());
  const endsAt = Math.min(end, row.ends_at?.getTime() ?? end);
  return { ...row, ...withoutNext, status: 'ended', ends_at: fromInstant(endsAt), before_cancel: null };
}

async function endAtPeriodEnd({ row, change, items }: HeldLicense): Promise<LicenseRow | null> {
  if (row.status === 'canceled') return null;
  checkTransition(row.status as LicenseStatus, 'canceled');
  const { now } = change;
  if (row.starts_at.getTime() > now || (row.ends_at !== null && row.ends_at.getTime() <= now)) {
    throw nothingToKeep(row, 'is not in force');
  }
  const plan = await items.findOne('plan', versionedKey(row.plan_key, row.plan_version));
  const ends = [billingPeriodEnd(row, plan, now)];
  if (row.ends_at !== null) ends.push(row.ends_at.getTime());
  // Canceled keeps its rights to the end; whose payment is due had them to the end of its grace only.
  if (row.status === 'past_due') ends.push(row.grace_ends_at?.getTime() ?? now);
  const endsAt = Math.min(...ends);
  if (endsAt <= now) throw nothingToKeep(row, 'has a payment due and no grace left');
  const before = { status: row.status, endsAt: row.ends_at === null ? null : toTime(row.ends_at.getTime()) };
  return { ...row, status: 'canceled', ends_at: fromInstant(endsAt), before_cancel: before as never };
}

function nothingToKeep(row: LicenseRow, why: string) {
  return refuse(
    'unprocessable',
    'NOTHING_TO_KEEP',
    `The license \`${row.id}\` ${why}, so there are no rights to keep until an end. Cancel it \`now\`.`,
    '/at',
  );
}

/** Takes a cancellation back, while it has not come to its end: status and end are what they were before. */
export function restoreLicense(
  services: ContractServices,
  credential: Credential,
  context: ChangeContext,
  named: LicenseName,
  precondition: Precondition,
): Promise<Changed<ApiLicense>> {
  return changeLicense(services, credential, context, named, precondition, 'license.restore', (held) =>
    Promise.resolve(restored(held.row, held.change.now)),
  );
}

function restored(row: LicenseRow, now: Instant): LicenseRow {
  if (row.status !== 'canceled') {
    throw new ServiceError(
      'conflict',
      'NOT_CANCELED',
      `The license \`${row.id}\` is \`${row.status}\`, so there is no cancellation to take back.`,
    );
  }
  if (row.ends_at !== null && row.ends_at.getTime() <= now) {
    throw new ServiceError(
      'conflict',
      'CANCELED_FOR_GOOD',
      `The license \`${row.id}\` came to its end at ${toTime(row.ends_at.getTime())}. Give the customer a new one.`,
    );
  }
  const before = beforeCancelOf(row) ?? { status: 'active', endsAt: null };
  return {
    ...row,
    status: before.status,
    ends_at: fromInstantOrNull(endBeforeCancel(before)),
    before_cancel: null,
  };
}
