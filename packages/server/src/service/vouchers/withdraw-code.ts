import type { JsonObject } from '@pennon/engine/model/json';
import type { ApiVoucherCode } from '@pennon/protocol/management/vouchers';
import type { Kysely } from 'kysely';
import { fromInstant } from '../../store/instant.js';
import type { Tables } from '../../store/tables.js';
import { type Changed, changeData } from '../contracts/data-change.js';
import { notFound } from '../contracts/refusals.js';
import type { ChangeContext, Credential } from '../credential.js';
import { isId, newId } from '../new-id.js';
import { checkPrecondition, type Precondition } from '../precondition.js';
import { environmentInReach } from '../scope.js';
import { ServiceError } from '../service-error.js';
import { findVoucher, type VoucherName, type VoucherServices } from './find-voucher.js';
import { toApiCode, type VoucherCodeRow, type VoucherRow } from './voucher-record.js';

/* One code of a voucher: it was lost, or got to the wrong person. The others stay good. */

export interface CodeName extends VoucherName {
  /** The id: the code itself nobody can name, because only its hash is kept. */
  readonly code: string;
}

export async function getCode(
  services: VoucherServices,
  credential: Credential,
  named: CodeName,
): Promise<ApiVoucherCode> {
  const { directory, database } = services;
  const environment = environmentInReach(directory, credential, named.environment);
  const { row } = await findVoucher(database, directory, credential, environment, named.voucher);
  return toApiCode(await findCode(database, row, named.code, false));
}

/** No one redeems it any more; what it was redeemed for before stays, and is taken back by itself where it is to be. */
export async function withdrawCode(
  services: VoucherServices,
  credential: Credential,
  context: ChangeContext,
  named: CodeName,
  precondition: Precondition,
): Promise<Changed<ApiVoucherCode>> {
  const { directory } = services;
  const environment = environmentInReach(directory, credential, named.environment);
  return changeData(services, context, environment.id, async (change) => {
    const found = await findVoucher(change.transaction, directory, credential, environment, named.voucher);
    const code = await findCode(change.transaction, found.row, named.code, true);
    const current = { tag: String(code.version), item: toApiCode(code) };
    checkPrecondition(precondition, current, `The code \`${code.id}\``);
    if (code.withdrawn_at !== null) {
      throw new ServiceError(
        'conflict',
        'VOUCHER_CODE_WITHDRAWN',
        `The code \`${code.id}\` was withdrawn at ${code.withdrawn_at.toISOString()}.`,
      );
    }
    const row = await change.transaction
      .updateTable('voucher_code')
      .set({
        withdrawn_at: fromInstant(change.now),
        withdraw_reason: context.reason,
        version: code.version + 1,
      })
      .where('environment_id', '=', code.environment_id)
      .where('hash', '=', code.hash)
      .where('product_id', '=', code.product_id)
      .returningAll()
      .executeTakeFirstOrThrow();
    const item = toApiCode(row);
    await change.record({
      action: 'voucher.withdraw-code',
      productId: found.product.id,
      objectKind: 'voucher-code',
      objectId: row.id,
      objectVersion: row.version,
      after: { ...item, voucher: found.row.id } as unknown as JsonObject,
    });
    return { item, created: false };
  });
}

async function findCode(
  database: Kysely<Tables>,
  voucher: VoucherRow,
  id: string,
  isLocked: boolean,
): Promise<VoucherCodeRow> {
  let select = database
    .selectFrom('voucher_code')
    .selectAll()
    .where('voucher_id', '=', voucher.id)
    .where('id', '=', isId(id) ? id : newId());
  if (isLocked) select = select.forUpdate();
  const row = await select.executeTakeFirst();
  if (row !== undefined) return row;
  throw notFound(
    'VOUCHER_CODE_NOT_FOUND',
    `The code \`${id}\` of the voucher \`${voucher.key}\``,
    'GET …/codes lists those that exist, each with its `id` and its last characters.',
  );
}
