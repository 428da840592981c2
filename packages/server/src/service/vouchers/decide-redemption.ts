import type { GrantEffect, Instant } from '@pennon/engine/model/customer';
import type { CustomerRow } from '../contracts/customer-record.js';
import type { DataChange } from '../contracts/data-change.js';
import type { GrantServices } from '../contracts/make-grants.js';
import { PublishedItems } from '../contracts/published-items.js';
import type { ProductRecord } from '../ports.js';
import { ServiceError } from '../service-error.js';
import { type FoundCode, lookUpCode } from './find-code.js';
import { refuseGuess } from './guess-throttle.js';
import type { RedemptionAsk } from './redemption-ask.js';
import { type RedemptionTarget, resolveTarget } from './redemption-target.js';
import { refuseConditions } from './refuse-conditions.js';
import { refuseStacking } from './refuse-stacking.js';
import { readEffects, toNamedEffects } from './voucher-effects.js';
import {
  effectsOf,
  endOf,
  isExhausted,
  isExpired,
  type VoucherCodeRow,
  type VoucherRow,
} from './voucher-record.js';
import type { VoucherRefusal } from './voucher-refusal.js';

/** A redemption that nothing stands against, as of what was read under the customer's lock. */
export interface ReadyRedemption extends FoundCode {
  readonly product: ProductRecord;
  /** `null`: it is registered by this redemption. */
  readonly customer: CustomerRow | null;
  readonly target: RedemptionTarget;
  readonly effects: readonly GrantEffect[];
  /** The how-manieth of this customer. */
  readonly number: number;
  readonly endsAt: Instant | null;
}

export type RedemptionDecision =
  | { readonly kind: 'ready'; readonly ready: ReadyRedemption }
  | { readonly kind: 'refused'; readonly refusal: VoucherRefusal }
  /** A wrong code, which is to be counted. */
  | { readonly kind: 'missed'; readonly refusal: VoucherRefusal };

const refused = (refusal: VoucherRefusal): RedemptionDecision => ({ kind: 'refused', refusal });

/**
 * Whether a code is redeemed, and what it gives: the one order of looking (`VOUCHER_REFUSALS`). The customer's row is locked first, so
 * that tries of one customer follow each other, over all processes.
 */
export async function decideRedemption(
  services: GrantServices,
  change: DataChange,
  ask: RedemptionAsk,
): Promise<RedemptionDecision> {
  const customer = await change.lockCustomer(ask.customerKey);
  const throttled = await refuseGuess(change.transaction, ask.guesser, customer !== null, change.now);
  if (throttled !== null) return refused(throttled);
  const lookup = await lookUpCode(change.transaction, ask);
  if (lookup.kind !== 'found') return lookup;
  return decideFound(services, change, ask, customer, lookup.found);
}

async function decideFound(
  services: GrantServices,
  change: DataChange,
  ask: RedemptionAsk,
  customer: CustomerRow | null,
  { voucher, code }: FoundCode,
): Promise<RedemptionDecision> {
  const { directory, snapshots } = services;
  const product = directory.product(voucher.product_id);
  const snapshot = product === null ? null : snapshots.current(product.id, ask.environment.id);
  const unfit = refuseState(voucher, change.now);
  if (unfit !== null) return refused(unfit);
  if (product === null || snapshot === null)
    return refused(outdated(voucher, 'nothing is published to this environment'));
  const stranger = refuseCustomer(ask, customer, snapshot.defaultPlan !== null);
  if (stranger !== null) return refused(stranger);
  const redeemed = await ownRedemptions(change, customer, voucher);
  const spent = refuseCount(voucher, code, redeemed);
  if (spent !== null) return refused(spent);
  const target = await resolveTarget(change, ask, customer, voucher);
  if (target.kind === 'refused') return target;
  const lacking =
    (await refuseConditions(services, change, { ask, customer, voucher, product, snapshot })) ??
    (await refuseStacking(change, customer, voucher));
  if (lacking !== null) return refused(lacking);
  const effects = await currentEffects(change, ask, product, voucher);
  if ('code' in effects) return refused(effects);
  const ready = {
    voucher,
    code,
    product,
    customer,
    target: target.target,
    effects: effects.effects,
    number: redeemed.length + 1,
    endsAt: endOf(voucher, change.now),
  };
  return { kind: 'ready', ready };
}

/** What the voucher itself says, whoever asks. Asked again where the count is raised. */
export function refuseState(voucher: VoucherRow, now: Instant): VoucherRefusal | null {
  if (voucher.state === 'archived') {
    return { code: 'VOUCHER_ARCHIVED', message: 'This code was withdrawn and is not redeemed any more.' };
  }
  if (voucher.state === 'draft') {
    return {
      code: 'VOUCHER_NOT_ACTIVE',
      message: 'This code is not active yet. Try again once it was announced.',
    };
  }
  if (now < voucher.starts_at.getTime()) {
    const startsAt = voucher.starts_at.toISOString();
    return {
      code: 'VOUCHER_NOT_STARTED',
      message: `This code can be redeemed from ${startsAt} on.`,
      details: { startsAt },
    };
  }
  if (isExpired(voucher, now)) {
    return {
      code: 'VOUCHER_EXPIRED',
      message: `This code could be redeemed until ${(voucher.ends_at ?? voucher.lasts_until)?.toISOString() ?? 'its end'}.`,
    };
  }
  return null;
}

function refuseCustomer(
  ask: RedemptionAsk,
  customer: CustomerRow | null,
  hasDefaultPlan: boolean,
): VoucherRefusal | null {
  if (customer === null) {
    return hasDefaultPlan
      ? null
      : {
          code: 'VOUCHER_CUSTOMER_UNKNOWN',
          message: `The customer \`${ask.customerKey}\` does not exist, and the product has no default plan to register it with. Create it with PUT …/customers/{key}.`,
          pointer: '/customer',
        };
  }
  return customer.archived_at === null
    ? null
    : {
        code: 'VOUCHER_CUSTOMER_ARCHIVED',
        message: `The customer \`${customer.key}\` is archived, and nothing of it is in force. Restore it first.`,
        pointer: '/customer',
      };
}

async function ownRedemptions(
  change: DataChange,
  customer: CustomerRow | null,
  voucher: VoucherRow,
): Promise<readonly string[]> {
  if (customer === null) return [];
  const rows = await change.transaction
    .selectFrom('voucher_redemption')
    .select('id')
    .where('customer_id', '=', customer.id)
    .where('voucher_id', '=', voucher.id)
    .orderBy('number')
    .execute();
  return rows.map(({ id }) => id);
}

function refuseCount(
  voucher: VoucherRow,
  code: VoucherCodeRow,
  own: readonly string[],
): VoucherRefusal | null {
  if (code.withdrawn_at !== null) return CODE_WITHDRAWN;
  if (own.length >= voucher.max_per_customer) {
    const often = voucher.max_per_customer === 1 ? 'once' : `${voucher.max_per_customer} times`;
    return {
      code: 'VOUCHER_CUSTOMER_LIMIT',
      message: `A customer redeems this voucher ${often}, and this one has.`,
      details: { redemption: own.at(-1) },
    };
  }
  if (code.max_redemptions !== null && code.redeemed >= code.max_redemptions) return CODE_USED;
  return isExhausted(voucher) ? EXHAUSTED : null;
}

export const CODE_WITHDRAWN: VoucherRefusal = {
  code: 'VOUCHER_CODE_WITHDRAWN',
  message:
    'This code was withdrawn and is not redeemed any more. Ask whoever gave it to you for another one.',
};
export const CODE_USED: VoucherRefusal = {
  code: 'VOUCHER_CODE_USED',
  message: 'This code was redeemed already. Each of them is redeemed once, or as often as it was made for.',
};
export const EXHAUSTED: VoucherRefusal = {
  code: 'VOUCHER_EXHAUSTED',
  message: 'This voucher was redeemed as often as it could be.',
};

/** The effects against the catalog of today: a flag, a feature or a variant that it names may be gone. */
async function currentEffects(
  change: DataChange,
  ask: RedemptionAsk,
  product: ProductRecord,
  voucher: VoucherRow,
): Promise<{ readonly effects: readonly GrantEffect[] } | VoucherRefusal> {
  try {
    const items = await PublishedItems.open(change.transaction, product, ask.environment);
    const named = toNamedEffects(effectsOf(voucher));
    return { effects: await readEffects(items, voucher.kind, voucher.target_kind, named) };
  } catch (error) {
    if (error instanceof ServiceError && error.kind === 'unprocessable')
      return outdated(voucher, error.message);
    throw error;
  }
}

function outdated(voucher: VoucherRow, why: string): VoucherRefusal {
  return {
    code: 'VOUCHER_OUTDATED',
    message: `What the voucher \`${voucher.key}\` gives does not fit the catalog any more: ${why}`,
  };
}
