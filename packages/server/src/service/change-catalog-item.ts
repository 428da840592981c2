import type { CatalogFile } from '@pennon/engine/catalog/parse-catalog';
import type { JsonValue } from '@pennon/engine/model/json';
import type { Answer } from './answer.js';
import { readItem } from './catalog/read-catalog.js';
import type { ChangeContext, Credential } from './credential.js';
import type { Precondition } from './precondition.js';
import { type ChangedItem, type PublishResult, publish } from './publish.js';
import { type CatalogDependencies, environmentsOf } from './publish-catalog.js';
import type { ItemEdit, ResourceKind } from './publish-plan.js';
import { productInReach } from './scope.js';

export interface ItemChangeInput {
  readonly product: string;
  readonly kind: ResourceKind;
  /** `null` with `create`: the body says it. */
  readonly key: string | null;
  readonly method: ItemEdit['method'];
  readonly file: CatalogFile;
  readonly precondition: Precondition;
  readonly dryRun?: boolean;
  readonly environments?: string;
  readonly answerOf?: (result: ItemChangeResult) => Answer;
}

export interface ItemChangeResult {
  readonly publish: PublishResult;
  /** The item afterwards; `null` when it was removed. */
  readonly item: { readonly key: string; readonly hash: string; readonly document: JsonValue } | null;
  readonly created: boolean;
}

/** Creates, replaces, patches or deletes one item: a publish of its own, checked with the whole catalog around it. */
export async function changeCatalogItem(
  dependencies: CatalogDependencies,
  credential: Credential,
  context: ChangeContext,
  input: ItemChangeInput,
): Promise<ItemChangeResult> {
  const { kind, key, method, file, precondition } = input;
  const result = await publish(dependencies, context, {
    product: productInReach(dependencies.directory, credential, input.product),
    edit: { type: 'item', kind, key, method, file, precondition },
    environments: environmentsOf(input.environments),
    dryRun: input.dryRun ?? false,
    answerOf: (published) => {
      const changed = changedResult(published, kind);
      return changed === null ? null : (input.answerOf?.(changed) ?? null);
    },
  });
  const changed = changedResult(result, kind);
  if (changed !== null) return changed;
  // What was sent is what is there already.
  if (key === null) return { publish: result, item: null, created: false };
  const live = await readItem(dependencies, credential, input.product, kind, key);
  return { publish: result, item: { key, ...live }, created: false };
}

function changedResult(publish: PublishResult, kind: ResourceKind): ItemChangeResult | null {
  const changed = publish.changed.find((one) => one.kind === kind);
  return changed === undefined
    ? null
    : { publish, item: itemOf(changed), created: changed.change === 'added' };
}

function itemOf(changed: ChangedItem): ItemChangeResult['item'] {
  const { key, hash, document } = changed;
  return hash === null || document === null ? null : { key, hash, document };
}
