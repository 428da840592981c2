import {
  compileCustomerCondition,
  decideCustomerCondition,
} from '@pennon/engine/entitlement/customer-condition';
import { namesPlan, plansInForce } from '@pennon/engine/entitlement/plans-in-force';
import type { Snapshot } from '@pennon/engine/snapshot/snapshot';
import type { CustomerRow } from '../contracts/customer-record.js';
import type { DataChange } from '../contracts/data-change.js';
import type { GrantServices } from '../contracts/make-grants.js';
import type { ProductRecord } from '../ports.js';
import type { RedemptionAsk } from './redemption-ask.js';
import { evaluationOf } from './redemption-facts.js';
import { plansOf, type VoucherRow } from './voucher-record.js';
import type { VoucherRefusal } from './voucher-refusal.js';

interface Applicant {
  readonly ask: RedemptionAsk;
  readonly customer: CustomerRow | null;
  readonly voucher: VoucherRow;
  readonly product: ProductRecord;
  readonly snapshot: Snapshot;
}

/** Whom the voucher is for: the plan list, first time only, and the condition, in this order. */
export async function refuseConditions(
  services: GrantServices,
  change: DataChange,
  applicant: Applicant,
): Promise<VoucherRefusal | null> {
  const { voucher, customer, snapshot, ask } = applicant;
  const plans = plansOf(voucher);
  const request =
    plans === null && voucher.eligibility === null
      ? null
      : await evaluationOf(
          services,
          snapshot,
          {
            environmentId: change.environmentId,
            product: applicant.product,
            customerKey: ask.customerKey,
            userKey: ask.userKey,
            instanceRef: ask.instanceRef,
            version: customer?.version ?? null,
          },
          change.now,
        );
  if (plans !== null && request !== null && request.customer !== 'unavailable') {
    const own = plansInForce(snapshot, request.customer, change.now);
    if (!namesPlan(plans, own)) return planNotEligible(plans, own);
  }
  if (voucher.first_time_only) {
    const refusal = await refuseReturning(change, applicant);
    if (refusal !== null) return refusal;
  }
  if (voucher.eligibility === null || request === null) return null;
  const compiled = compileCustomerCondition(snapshot, voucher.eligibility, 'customer-or-instance');
  if (!compiled.ok) {
    return notEligible(
      applicant,
      `it does not fit the catalog any more: ${compiled.issues[0]?.message ?? ''}`,
    );
  }
  const decided = decideCustomerCondition(request, compiled.condition);
  switch (decided.kind) {
    case 'meant':
      return null;
    case 'not-meant':
      return notEligible(applicant, 'it does not hold for this customer');
    case 'undecided':
      return notEligible(applicant, `it could not be decided, which is no yes: ${decided.message}`);
  }
}

function planNotEligible(plans: readonly string[], own: readonly string[]): VoucherRefusal {
  const words = (names: readonly string[]): string => names.map((name) => `\`${name}\``).join(', ');
  return {
    code: 'VOUCHER_PLAN_NOT_ELIGIBLE',
    message: `This code is for customers with ${words(plans)}; this one has ${own.length === 0 ? 'no plan' : words(own)}.`,
    details: { plans, has: own },
  };
}

/** A backend is told the condition; a browser is not: it may name segments and attributes that are nobody's business there. */
function notEligible({ voucher, ask }: Applicant, why: string): VoucherRefusal {
  const { eligibility } = voucher;
  if (ask.userProven) return { code: 'VOUCHER_NOT_ELIGIBLE', message: 'This code is not for this customer.' };
  return {
    code: 'VOUCHER_NOT_ELIGIBLE',
    message: `This code is for those for whom \`${eligibility ?? ''}\` holds: ${why}.`,
    details: { eligibility },
  };
}

/** A first-time customer never had a license that is paid for, and never redeemed a voucher of the product, revoked or not. */
async function refuseReturning(
  change: DataChange,
  { customer, product }: Applicant,
): Promise<VoucherRefusal | null> {
  if (customer === null) return null;
  const license = await change.transaction
    .selectFrom('license')
    .select('id')
    .where('customer_id', '=', customer.id)
    .where('product_id', '=', product.id)
    .where('kind', 'in', ['paid', 'contract'])
    .limit(1)
    .executeTakeFirst();
  if (license !== undefined) {
    return {
      code: 'VOUCHER_NOT_FIRST_TIME',
      message: 'This code is for new customers, and this one has, or had, a license that is paid for.',
      details: { license: license.id },
    };
  }
  const redemption = await change.transaction
    .selectFrom('voucher_redemption')
    .select('id')
    .where('customer_id', '=', customer.id)
    .where('product_id', '=', product.id)
    .limit(1)
    .executeTakeFirst();
  if (redemption === undefined) return null;
  return {
    code: 'VOUCHER_NOT_FIRST_TIME',
    message: 'This code is for those who never redeemed a voucher of this product, and this customer has.',
    details: { redemption: redemption.id },
  };
}
