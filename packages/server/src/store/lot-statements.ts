import type { CreditLot, Instant, LotKind } from '@pennon/engine/model/customer';
import type { AccountKey, CustomerAccountKey, LockRequest } from './account-transaction.js';
import { numberArray, textArray } from './array-literal.js';
import type { GroupResult, GroupStatement } from './statement-group.js';

/*
 * Lots in a consume transaction and in what is read for evaluations. They belong to their account: whoever holds its lock may read and
 * write them, and only accounts whose row says that they have lots are looked for any.
 */

const AT = (milliseconds: string) => `to_timestamp(${milliseconds} / 1000.0)`;
const MILLISECONDS = (instant: string) => `floor(extract(epoch from ${instant}) * 1000)::bigint`;

const LOT = `json_build_array(l.id, l.kind, l.priority, l.amount, l.remaining, ${MILLISECONDS('l.created_at')},
  ${MILLISECONDS('l.starts_at')}, ${MILLISECONDS('l.ends_at')})`;

/** The lots of a row of `account`, as JSON; null for one without. What ended a minute ago matters to no clock. */
export const LOTS_OF = (account: string) => `case when ${account}.has_lots then (
  select json_agg(${LOT} order by l.id) from credit_lot l
  where l.customer_id = ${account}.customer_id and l.product_id = ${account}.product_id
    and l.feature = ${account}.feature and l.scope = ${account}.scope
    and l.closed_at is null and (l.ends_at is null or l.ends_at > now() - interval '1 minute')) end`;

type LotColumns = readonly [string, LotKind, number, number, number, Instant, Instant, Instant | null];

function toLot([id, kind, priority, amount, remaining, createdAt, startsAt, endsAt]: LotColumns): CreditLot {
  return { id, kind, priority, amount, remaining, createdAt, startsAt, endsAt };
}

/** As `LOTS_OF` answers them, whether the driver has read the JSON already or not. */
export function toLots(json: unknown): readonly CreditLot[] {
  const lots = (typeof json === 'string' ? JSON.parse(json) : json) as readonly LotColumns[] | null;
  return (lots ?? []).map(toLot);
}

/** Every open lot of the accounts; which of them are in force is the engine's to say. */
const FIND_LOTS = `
select n.customer_id, n.feature, n.scope, (
  select json_agg(${LOT} order by l.id) from credit_lot l
  where l.customer_id = n.customer_id and l.product_id = $1::uuid and l.feature = n.feature and l.scope = n.scope
    and l.closed_at is null)
from unnest($2::uuid[], $3::text[], $4::text[]) as n (customer_id, feature, scope)`;

export function findLotsStatement(
  productId: string,
  accounts: readonly CustomerAccountKey[],
): GroupStatement {
  return {
    name: 'lots-find',
    text: FIND_LOTS,
    values: [
      productId,
      textArray(accounts.map(({ customerId }) => customerId)),
      textArray(accounts.map(({ feature }) => feature)),
      textArray(accounts.map(({ scope }) => scope)),
    ],
  };
}

export function toAccountLots(
  result: GroupResult | undefined,
): readonly (CustomerAccountKey & { readonly lots: readonly CreditLot[] })[] {
  return (result?.rows ?? []).map(([customerId, feature, scope, lots]) => ({
    customerId: customerId ?? '',
    feature: feature ?? '',
    scope: scope ?? '',
    lots: toLots(lots),
  }));
}

export function accountText({ feature, scope }: AccountKey): string {
  return `${feature}|${scope}`;
}

/** What becomes of one account's credits. */
export interface CreditsWrite extends AccountKey {
  readonly covered: number;
  readonly hasLots: boolean;
}

export interface LotWrite {
  readonly id: string;
  readonly remainingBefore: number;
  readonly remaining: number;
  /** Nothing of it can be used any more. */
  readonly closed: boolean;
}

export interface NewLot extends AccountKey {
  readonly lot: CreditLot;
}

/** Of one customer. */
export interface LotsWrite {
  readonly credits: readonly CreditsWrite[];
  readonly changed: readonly LotWrite[];
  readonly made: readonly NewLot[];
}

export const NO_LOTS_WRITTEN: LotsWrite = { credits: [], changed: [], made: [] };

const UPDATE_CREDITS = `
update account a set covered = n.covered, has_lots = n.lots = 1
from unnest($2::uuid[], $3::text[], $4::text[], $5::bigint[], $6::integer[]) as n (customer_id, feature, scope, covered, lots)
where a.customer_id = n.customer_id and a.product_id = $1::uuid and a.feature = n.feature and a.scope = n.scope`;

// As with accounts: one that does not stand as it was read divides by zero, and nothing of the transaction remains.
const UPDATE_LOTS = `
with written as (
  update credit_lot l set remaining = n.remaining, version = l.version + 1,
    closed_at = case when n.closed = 1 then ${AT('$1::bigint')} else l.closed_at end
  from unnest($2::uuid[], $3::uuid[], $4::bigint[], $5::bigint[], $6::integer[])
    as n (customer_id, id, before, remaining, closed)
  where l.customer_id = n.customer_id and l.id = n.id and l.remaining = n.before and l.closed_at is null
  returning 1
)
select 1 / (case when (select count(*) from written) = $7::integer then 1 else 0 end)`;

const INSERT_LOTS = `
insert into credit_lot (customer_id, id, environment_id, product_id, feature, scope, kind, priority, amount, remaining,
  starts_at, ends_at, source, reason, version, created_at)
select n.customer_id, n.id, $3::uuid, $2::uuid, n.feature, n.scope, n.kind, n.priority, n.amount, n.remaining,
  ${AT('n.starts_at')}, ${AT('n.ends_at')}, null, 'Left of the period before.', 1, ${AT('n.created_at')}
from unnest($1::uuid[], $4::uuid[], $5::text[], $6::text[], $7::text[], $8::integer[], $9::bigint[], $10::bigint[], $11::bigint[],
  $12::bigint[], $13::bigint[]) as n (customer_id, id, feature, scope, kind, priority, amount, remaining, starts_at, ends_at, created_at)`;

/** What becomes of the lots of one of several customers. */
export type CustomerLots = Pick<LotsWrite, 'changed' | 'made'> & { readonly customerId: string };

/** The rows of lots alone; nothing for accounts without lots, which is nearly all of them. */
export function lotRowStatements(
  { productId, environmentId }: Pick<LockRequest, 'productId' | 'environmentId'>,
  now: Instant,
  customers: readonly CustomerLots[],
): readonly GroupStatement[] {
  const statements: GroupStatement[] = [];
  const made = customers.flatMap((one) => one.made.map((lot) => ({ ...lot, customerId: one.customerId })));
  const changed = customers.flatMap((one) =>
    one.changed.map((lot) => ({ ...lot, customerId: one.customerId })),
  );
  if (made.length > 0) {
    const lots = made.map(({ lot }) => lot);
    statements.push({
      name: 'lots-insert',
      text: INSERT_LOTS,
      values: [
        textArray(made.map(({ customerId }) => customerId)),
        productId,
        environmentId,
        textArray(lots.map(({ id }) => id)),
        textArray(made.map(({ feature }) => feature)),
        textArray(made.map(({ scope }) => scope)),
        textArray(lots.map(({ kind }) => kind)),
        numberArray(lots.map(({ priority }) => priority)),
        numberArray(lots.map(({ amount }) => amount)),
        numberArray(lots.map(({ remaining }) => remaining)),
        numberArray(lots.map(({ startsAt }) => startsAt)),
        numberArray(lots.map(({ endsAt }) => endsAt)),
        numberArray(lots.map(({ createdAt }) => createdAt)),
      ],
    });
  }
  if (changed.length > 0) {
    statements.push({
      name: 'lots-update',
      text: UPDATE_LOTS,
      values: [
        String(now),
        textArray(changed.map(({ customerId }) => customerId)),
        textArray(changed.map(({ id }) => id)),
        numberArray(changed.map(({ remainingBefore }) => remainingBefore)),
        numberArray(changed.map(({ remaining }) => remaining)),
        numberArray(changed.map(({ closed }) => (closed ? 1 : 0))),
        String(changed.length),
      ],
    });
  }
  return statements;
}

/** What accounts say of their lots; nothing where that is as it was. */
export function creditsStatements(
  { productId }: Pick<LockRequest, 'productId'>,
  customers: readonly (Pick<LotsWrite, 'credits'> & { readonly customerId: string })[],
): readonly GroupStatement[] {
  const credits = customers.flatMap((one) =>
    one.credits.map((account) => ({ ...account, customerId: one.customerId })),
  );
  if (credits.length === 0) return [];
  return [
    {
      name: 'credits-update',
      text: UPDATE_CREDITS,
      values: [
        productId,
        textArray(credits.map(({ customerId }) => customerId)),
        textArray(credits.map(({ feature }) => feature)),
        textArray(credits.map(({ scope }) => scope)),
        numberArray(credits.map(({ covered }) => covered)),
        numberArray(credits.map(({ hasLots }) => (hasLots ? 1 : 0))),
      ],
    },
  ];
}
