import type { ExitCodeName } from '../exit-codes.js';
import { readLocalCatalog } from '../local-catalog.js';
import { count, type Output, printIssues, printJson } from '../output.js';

export interface ValidateOptions {
  readonly json?: boolean;
  readonly strict?: boolean;
}

/** `pennon validate`: every fault with its place, without a server. */
export async function validate(
  paths: readonly string[],
  options: ValidateOptions,
  output: Output,
): Promise<ExitCodeName> {
  const local = await readLocalCatalog(paths, Date.now());
  const errors = local.issues.filter((issue) => issue.severity === 'error').length;
  const warnings = local.issues.filter((issue) => issue.severity === 'warning').length;
  const valid = local.catalog !== null && errors === 0 && (options.strict !== true || warnings === 0);
  if (options.json === true) {
    printJson(output, { valid, files: local.files.map((file) => file.name), issues: local.issues });
  } else {
    printIssues(output, local.issues);
    const found = `${count(errors, 'error')}, ${count(warnings, 'warning')} in ${count(local.files.length, 'file')}`;
    output.note(valid ? `valid: ${found}` : `not valid: ${found}`);
  }
  return valid ? 'success' : 'invalid';
}
