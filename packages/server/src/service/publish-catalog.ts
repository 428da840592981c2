import type { CatalogFile } from '@pennon/engine/catalog/parse-catalog';
import type { Answer } from './answer.js';
import { bringEnvironmentsToHead } from './catalog/bring-environments-to-head.js';
import { type ChangeContext, type Credential, withoutCall } from './credential.js';
import type { Directory, ProductRecord } from './ports.js';
import { type PublishDependencies, type PublishResult, publish } from './publish.js';
import type { DocumentEdit } from './publish-plan.js';
import { productInReach } from './scope.js';
import type { FaultItem } from './service-error.js';

export type CatalogDependencies = PublishDependencies & { readonly directory: Directory };

export interface DocumentInput {
  readonly product: string;
  readonly document: CatalogFile;
  readonly base?: number;
  readonly prune?: boolean;
  readonly dryRun?: boolean;
  /** Keys of environments, with commas. */
  readonly environments?: string;
  readonly answerOf?: (result: PublishResult) => Answer;
}

/**
 * Publishes a whole document: merged by item with what others did since `base`, nothing deleted without `prune`. A document
 * that changes nothing still brings the environments that it is for to what it says.
 */
export async function publishCatalog(
  dependencies: CatalogDependencies,
  credential: Credential,
  context: ChangeContext,
  input: DocumentInput,
): Promise<PublishResult> {
  const product = productInReach(dependencies.directory, credential, input.product);
  const result = await publish(dependencies, context, {
    product,
    edit: editOf(input),
    environments: environmentsOf(input.environments),
    dryRun: input.dryRun ?? false,
    ...(input.answerOf === undefined ? {} : { answerOf: input.answerOf }),
  });
  return result.changed.length > 0
    ? result
    : bringEnvironmentsToHead(dependencies, credential, withoutCall(context), product, result);
}

/** What publishing would change; a document with faults is refused as publishing would refuse it. */
export function diffCatalog(
  dependencies: CatalogDependencies,
  credential: Credential,
  context: ChangeContext,
  input: DocumentInput,
): Promise<PublishResult> {
  return publishCatalog(dependencies, credential, context, { ...input, dryRun: true });
}

export interface ValidationResult {
  readonly valid: boolean;
  readonly errors: FaultItem[];
  readonly warnings: FaultItem[];
}

/** Every fault of a document, as an answer. */
export async function validateCatalog(
  dependencies: CatalogDependencies,
  credential: Credential,
  input: DocumentInput,
): Promise<ValidationResult> {
  const product: ProductRecord = productInReach(dependencies.directory, credential, input.product);
  const environments = dependencies.directory.environments();
  const plan = await dependencies.workshop.plan({
    product: { id: product.id, key: product.key },
    edit: editOf(input),
    move: environments.map(({ id, key }) => ({ id, key })),
    environments: environments.map(({ key }) => key),
    now: dependencies.clock.now(),
  });
  const conflicts = plan.conflicts.map(({ kind, key }) => ({
    code: 'CHANGED_MEANWHILE',
    message: `The ${kind} \`${key}\` was changed by others since revision \`${input.base ?? 0}\`.`,
  }));
  return {
    valid: plan.refusal === null,
    errors: [...plan.errors, ...conflicts],
    warnings: [...plan.warnings],
  };
}

function editOf(input: DocumentInput): DocumentEdit {
  return {
    type: 'document',
    files: [input.document],
    base: input.base ?? null,
    prune: input.prune ?? false,
  };
}

/** `null`: all that are not protected. */
export function environmentsOf(list: string | undefined): readonly string[] | null {
  return list === undefined ? null : list.split(',').map((key) => key.trim());
}
