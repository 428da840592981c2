import { parseCatalog } from '@pennon/engine/catalog/parse-catalog';
import type { Catalog } from '@pennon/engine/model/catalog';
import { CommandFailure } from './exit-codes.js';
import { callManagement, type ManagementAnswer, ProblemFailure } from './management-client.js';
import type { Connection } from './settings.js';

export interface RemoteCatalog {
  readonly revision: number;
  readonly catalog: Catalog;
}

const EMPTY: Catalog = {
  features: [],
  plans: [],
  addons: [],
  groups: [],
  segments: [],
  flags: [],
  billing: [],
  tests: [],
};

/** What the server has now; `null` when it does not know the product. */
export async function readRemoteCatalog(
  connection: Connection,
  product: string,
): Promise<RemoteCatalog | null> {
  const path = `/api/v1/products/${encodeURIComponent(product)}/catalog`;
  let answer: ManagementAnswer;
  try {
    answer = await callManagement(connection, { method: 'GET', path, accept: 'application/yaml' });
  } catch (failure) {
    if (failure instanceof ProblemFailure && failure.problem.status === 404) return null;
    throw failure;
  }
  const revision = Number(answer.revision ?? Number.NaN);
  if (!Number.isSafeInteger(revision)) {
    throw new CommandFailure(
      'unavailable',
      `${connection.url} did not say which revision it has; is it a Pennon server?`,
    );
  }
  if (answer.text.trim() === '') return { revision, catalog: EMPTY };
  const parsed = parseCatalog([{ name: `${product}@${revision}`, text: answer.text }]);
  if (parsed.catalog === null) {
    const first = parsed.issues[0]?.message ?? 'it is empty';
    throw new CommandFailure(
      'failure',
      `the catalog of \`${product}\` cannot be read by this version of pennon: ${first}`,
    );
  }
  return { revision, catalog: parsed.catalog };
}

/** The product that a command works on: what was named, else what the document says. */
export function productOf(named: string | undefined, catalog: Catalog | null): string {
  const product = named ?? catalog?.product?.key ?? process.env.PENNON_PRODUCT;
  if (product === undefined || product === '') {
    throw new CommandFailure(
      'usage',
      'no product: name it in the document (`product: { key: … }`), with --product, or in PENNON_PRODUCT',
    );
  }
  return product;
}
