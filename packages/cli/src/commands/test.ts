import { runAssertions } from '@pennon/engine/assertions/run-assertions';
import type { ExitCodeName } from '../exit-codes.js';
import { readLocalCatalog, requireCatalog } from '../local-catalog.js';
import { count, type Output, printJson } from '../output.js';

export interface TestOptions {
  readonly json?: boolean;
}

/** `pennon test`: the catalog's own assertions (`tests:`), without a server. */
export async function test(
  paths: readonly string[],
  options: TestOptions,
  output: Output,
): Promise<ExitCodeName> {
  const now = Date.now();
  const catalog = requireCatalog(await readLocalCatalog(paths, now), output);
  const results = runAssertions(catalog, { now });
  const failed = results.filter((result) => result.failures.length > 0);
  if (options.json === true) {
    printJson(output, { passed: results.length - failed.length, failed: failed.length, results });
  } else {
    for (const result of results) {
      output.print(`${result.failures.length === 0 ? '✓' : '✗'} ${result.name}`);
      for (const failure of result.failures) output.print(`    ${failure.message}`);
    }
    output.note(`${count(results.length - failed.length, 'assertion')} held, ${failed.length} failed`);
    if (results.length === 0) output.note('the catalog holds no assertions; write some under `tests:`');
  }
  return failed.length === 0 ? 'success' : 'invalid';
}
