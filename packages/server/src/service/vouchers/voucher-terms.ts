import { compileCustomerCondition } from '@pennon/engine/entitlement/customer-condition';
import type { GrantEffect, Instant } from '@pennon/engine/model/customer';
import type { Snapshot } from '@pennon/engine/snapshot/snapshot';
import type { VoucherCreate, VoucherPatch } from '@pennon/protocol/management/vouchers';
import { fromInstant, fromInstantOrNull } from '../../store/instant.js';
import type { PublishedItems } from '../contracts/published-items.js';
import { checkSpan, refuse, timeOr, unknownName } from '../contracts/refusals.js';
import { ServiceError } from '../service-error.js';
import { fromTime } from '../times.js';
import { readEffects, toNamedEffects } from './voucher-effects.js';
import { effectsOf, type VoucherRow } from './voucher-record.js';

/** The columns that a person decides, all of them. */
export type VoucherTerms = Pick<
  VoucherRow,
  | 'name'
  | 'kind'
  | 'effects'
  | 'target_kind'
  | 'lasts_days'
  | 'lasts_until'
  | 'starts_at'
  | 'ends_at'
  | 'max_redemptions'
  | 'max_per_customer'
  | 'eligibility'
  | 'plans'
  | 'first_time_only'
  | 'stacking'
  | 'stacking_group'
  | 'contract_reference'
>;

/** What the terms are checked against. */
export interface TermsGround {
  readonly items: PublishedItems;
  readonly snapshot: Snapshot | null;
  readonly now: Instant;
  /** Whether one of its codes was chosen by a person. */
  readonly typedCode: boolean;
  /** Whether what names the catalog is looked up again; the end of a voucher can be changed whatever became of the catalog. */
  readonly whole: boolean;
}

export function termsOfNew(
  body: VoucherCreate,
  now: Instant,
): VoucherTerms & { readonly named: VoucherCreate['effects'] } {
  return {
    name: body.name ?? null,
    kind: body.kind,
    effects: '[]',
    named: body.effects,
    target_kind: body.target ?? 'customer',
    ...lastsOf(body.lasts),
    starts_at: fromInstant(body.startsAt === undefined ? now : fromTime(body.startsAt, '/startsAt')),
    ends_at: fromInstantOrNull(timeOr(body.endsAt, '/endsAt', null)),
    max_redemptions: body.maxRedemptions ?? null,
    max_per_customer: body.maxPerCustomer ?? 1,
    eligibility: body.eligibility ?? null,
    plans: planText(body.plans ?? null),
    first_time_only: body.firstTimeOnly ?? false,
    stacking: body.stacking ?? 'stackable',
    stacking_group: body.stackingGroup ?? null,
    contract_reference: body.contractReference ?? null,
  };
}

/** The row with the members that are named replaced. */
export function termsChanged(
  row: VoucherRow,
  body: VoucherPatch,
): VoucherTerms & { readonly named: VoucherCreate['effects'] } {
  return {
    name: body.name === undefined ? row.name : body.name,
    kind: body.kind ?? row.kind,
    effects: row.effects,
    named: body.effects ?? toNamedEffects(effectsOf(row)),
    target_kind: body.target ?? row.target_kind,
    ...(body.lasts === undefined
      ? { lasts_days: row.lasts_days, lasts_until: row.lasts_until }
      : lastsOf(body.lasts)),
    starts_at:
      body.startsAt === undefined ? row.starts_at : fromInstant(fromTime(body.startsAt, '/startsAt')),
    ends_at:
      body.endsAt === undefined ? row.ends_at : fromInstantOrNull(timeOr(body.endsAt, '/endsAt', null)),
    max_redemptions: body.maxRedemptions === undefined ? row.max_redemptions : body.maxRedemptions,
    max_per_customer: body.maxPerCustomer ?? row.max_per_customer,
    eligibility: body.eligibility === undefined ? row.eligibility : body.eligibility,
    plans: body.plans === undefined ? row.plans : planText(body.plans),
    first_time_only: body.firstTimeOnly ?? row.first_time_only,
    stacking: body.stacking ?? row.stacking,
    stacking_group: body.stackingGroup === undefined ? row.stacking_group : body.stackingGroup,
    contract_reference:
      body.contractReference === undefined ? row.contract_reference : body.contractReference,
  };
}

function lastsOf(lasts: VoucherCreate['lasts']): Pick<VoucherTerms, 'lasts_days' | 'lasts_until'> {
  if (lasts === 'forever') return { lasts_days: null, lasts_until: null };
  if ('days' in lasts) return { lasts_days: lasts.days, lasts_until: null };
  return { lasts_days: null, lasts_until: fromInstant(fromTime(lasts.until, '/lasts/until')) };
}

function planText(plans: readonly string[] | null): string | null {
  return plans === null ? null : JSON.stringify([...new Set(plans)]);
}

/** Everything that can be wrong with the terms as a whole; answers the effects as they are stored. */
export async function checkTerms(
  terms: VoucherTerms & { readonly named: VoucherCreate['effects'] },
  ground: TermsGround,
): Promise<readonly GrantEffect[]> {
  checkDates(terms);
  if (ground.typedCode) checkTyped(terms);
  if (terms.first_time_only && terms.max_per_customer > 1) {
    throw refuse(
      'unprocessable',
      'FIRST_TIME_IS_ONCE',
      'With `firstTimeOnly` a customer redeems once, so `maxPerCustomer` is 1.',
      '/maxPerCustomer',
    );
  }
  if (!ground.whole) return JSON.parse(terms.effects) as GrantEffect[];
  await checkPlans(terms.plans, ground.items);
  checkEligibility(terms.eligibility, ground.snapshot);
  return readEffects(ground.items, terms.kind, terms.target_kind, terms.named);
}

function checkDates(terms: VoucherTerms): void {
  const { starts_at: starts, ends_at: ends, lasts_until: until, lasts_days: days } = terms;
  checkSpan(starts.getTime(), ends?.getTime() ?? null);
  if (until !== null && until.getTime() <= starts.getTime()) {
    throw refuse(
      'unprocessable',
      'SPAN_EMPTY',
      'What it gives would end before anybody could redeem it. Let `lasts.until` be later than `startsAt`.',
      '/lasts/until',
    );
  }
  if (until === null && days === null && terms.contract_reference === null) {
    throw refuse(
      'unprocessable',
      'CONTRACT_REFERENCE_MISSING',
      'What is given without an end rests on a contract: send `contractReference`, or let it last for `days` or `until` an instant.',
      '/contractReference',
    );
  }
}

/** INVARIANT (K-8): a code that a person chose can be guessed, so what it can cost is bounded in number and in time. */
export function checkTyped(terms: Pick<VoucherTerms, 'max_redemptions' | 'ends_at'>): void {
  for (const [value, name] of [
    [terms.max_redemptions, 'maxRedemptions'],
    [terms.ends_at, 'endsAt'],
  ] as const) {
    if (value !== null) continue;
    throw refuse(
      'unprocessable',
      'TYPED_CODE_UNBOUNDED',
      `A code that a person chose can be guessed, so its voucher has a limit and an end: send \`${name}\`, or let codes be generated.`,
      `/${name}`,
    );
  }
}

async function checkPlans(text: string | null, items: PublishedItems): Promise<void> {
  if (text === null) return;
  const plans = JSON.parse(text) as string[];
  const versioned = plans.filter((plan) => plan.includes('@'));
  const found = await items.find('plan', versioned);
  const keys = await items.keysOf('plan');
  for (const [index, plan] of plans.entries()) {
    if (plan.includes('@') ? found.has(plan) : keys.includes(plan)) continue;
    throw unknownName('PLAN_UNKNOWN', 'plan', plan, keys, `/plans/${index}`);
  }
}

/** Checked as a publish checks a condition: unknown names and wrong types, with their place. */
function checkEligibility(text: string | null, snapshot: Snapshot | null): void {
  if (text === null || snapshot === null) return;
  const compiled = compileCustomerCondition(snapshot, text, 'customer-or-instance');
  if (compiled.ok) return;
  const items = compiled.issues.map(({ code, message, line, column, suggestion }) => ({
    code,
    message,
    pointer: '/eligibility',
    line,
    column,
    ...(suggestion === undefined ? {} : { suggestion }),
  }));
  const [first] = items;
  throw new ServiceError(
    'unprocessable',
    'ELIGIBILITY_INVALID',
    `The condition in \`eligibility\` cannot be used: ${first?.message ?? 'it is not an expression'} (line ${first?.line ?? 1}, column ${first?.column ?? 1}).`,
    { items },
  );
}
