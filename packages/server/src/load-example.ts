import { readdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { EXAMPLE_PRODUCT, type Parts } from './compose.js';
import { createProduct } from './service/products/create-product.js';
import { publish } from './service/publish.js';
import { hasProducts, seedProduct, systemContext } from './service/seed.js';
import { ServiceError } from './service/service-error.js';

const EXAMPLE_FOLDER = fileURLToPath(new URL('../../../examples/saleshub/', import.meta.url));
const REASON = 'The example that a fresh installation begins with.';

/**
 * Gives a fresh installation its first product: the example, or an empty one. Where there is a product already nothing is touched,
 * unless the example was begun and never published (a start that was killed). Returns whether the example is there.
 */
export async function loadFirstProduct(
  parts: Parts,
  options: { readonly example: boolean; readonly product: string | null },
): Promise<boolean> {
  const files = options.example ? await readExample() : [];
  if (files.length === 0) {
    await seedProduct(parts.management, options.product ?? 'default');
    return parts.directory.product(EXAMPLE_PRODUCT) !== null;
  }
  if (!(await hasProducts(parts.database.kysely))) {
    const input = { key: EXAMPLE_PRODUCT, name: 'Sales Hub', reason: REASON };
    await createProduct(parts.management, systemContext(REASON), input).catch(ignoreConflict);
  }
  const product = parts.directory.product(EXAMPLE_PRODUCT);
  if (product === null) {
    return false;
  }
  if (await isUnpublished(parts, product.id)) {
    await publish(parts.publishing, systemContext(REASON), {
      product,
      // Base 0: when another process has published meanwhile, this is a conflict and theirs stays.
      edit: { type: 'document', files, base: 0, prune: false },
      environments: null,
      dryRun: false,
    }).catch(ignoreConflict);
  }
  return true;
}

async function isUnpublished(parts: Parts, productId: string): Promise<boolean> {
  const row = await parts.database.kysely
    .selectFrom('product')
    .select('head_revision')
    .where('id', '=', productId)
    .executeTakeFirst();
  return row?.head_revision === 0;
}

/** The catalog documents of the example; none where it was not shipped along. */
async function readExample(): Promise<readonly { readonly name: string; readonly text: string }[]> {
  const names = await readdir(EXAMPLE_FOLDER).catch(() => []);
  const documents = names.filter((name) => /\.ya?ml$/.test(name)).sort();
  return Promise.all(
    documents.map(async (name) => ({ name, text: await readFile(`${EXAMPLE_FOLDER}${name}`, 'utf8') })),
  );
}

/** Another process that starts at the same time has done it. */
function ignoreConflict(error: unknown): void {
  if (
    !(error instanceof ServiceError) ||
    (error.kind !== 'conflict' && error.kind !== 'precondition-failed')
  ) {
    throw error;
  }
}
