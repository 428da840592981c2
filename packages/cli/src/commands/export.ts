import { writeFile } from 'node:fs/promises';
import { CommandFailure, type ExitCodeName } from '../exit-codes.js';
import { callManagement } from '../management-client.js';
import type { Output } from '../output.js';
import { productOf } from '../remote-catalog.js';
import { type ConnectionOptions, connectionOf } from '../settings.js';

export interface ExportOptions extends ConnectionOptions {
  readonly product?: string;
  readonly format?: string;
  readonly output?: string;
}

/** `pennon export`: the published catalog as a document that `apply` takes back unchanged. */
export async function exportCatalog(options: ExportOptions, output: Output): Promise<ExitCodeName> {
  const format = options.format ?? 'yaml';
  if (format !== 'yaml' && format !== 'json')
    throw new CommandFailure('usage', `\`${format}\` is no format; choose yaml or json`);
  const product = productOf(options.product, null);
  const { text } = await callManagement(connectionOf(options), {
    method: 'GET',
    path: `/api/v1/products/${encodeURIComponent(product)}/catalog`,
    accept: format === 'yaml' ? 'application/yaml' : 'application/json',
  });
  if (options.output === undefined) output.print(text.trimEnd());
  else await writeFile(options.output, text);
  return 'success';
}
