import type { GrantEffect } from '@pennon/engine/model/customer';
import type { JsonObject } from '@pennon/engine/model/json';
import type { ApiVoucher, VoucherCreate, VoucherPatch } from '@pennon/protocol/management/vouchers';
import { fromInstant } from '../../store/instant.js';
import { type Changed, changeData, type DataChange } from '../contracts/data-change.js';
import { productNamed } from '../contracts/named-product.js';
import { PublishedItems } from '../contracts/published-items.js';
import { refuse } from '../contracts/refusals.js';
import type { ChangeContext, Credential } from '../credential.js';
import { newId } from '../new-id.js';
import type { EnvironmentRecord, ProductRecord } from '../ports.js';
import { checkPrecondition, type Precondition } from '../precondition.js';
import { environmentInReach } from '../scope.js';
import { ServiceError } from '../service-error.js';
import { findVoucher, refuseArchived, type VoucherName, type VoucherServices } from './find-voucher.js';
import { hasTypedCode, storeTypedCode } from './voucher-codes.js';
import { toApiVoucher, type VoucherRow } from './voucher-record.js';
import { checkTerms, termsChanged, termsOfNew, type VoucherTerms } from './voucher-terms.js';

/** Makes a voucher, as a draft unless said otherwise. It has no code yet, but for one that a person chose. */
export async function createVoucher(
  services: VoucherServices,
  credential: Credential,
  context: ChangeContext,
  named: { readonly environment: string },
  body: VoucherCreate,
): Promise<Changed<ApiVoucher>> {
  const environment = environmentInReach(services.directory, credential, named.environment);
  const product = productNamed(services.directory, credential, body.product);
  return changeData(services, context, environment.id, async (change) => {
    const items = await PublishedItems.open(change.transaction, product, environment);
    const { named: namedEffects, ...terms } = termsOfNew(body, change.now);
    const effects = await checkTerms(
      { ...terms, named: namedEffects },
      {
        items,
        snapshot: services.snapshots.current(product.id, environment.id),
        now: change.now,
        typedCode: body.code !== undefined,
        whole: true,
      },
    );
    await refuseTakenKey(change, product, body.key);
    const row = await change.transaction
      .insertInto('voucher')
      .values({
        ...terms,
        id: newId(),
        environment_id: environment.id,
        product_id: product.id,
        key: body.key,
        state: body.state ?? 'draft',
        effects: JSON.stringify(effects),
        redeemed: 0,
        version: 1,
        created_at: fromInstant(change.now),
      })
      .returningAll()
      .executeTakeFirstOrThrow();
    if (body.code !== undefined) await storeTypedCode(change, row, product, body.code, '/code');
    return { item: await record(change, row, product, 'voucher.create'), created: true };
  });
}

async function refuseTakenKey(change: DataChange, product: ProductRecord, key: string): Promise<void> {
  const taken = await change.transaction
    .selectFrom('voucher')
    .select('id')
    .where('environment_id', '=', change.environmentId)
    .where('product_id', '=', product.id)
    .where('key', '=', key)
    .executeTakeFirst();
  if (taken !== undefined) {
    throw new ServiceError(
      'conflict',
      'VOUCHER_EXISTS',
      `The voucher \`${key}\` exists already. Change it with PATCH …/vouchers/${encodeURIComponent(key)}, or choose another key.`,
    );
  }
}

/** Law 8: the object after; its codes stand nowhere in it. */
async function record(
  change: DataChange,
  row: VoucherRow,
  product: ProductRecord,
  action: string,
): Promise<ApiVoucher> {
  const item = toApiVoucher(row, product.key, change.now);
  await change.record({
    action,
    productId: product.id,
    objectKind: 'voucher',
    objectId: row.id,
    objectVersion: row.version,
    after: item as unknown as JsonObject,
  });
  return item;
}

/** What it gives is promised to whoever holds a code, once it is active. */
const PROMISED = ['kind', 'effects', 'target', 'lasts', 'contractReference'] as const;
/** Whom it is given to, once somebody has it: the others must not find other terms. */
const CONDITIONS = [
  'startsAt',
  'maxPerCustomer',
  'eligibility',
  'plans',
  'firstTimeOnly',
  'stacking',
  'stackingGroup',
] as const;

/** Changes the members that are named: a draft in everything, an active one in what no holder of a code was promised. */
export async function changeVoucher(
  services: VoucherServices,
  credential: Credential,
  context: ChangeContext,
  named: VoucherName,
  body: VoucherPatch,
  precondition: Precondition,
): Promise<Changed<ApiVoucher>> {
  return changing(
    services,
    credential,
    context,
    named,
    precondition,
    async (change, row, product, environment) => {
      refuseFrozen(row, body);
      const { named: namedEffects, ...terms } = termsChanged(row, body);
      if (terms.max_redemptions !== null && terms.max_redemptions < row.redeemed) {
        throw refuse(
          'unprocessable',
          'BELOW_REDEEMED',
          `It was redeemed ${row.redeemed} times, so \`maxRedemptions\` cannot be less. To stop it, archive it.`,
          '/maxRedemptions',
        );
      }
      const effects: readonly GrantEffect[] = await checkTerms(
        { ...terms, named: namedEffects },
        {
          items: await PublishedItems.open(change.transaction, product, environment),
          snapshot: services.snapshots.current(product.id, environment.id),
          now: change.now,
          typedCode: await hasTypedCode(change.transaction, row.id),
          whole: row.state === 'draft' || CONDITIONS.some((member) => body[member] !== undefined),
        },
      );
      const saved = await save(change, row, { ...terms, effects: JSON.stringify(effects) });
      return record(change, saved, product, 'voucher.change');
    },
  );
}

function refuseFrozen(row: VoucherRow, body: VoucherPatch): void {
  const promised = row.state === 'draft' ? undefined : PROMISED.find((member) => body[member] !== undefined);
  if (promised !== undefined) {
    throw refuse(
      'conflict',
      'VOUCHER_FROZEN',
      `\`${promised}\` says what holders of its codes were promised, and the voucher is active. Archive it and make another one.`,
      `/${promised}`,
    );
  }
  const condition = row.redeemed === 0 ? undefined : CONDITIONS.find((member) => body[member] !== undefined);
  if (condition !== undefined) {
    throw refuse(
      'conflict',
      'VOUCHER_FROZEN',
      `\`${condition}\` is the same for everyone, and the voucher was redeemed ${row.redeemed} times. What may still change: \`name\`, \`endsAt\`, \`maxRedemptions\`.`,
      `/${condition}`,
    );
  }
}

async function save(
  change: DataChange,
  row: VoucherRow,
  columns: Partial<VoucherTerms & Pick<VoucherRow, 'state'>>,
): Promise<VoucherRow> {
  return change.transaction
    .updateTable('voucher')
    .set({ ...columns, version: row.version + 1 })
    .where('id', '=', row.id)
    .returningAll()
    .executeTakeFirstOrThrow();
}

/** From a draft to one whose codes are redeemed. What it names must still exist. */
export async function activateVoucher(
  services: VoucherServices,
  credential: Credential,
  context: ChangeContext,
  named: VoucherName,
  precondition: Precondition,
): Promise<Changed<ApiVoucher>> {
  const condition: Precondition = precondition.kind === 'none' ? { kind: 'exists' } : precondition;
  return changing(
    services,
    credential,
    context,
    named,
    condition,
    async (change, row, product, environment) => {
      if (row.state !== 'draft') {
        throw new ServiceError(
          'conflict',
          'VOUCHER_NOT_DRAFT',
          `The voucher \`${row.key}\` is active already.`,
        );
      }
      const { named: namedEffects, ...terms } = termsChanged(row, { reason: context.reason });
      await checkTerms(
        { ...terms, named: namedEffects },
        {
          items: await PublishedItems.open(change.transaction, product, environment),
          snapshot: services.snapshots.current(product.id, environment.id),
          now: change.now,
          typedCode: await hasTypedCode(change.transaction, row.id),
          whole: true,
        },
      );
      const saved = await save(change, row, { state: 'active' });
      return record(change, saved, product, 'voucher.activate');
    },
  );
}

/** No code of it is redeemed any more. What was redeemed stays, and ends by the clock. */
export async function archiveVoucher(
  services: VoucherServices,
  credential: Credential,
  context: ChangeContext,
  named: VoucherName,
  precondition: Precondition,
): Promise<Changed<ApiVoucher>> {
  const condition: Precondition = precondition.kind === 'none' ? { kind: 'exists' } : precondition;
  return changing(services, credential, context, named, condition, async (change, row, product) => {
    const saved = await save(change, row, { state: 'archived' });
    return record(change, saved, product, 'voucher.archive');
  });
}

async function changing(
  services: VoucherServices,
  credential: Credential,
  context: ChangeContext,
  named: VoucherName,
  precondition: Precondition,
  work: (
    change: DataChange,
    row: VoucherRow,
    product: ProductRecord,
    environment: EnvironmentRecord,
  ) => Promise<ApiVoucher>,
): Promise<Changed<ApiVoucher>> {
  const { directory } = services;
  const environment = environmentInReach(directory, credential, named.environment);
  return changeData(services, context, environment.id, async (change) => {
    const found = await findVoucher(
      change.transaction,
      directory,
      credential,
      environment,
      named.voucher,
      true,
    );
    const { row, product } = found;
    const item = toApiVoucher(row, product.key, change.now);
    checkPrecondition(precondition, { tag: String(row.version), item }, `The voucher \`${row.key}\``);
    refuseArchived(row);
    return { item: await work(change, row, product, environment), created: false };
  });
}

export async function getVoucher(
  services: VoucherServices,
  credential: Credential,
  named: VoucherName,
): Promise<ApiVoucher> {
  const { directory, database, clock } = services;
  const environment = environmentInReach(directory, credential, named.environment);
  const { row, product } = await findVoucher(database, directory, credential, environment, named.voucher);
  return toApiVoucher(row, product.key, clock.now());
}
