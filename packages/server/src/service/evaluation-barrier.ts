import type { Credential } from './credential.js';
import { parseEvaluationEtag } from './evaluation-etag.js';
import type { EvaluationDependencies, EvaluationInput } from './evaluation-request.js';
import { evaluationScopeOf } from './scope.js';
import { ServiceError } from './service-error.js';

/*
 * A re-fetch that a change notice triggered says what it was told. An answer from something older would be kept by the client
 * until the next change, so it waits for a while, and is told 503 rather than the past.
 */

/** As the query was parsed: a name that stands in it twice arrives as a list. */
export interface BarrierQuery {
  readonly flagConfigEtag?: string | readonly string[] | undefined;
  readonly flagConfigLastModified?: string | readonly string[] | undefined;
}

interface Barrier {
  readonly etag: string | undefined;
  readonly lastModified: string | undefined;
}

const WAIT_MILLISECONDS = 1500;
const LOOK_AGAIN_MILLISECONDS = 20;

/** `null`: there is nothing to wait for. */
export function awaitBarrier(
  dependencies: EvaluationDependencies,
  credential: Credential,
  input: EvaluationInput,
  query: BarrierQuery,
): Promise<void> | null {
  const etag = single(query.flagConfigEtag, 'flagConfigEtag');
  const lastModified = single(query.flagConfigLastModified, 'flagConfigLastModified');
  return etag === undefined && lastModified === undefined
    ? null
    : waitFor(dependencies, credential, input, { etag, lastModified });
}

function single(value: string | readonly string[] | undefined, name: string): string | undefined {
  if (value === undefined || typeof value === 'string') {
    return value;
  }
  throw new ServiceError('invalid', 'PARSE_ERROR', `\`${name}\` stands in the query twice. Send it once.`);
}

async function waitFor(
  dependencies: EvaluationDependencies,
  credential: Credential,
  input: EvaluationInput,
  { etag, lastModified }: Barrier,
): Promise<void> {
  const tag = etag === undefined ? null : parseEvaluationEtag(etag);
  if (tag !== null) {
    const { environment, product } = evaluationScopeOf(dependencies.directory, credential, input);
    // The customer version of another caller's tag means nothing here; the revision is everyone's.
    const loaded = dependencies.snapshots.current(product.id, environment.id)?.revision ?? 0;
    if (tag.revision > loaded) {
      await dependencies.snapshots.atLeast(product.id, environment.id, tag.revision, WAIT_MILLISECONDS);
    }
    if (credential.kind === 'customer-token') {
      const { customers } = dependencies;
      await customers.atLeast(environment.id, credential.customerKey, tag.customerVersion, WAIT_MILLISECONDS);
    }
  }
  if (lastModified !== undefined) {
    await waitForInstant(dependencies, instantOf(lastModified));
  }
}

/** Seconds since the epoch, or ISO 8601. Whole seconds are rounded down by who sends them. */
function instantOf(text: string): number {
  const instant = /^\d{1,12}$/.test(text) ? Number(text) * 1000 : Date.parse(text);
  if (!Number.isFinite(instant)) {
    throw new ServiceError(
      'invalid',
      'PARSE_ERROR',
      '`flagConfigLastModified` must be seconds since the epoch or an ISO 8601 date-time.',
    );
  }
  return instant;
}

async function waitForInstant(dependencies: EvaluationDependencies, instant: number): Promise<void> {
  const deadline = performance.now() + WAIT_MILLISECONDS;
  while (dependencies.knownUntil() < instant) {
    if (performance.now() > deadline) {
      throw new ServiceError(
        'unavailable',
        'STALE_CONFIGURATION',
        'This process has not seen the change yet that the request names. Ask again.',
        { retryAfterSeconds: 1 },
      );
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MILLISECONDS));
  }
}
