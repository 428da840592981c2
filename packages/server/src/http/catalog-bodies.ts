import type { CatalogFile } from '@pennon/engine/catalog/parse-catalog';
import type { PublishResultBody } from '@pennon/protocol/management/catalog';
import type { FastifyRequest } from 'fastify';
import type { LoadedDirectory } from '../service/directory.js';
import type { PublishDependencies, PublishResult } from '../service/publish.js';
import { ServiceError } from '../service/service-error.js';
import type { DocumentBody } from './app.js';
import { compileValidator } from './validate.js';

/** What the catalog routes need. */
export type CatalogServices = Omit<PublishDependencies, 'directory'> & {
  readonly directory: LoadedDirectory;
};

/** The text that was sent, named by what it is: the name decides how it is read and stands in the faults. */
export function documentOf(request: Pick<FastifyRequest, 'body'>): CatalogFile {
  const body = request.body as DocumentBody | undefined | null;
  if (body === undefined || body === null) {
    throw new ServiceError('invalid', 'BODY_MISSING', 'This call needs a catalog document as its body.');
  }
  return { name: body.mediaType === 'application/json' ? 'catalog.json' : 'catalog.yaml', text: body.text };
}

export function toPublishBody(result: PublishResult): PublishResultBody {
  return {
    dryRun: result.dryRun,
    revision: result.revision,
    changed: result.changed.map(({ kind, key, change, hash }) => ({ kind, key, change, hash })),
    diff: [...result.diff],
    lacking: result.lacking.map(({ kind, key }) => ({ kind, key })),
    warnings: result.warnings.map((warning) => ({ ...warning })),
    environments: result.environments.map(({ key, revision, changed }) => ({ key, revision, changed })),
  };
}

/** Only the catalog's own parser reads these bodies: it finds every fault with its place. Everything else is checked as ever. */
export const documentValidator: typeof compileValidator = (part) =>
  part.httpPart === 'body' ? () => true : compileValidator(part);
