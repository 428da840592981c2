import { confirm, isCancel } from '@clack/prompts';
import { toCatalogYaml } from '@pennon/engine/catalog/catalog-yaml';
import { CommandFailure, type ExitCodeName } from '../exit-codes.js';
import { callManagementJson } from '../management-client.js';
import { type Output, printJson } from '../output.js';
import { type Connection, connectionOf } from '../settings.js';
import { type Comparison, compare, type DiffOptions, printComparison } from './diff.js';

export interface ApplyOptions extends DiffOptions {
  readonly yes?: boolean;
  readonly reason?: string;
  /** Keys with commas. */
  readonly environment?: string;
}

interface PublishAnswer {
  readonly revision: number;
  readonly environments: readonly { readonly key: string; readonly changed: boolean }[];
}

/** `pennon apply`: shows the difference, asks, and publishes exactly that, or nothing. */
export async function apply(
  paths: readonly string[],
  options: ApplyOptions,
  output: Output,
): Promise<ExitCodeName> {
  const connection = connectionOf(options);
  const comparison = await compare(paths, options, output);
  if (options.json !== true) printComparison(output, comparison, options.prune === true);
  if (comparison.changes.length === 0 && comparison.revision !== null) {
    const behind = await environmentsBehind(connection, comparison, options);
    if (behind.length === 0) {
      if (options.json === true)
        printJson(output, { product: comparison.product, revision: comparison.revision, changes: [] });
      else output.note('nothing to change');
      return 'success';
    }
    if (options.json !== true) {
      for (const key of behind)
        output.print(`~ environment \`${key}\` moves to revision ${comparison.revision}`);
    }
  }
  if (options.yes !== true) await ask(comparison.product);
  if (comparison.revision === null) {
    await callManagementJson(connection, {
      method: 'POST',
      path: '/api/v1/products',
      body: json({
        key: comparison.product,
        name: comparison.local.product?.name ?? comparison.product,
        reason: reasonOf(options),
      }),
    });
  }
  const answer = await publish(connection, comparison, options, false);
  if (options.json === true) {
    printJson(output, {
      product: comparison.product,
      revision: answer.revision,
      changes: comparison.changes,
      lacking: comparison.lacking,
    });
  } else {
    output.note(`published as revision ${answer.revision}`);
  }
  return 'success';
}

function publish(
  connection: Connection,
  comparison: Comparison,
  options: ApplyOptions,
  dryRun: boolean,
): Promise<PublishAnswer> {
  return callManagementJson<PublishAnswer>(connection, {
    method: 'PUT',
    path: `/api/v1/products/${encodeURIComponent(comparison.product)}/catalog`,
    query: {
      base: String(comparison.revision ?? 0),
      prune: options.prune === true ? 'true' : undefined,
      dryRun: dryRun ? 'true' : undefined,
      reason: reasonOf(options),
      environments: options.environment,
    },
    body: { mediaType: 'application/yaml', text: toCatalogYaml(comparison.local) },
  });
}

/** The environments that do not stand yet where the server's catalog does, though the files and it say the same. */
async function environmentsBehind(
  connection: Connection,
  comparison: Comparison,
  options: ApplyOptions,
): Promise<readonly string[]> {
  const { environments } = await publish(connection, comparison, options, true);
  return environments.filter(({ changed }) => changed).map(({ key }) => key);
}

function reasonOf(options: ApplyOptions): string {
  return options.reason ?? 'pennon apply';
}

function json(value: unknown): { readonly mediaType: string; readonly text: string } {
  return { mediaType: 'application/json', text: JSON.stringify(value) };
}

async function ask(product: string): Promise<void> {
  if (process.stdin.isTTY !== true) {
    throw new CommandFailure('usage', 'nobody is there to ask: pass --yes to publish without a question');
  }
  const answer = await confirm({ message: `Publish this to \`${product}\`?`, initialValue: false });
  if (isCancel(answer) || !answer) throw new CommandFailure('declined', 'nothing was changed');
}
