import { readEnvironmentRevisions } from '../../store/catalog-rows.js';
import { decodeConsistency, encodeConsistency, type RevisionPoint } from '../consistency.js';
import type { ChangeContext, Credential } from '../credential.js';
import type { Directory, ProductRecord } from '../ports.js';
import type { PublishDependencies, PublishResult } from '../publish.js';
import { environmentInReach } from '../scope.js';
import { moveEnvironment } from './move-environment.js';

/**
 * Publishing moves the environments that it is for. One that was left out before, or did not exist yet, stands behind a head
 * that already says what the document says; it is moved to that head, with an audit entry of its own. A dry run only tells.
 */
export async function bringEnvironmentsToHead(
  dependencies: PublishDependencies & { readonly directory: Directory },
  credential: Credential,
  context: ChangeContext,
  product: ProductRecord,
  result: PublishResult,
): Promise<PublishResult> {
  const { revision } = result;
  const rows = await readEnvironmentRevisions(dependencies.database, { productId: product.id });
  const environments: PublishResult['environments'][number][] = [];
  const moved: RevisionPoint[] = [];
  for (const standing of result.environments) {
    const { id, key } = environmentInReach(dependencies.directory, credential, standing.key);
    const row = rows.find(({ environmentId }) => environmentId === id);
    const hash =
      revision <= (row?.revision ?? 0)
        ? row?.effectiveHash
        : await dependencies.workshop.effectiveHash({ productId: product.id, environment: key, revision });
    const changed = hash !== row?.effectiveHash;
    if (changed && !result.dryRun) {
      const precondition = { kind: row === undefined ? 'none' : 'exists' } as const;
      const input = { product: product.id, environment: id, revision, precondition };
      await moveEnvironment(dependencies, credential, context, input);
      moved.push({ productId: product.id, environmentId: id, revision });
    }
    environments.push(
      changed ? { key, revision: result.dryRun ? standing.revision : revision, changed } : standing,
    );
  }
  const unmoved = decodeConsistency(result.consistency).revisions.filter(
    (point) => !moved.some(({ environmentId }) => environmentId === point.environmentId),
  );
  return { ...result, environments, consistency: encodeConsistency({ revisions: [...moved, ...unmoved] }) };
}
