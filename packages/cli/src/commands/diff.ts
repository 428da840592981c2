import { type CatalogChange, diffCatalogs } from '@pennon/engine/catalog/diff';
import type { Catalog } from '@pennon/engine/model/catalog';
import { CommandFailure, type ExitCodeName } from '../exit-codes.js';
import { readLocalCatalog, requireCatalog } from '../local-catalog.js';
import { layOver } from '../merge.js';
import { count, type Output, printJson } from '../output.js';
import { productOf, readRemoteCatalog } from '../remote-catalog.js';
import { type ConnectionOptions, connectionOf } from '../settings.js';

export interface DiffOptions extends ConnectionOptions {
  readonly product?: string;
  readonly prune?: boolean;
  readonly json?: boolean;
  readonly exitCode?: boolean;
}

export interface Comparison {
  readonly product: string;
  /** `null`: the server does not know the product yet. */
  readonly revision: number | null;
  readonly local: Catalog;
  readonly changes: readonly CatalogChange[];
  /** `kind key` of what the server has and the files lack. */
  readonly lacking: readonly string[];
}

const NOTHING: Catalog = {
  features: [],
  plans: [],
  addons: [],
  groups: [],
  segments: [],
  flags: [],
  billing: [],
  tests: [],
};

/** Compares the files with what the server has. */
export async function compare(
  paths: readonly string[],
  options: DiffOptions,
  output: Output,
): Promise<Comparison> {
  const connection = connectionOf(options);
  // A first reading, without references to the server, only to learn which product the files are about.
  const named = options.product ?? (await readLocalCatalog(paths, Date.now(), NOTHING)).catalog?.product?.key;
  const product = productOf(named, null);
  const remote = await readRemoteCatalog(connection, product);
  const local = requireCatalog(await readLocalCatalog(paths, Date.now(), remote?.catalog), output);
  if (local.product !== undefined && local.product.key !== product) {
    throw new CommandFailure(
      'usage',
      `the files are about \`${local.product.key}\`, not \`${product}\`; leave --product out`,
    );
  }
  const before = remote?.catalog ?? NOTHING;
  const merged = layOver(before, local, options.prune === true);
  return {
    product,
    revision: remote?.revision ?? null,
    local,
    changes: diffCatalogs(before, merged.after),
    lacking: merged.lacking.map((item) => `${item.kind} ${item.key}`),
  };
}

const SIGNS = { added: '+', removed: '-', changed: '~', moved: '↕' } as const;

export function printComparison(output: Output, comparison: Comparison, pruned: boolean): void {
  const where =
    comparison.revision === null
      ? 'a product the server does not have yet'
      : `revision ${comparison.revision}`;
  output.note(`\`${comparison.product}\`, against ${where}: ${count(comparison.changes.length, 'change')}`);
  for (const change of comparison.changes) output.print(`${SIGNS[change.kind]} ${change.text}`);
  if (comparison.lacking.length > 0 && !pruned) {
    output.note(`not in the files, and kept (--prune removes them): ${comparison.lacking.join(', ')}`);
  }
}

/** `pennon diff`: what `apply` would change, in the words of a person. */
export async function diff(
  paths: readonly string[],
  options: DiffOptions,
  output: Output,
): Promise<ExitCodeName> {
  const comparison = await compare(paths, options, output);
  if (options.json === true) {
    const { product, revision, changes, lacking } = comparison;
    printJson(output, { product, revision, changes, lacking });
  } else {
    printComparison(output, comparison, options.prune === true);
  }
  return options.exitCode === true && comparison.changes.length > 0 ? 'different' : 'success';
}
