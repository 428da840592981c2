import type { Transaction } from 'kysely';
import { revisionExists } from '../../store/catalog-reads.js';
import {
  readEnvironmentRevisions,
  readHeadRevision,
  moveEnvironment as writeMove,
} from '../../store/catalog-rows.js';
import { fromInstant } from '../../store/instant.js';
import type { Tables } from '../../store/tables.js';
import { type Answer, commitAnswered } from '../answer.js';
import { encodeConsistency } from '../consistency.js';
import type { ChangeContext, Credential } from '../credential.js';
import type { ChangeNotice, Directory } from '../ports.js';
import { checkPrecondition, type Precondition } from '../precondition.js';
import type { PublishDependencies } from '../publish.js';
import { scopeOf } from '../scope.js';
import { ServiceError } from '../service-error.js';
import { type EnvironmentStanding, noRevision } from './read-catalog.js';

export interface MoveInput {
  readonly product: string;
  readonly environment: string;
  readonly revision: number;
  readonly precondition: Precondition;
  /** What the call answers, where it came by one. */
  readonly answerOf?: (moved: MovedEnvironment) => Answer;
}

export interface MovedEnvironment {
  readonly standing: EnvironmentStanding;
  readonly consistency: string;
}

/**
 * Moves one environment forward to a published revision: how a protected one follows the others. Never backwards, because a
 * process never serves an older revision after a newer one; an older catalog comes back as a new revision.
 */
export async function moveEnvironment(
  dependencies: Omit<PublishDependencies, 'directory'> & { readonly directory: Directory },
  credential: Credential,
  context: ChangeContext,
  input: MoveInput,
): Promise<MovedEnvironment> {
  const { database, directory } = dependencies;
  const { product, environment } = scopeOf(directory, credential, {
    product: input.product,
    environment: input.environment,
  });
  if (!(await revisionExists(database, product.id, input.revision))) {
    throw noRevision(input.revision, await readHeadRevision(database, product.id));
  }
  const effectiveHash = await dependencies.workshop.effectiveHash({
    productId: product.id,
    environment: environment.key,
    revision: input.revision,
  });
  const publishedAt = fromInstant(dependencies.clock.now());
  const to = { productId: product.id, environmentId: environment.id, revision: input.revision };
  const notice: ChangeNotice = { kind: 'revision', ...to };
  const moved = {
    standing: {
      environment: environment.key,
      revision: input.revision,
      effectiveHash,
      publishedAt: publishedAt.toISOString(),
    },
    consistency: encodeConsistency({ revisions: [to] }),
  };
  const work = async (transaction: Transaction<Tables>): Promise<void> => {
    const [row] = await readEnvironmentRevisions(transaction, {
      productId: product.id,
      environmentId: environment.id,
    });
    const current =
      row === undefined ? null : { tag: String(row.revision), item: { revision: row.revision } };
    checkPrecondition(input.precondition, current, `The environment \`${environment.key}\``);
    if (row !== undefined && row.revision >= input.revision) throw olderRevision(input, row.revision);
    if (!(await writeMove(transaction, { ...to, effectiveHash, publishedAt }))) {
      throw olderRevision(input, row?.revision ?? input.revision);
    }
    await dependencies.audit.recordChange(transaction, context, {
      action: 'catalog.move-environment',
      environmentId: environment.id,
      productId: product.id,
      objectKind: 'environment-revision',
      objectId: `${product.id}/${environment.id}`,
      objectVersion: input.revision,
      after: { environment: environment.key, revision: input.revision, effectiveHash },
    });
    await dependencies.feed.write(transaction, notice);
  };
  await commitAnswered(database, context.call, work, () => input.answerOf?.(moved) ?? null);
  await dependencies.feed.publishLocally(notice);
  return moved;
}

function olderRevision(input: MoveInput, standing: number): ServiceError {
  return new ServiceError(
    'conflict',
    'OLDER_REVISION',
    `\`${input.environment}\` stands at revision \`${standing}\`, and an older or equal one never replaces it. To go back, publish the catalog of revision \`${input.revision}\` again: GET it with \`?revision=${input.revision}\` and PUT it with \`prune=true\`.`,
  );
}
