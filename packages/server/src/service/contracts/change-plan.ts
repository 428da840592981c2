import { versionedKey } from '@pennon/engine/model/catalog';
import type { LicenseAddon } from '@pennon/engine/model/customer';
import type { ApiLicense, PlanChangeBody } from '@pennon/protocol/management/licenses';
import type { ChangeContext, Credential } from '../credential.js';
import type { Precondition } from '../precondition.js';
import { ServiceError } from '../service-error.js';
import { fromTime } from '../times.js';
import { changeLicense, type HeldLicense, type LicenseName } from './change-license.js';
import type { Changed, ContractServices } from './data-change.js';
import { type LicenseRow, withoutNext } from './license-record.js';
import { readAddons, readVersion } from './license-terms.js';
import { billingPeriodEnd, changePlan } from './plan-change.js';
import { refuse } from './refusals.js';

/** Changes the plan of one license: at once, at the end of what is paid for, or at an instant. */
export function changeLicensePlan(
  services: ContractServices,
  credential: Credential,
  context: ChangeContext,
  named: LicenseName,
  body: PlanChangeBody,
  precondition: Precondition,
): Promise<Changed<ApiLicense>> {
  return changeLicense(services, credential, context, named, precondition, 'license.change-plan', (held) =>
    changed(held, body),
  );
}

async function changed({ row, change, items }: HeldLicense, body: PlanChangeBody): Promise<LicenseRow> {
  const planVersion = await readVersion(items, body.plan, body.planVersion, false);
  // What was bought on top stays; it must be sold with the new plan as well.
  await readAddons(items, row.addons as unknown as LicenseAddon[], body.plan);
  const result = changePlan(
    row,
    {
      plan: body.plan,
      planVersion,
      at: await instantOf({ row, change, items }, body.at ?? 'now'),
      usage: body.usage ?? 'carry',
      moveId: null,
    },
    change.now,
  );
  if (result.ok) return result.row;
  throw refuse(
    'unprocessable',
    result.code,
    result.message,
    result.code === 'AT_NOT_AHEAD' ? '/at' : '/plan',
  );
}

async function instantOf({ row, change, items }: Pick<HeldLicense, 'row' | 'change' | 'items'>, at: string) {
  if (at === 'now') return null;
  if (at !== 'period-end') return fromTime(at, '/at');
  const plan = await items.findOne('plan', versionedKey(row.plan_key, row.plan_version));
  return billingPeriodEnd(row, plan, change.now);
}

/** Takes a planned change of plan back, while its instant has not come. */
export function undoPlanChange(
  services: ContractServices,
  credential: Credential,
  context: ChangeContext,
  named: LicenseName,
  precondition: Precondition,
): Promise<Changed<ApiLicense>> {
  return changeLicense(
    services,
    credential,
    context,
    named,
    precondition,
    'license.undo-plan-change',
    (held) => {
      const { row } = held;
      if (row.next_plan_at === null) {
        throw new ServiceError(
          'conflict',
          'NO_PLAN_CHANGE_PENDING',
          `The license \`${row.id}\` has no change of plan ahead of it. One that took effect is undone by another change.`,
        );
      }
      return Promise.resolve({ ...row, ...withoutNext });
    },
  );
}
