import type { JsonObject } from '@pennon/engine/model/json';
import { LIMITS } from '@pennon/engine/model/limits';
import type { ApiCodesCreated, ApiVoucherCode, CodesCreate } from '@pennon/protocol/management/vouchers';
import type { Insertable, Kysely } from 'kysely';
import { fromInstant } from '../../store/instant.js';
import type { Tables } from '../../store/tables.js';
import type { VoucherCodeTable } from '../../store/voucher-tables.js';
import { type Changed, changeData, type DataChange } from '../contracts/data-change.js';
import { refuse } from '../contracts/refusals.js';
import type { ChangeContext, Credential } from '../credential.js';
import { isId, newId } from '../new-id.js';
import { fromCursor, type Page, toPage } from '../page.js';
import type { ProductRecord } from '../ports.js';
import { environmentInReach } from '../scope.js';
import { codeHint, generateCode, hashCode, isGeneratedLength, normalCode } from './code-text.js';
import { findVoucher, refuseArchived, type VoucherName, type VoucherServices } from './find-voucher.js';
import { toApiCode, type VoucherRow } from './voucher-record.js';
import { checkTyped } from './voucher-terms.js';

/** What a statement may carry of parameters bounds how many rows go into one. */
const ROWS_TOGETHER = 1000;

/** Makes codes of a voucher and answers them, this once: only their hashes are kept. */
export async function createCodes(
  services: VoucherServices,
  credential: Credential,
  context: ChangeContext,
  named: VoucherName,
  body: CodesCreate,
): Promise<Changed<ApiCodesCreated>> {
  const { directory } = services;
  const environment = environmentInReach(directory, credential, named.environment);
  checkShape(body);
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
    refuseArchived(row);
    if (body.code !== undefined) {
      checkTyped(row);
      const item = await storeTypedCode(
        change,
        row,
        product,
        body.code,
        '/code',
        body.redemptionsPerCode ?? null,
      );
      return { item, created: true };
    }
    const codes = Array.from({ length: body.count ?? 1 }, generateCode);
    // A code for one pocket is redeemed once, unless it is said that many share it.
    const perCode = body.redemptionsPerCode === undefined ? 1 : body.redemptionsPerCode;
    const item = await store(change, row, product, codes, 'generated', perCode);
    return { item, created: true };
  });
}

function checkShape({ code, count }: CodesCreate): void {
  if (code !== undefined && count !== undefined) {
    throw refuse(
      'invalid',
      'CODES_AMBIGUOUS',
      'Send `count` to have codes generated, or `code` for one that you chose, not both.',
      '/code',
    );
  }
}

/** A code that a person chose. The voucher's limit and end are checked by who calls. */
export async function storeTypedCode(
  change: DataChange,
  row: VoucherRow,
  product: ProductRecord,
  code: string,
  pointer: string,
  perCode: number | null = null,
): Promise<ApiCodesCreated> {
  const normal = normalCode(code);
  const least = LIMITS.typedCodeCharacters.value;
  if (normal.length < least || isGeneratedLength(normal)) {
    throw refuse(
      'unprocessable',
      'TYPED_CODE_REFUSED',
      normal.length < least
        ? `A code has at least ${least} letters and digits; hyphens do not count.`
        : 'A code of exactly 20 letters and digits could be taken for a generated one with a slip. Take one more or one less.',
      pointer,
    );
  }
  const taken = await change.transaction
    .selectFrom('voucher_code')
    .innerJoin('voucher', 'voucher.id', 'voucher_code.voucher_id')
    .select('voucher.key')
    .where('voucher_code.environment_id', '=', row.environment_id)
    .where('hash', '=', hashCode(row.environment_id, normal))
    .where('voucher_code.product_id', '=', product.id)
    .executeTakeFirst();
  if (taken !== undefined) {
    throw refuse(
      'conflict',
      'CODE_TAKEN',
      'This code is used already (`O` reads as `0`, `I` and `L` as `1`). Choose another one.',
      pointer,
    );
  }
  return store(change, row, product, [code], 'typed', perCode);
}

async function store(
  change: DataChange,
  voucher: VoucherRow,
  product: ProductRecord,
  codes: readonly string[],
  kind: 'generated' | 'typed',
  perCode: number | null,
): Promise<ApiCodesCreated> {
  const batch = newId();
  const rows = codes.map((code): Insertable<VoucherCodeTable> => {
    const normal = normalCode(code);
    return {
      environment_id: voucher.environment_id,
      hash: hashCode(voucher.environment_id, normal),
      product_id: voucher.product_id,
      id: newId(),
      voucher_id: voucher.id,
      batch_id: batch,
      kind,
      hint: codeHint(normal),
      max_redemptions: perCode,
      redeemed: 0,
      created_at: fromInstant(change.now),
    };
  });
  for (let from = 0; from < rows.length; from += ROWS_TOGETHER) {
    await change.transaction
      .insertInto('voucher_code')
      .values(rows.slice(from, from + ROWS_TOGETHER))
      .execute();
  }
  const after: JsonObject = {
    id: batch,
    voucher: voucher.id,
    kind,
    count: codes.length,
    redemptionsPerCode: perCode,
  };
  await change.record({
    action: 'voucher.codes',
    productId: product.id,
    objectKind: 'voucher-codes',
    objectId: batch,
    objectVersion: 1,
    after,
  });
  return { batch, redemptionsPerCode: perCode, codes: [...codes] };
}

export async function hasTypedCode(database: Kysely<Tables>, voucherId: string): Promise<boolean> {
  const row = await database
    .selectFrom('voucher_code')
    .select('id')
    .where('voucher_id', '=', voucherId)
    .where('kind', '=', 'typed')
    .limit(1)
    .executeTakeFirst();
  return row !== undefined;
}

/** By their hints: nobody can read a code again. */
export async function listCodes(
  services: VoucherServices,
  credential: Credential,
  named: VoucherName,
  query: { readonly limit?: number; readonly cursor?: string },
): Promise<Page<ApiVoucherCode>> {
  const { directory, database } = services;
  const environment = environmentInReach(directory, credential, named.environment);
  const { row } = await findVoucher(database, directory, credential, environment, named.voucher);
  const limit = query.limit ?? 50;
  const [after] = fromCursor(query.cursor, 1) ?? [];
  let select = database
    .selectFrom('voucher_code')
    .selectAll()
    .where('voucher_id', '=', row.id)
    .orderBy('id')
    .limit(limit + 1);
  if (after !== undefined && isId(after)) select = select.where('id', '>', after);
  return toPage(await select.execute(), limit, toApiCode, (code) => [code.id]);
}
