import { segmentsMet } from '@pennon/engine/entitlement/segments-met';
import type { Credential } from '../credential.js';
import { prepareEvaluation } from '../evaluation-request.js';
import type { EnvironmentRecord } from '../ports.js';
import type { GrantServices } from './make-grants.js';

export interface MetSegment {
  readonly productId: string;
  readonly segment: string;
}

/** The segments of every product in reach whose condition a customer meets by what the server knows of it. */
export async function metSegments(
  services: GrantServices,
  credential: Credential,
  environment: EnvironmentRecord,
  customerKey: string,
): Promise<readonly MetSegment[]> {
  const met: MetSegment[] = [];
  for (const productId of await productsWithSharedGrants(services, environment)) {
    if (credential.productId !== null && credential.productId !== productId) continue;
    const { request } = await prepareEvaluation(services, credential, {
      context: { customer: customerKey },
      product: productId,
      environment: environment.id,
      consistency: undefined,
    });
    if (request === null) continue;
    met.push(...segmentsMet(request).map((segment) => ({ productId, segment })));
  }
  return met;
}

async function productsWithSharedGrants(
  { database }: GrantServices,
  environment: EnvironmentRecord,
): Promise<readonly string[]> {
  const rows = await database
    .selectFrom('access_grant')
    .select('product_id')
    .distinct()
    .where('environment_id', '=', environment.id)
    .where('target_kind', '=', 'segment')
    .execute();
  return rows.map((row) => row.product_id);
}
