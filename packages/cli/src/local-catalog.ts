import { type LintFinding, lintCatalog } from '@pennon/engine/catalog/lint';
import { parseCatalog } from '@pennon/engine/catalog/parse-catalog';
import type { Catalog } from '@pennon/engine/model/catalog';
import { type CatalogFile, readCatalogFiles } from './catalog-files.js';
import { CommandFailure } from './exit-codes.js';
import { count, type Finding, type Output, printIssues } from './output.js';

export interface LocalCatalog {
  readonly files: readonly CatalogFile[];
  readonly catalog: Catalog | null;
  /** Faults of the document first, then what the linter says. */
  readonly issues: readonly Finding[];
}

/** Reads, parses and lints. With `known`, references may point at what the server already has. */
export async function readLocalCatalog(
  paths: readonly string[],
  now: number,
  known?: Catalog,
): Promise<LocalCatalog> {
  const files = await readCatalogFiles(paths);
  const parsed = parseCatalog(files, known === undefined ? {} : { partial: true, known });
  const lint =
    parsed.catalog === null ? [] : lintCatalog(parsed.catalog, { now, positions: parsed.positions });
  return {
    files,
    catalog: parsed.catalog,
    issues: [...parsed.issues, ...lint.map((finding) => toFinding(finding, files[0]?.name ?? ''))],
  };
}

/** The catalog, or an end with every fault printed. */
export function requireCatalog(local: LocalCatalog, output: Output): Catalog {
  printIssues(output, local.issues);
  const errors = local.issues.filter((issue) => issue.severity === 'error').length;
  if (local.catalog === null || errors > 0) {
    throw new CommandFailure(
      'invalid',
      `${count(errors, 'error')} in ${count(local.files.length, 'file')}; nothing was done`,
    );
  }
  return local.catalog;
}

/** What the linter says of the catalog as a whole has no place of its own: it stands at the first file's beginning. */
function toFinding(finding: LintFinding, file: string): Finding {
  return {
    code: `lint/${finding.rule}`,
    severity: finding.severity,
    message: finding.message,
    file: finding.place?.file ?? file,
    line: finding.place?.line ?? 1,
    column: finding.place?.column ?? 1,
  };
}
