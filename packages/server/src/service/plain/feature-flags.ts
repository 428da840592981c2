import { featureFlagsOf } from '@pennon/engine/plain/feature-flags';
import type { ApiFeatureFlags } from '@pennon/protocol/management/plain';
import type { Credential } from '../credential.js';
import { entitlementFault } from '../evaluate-entitlement.js';
import {
  type EvaluationDependencies,
  type EvaluationStamp,
  prepareEvaluation,
} from '../evaluation-request.js';
import { seesOnlyClientVisible } from '../flag-visibility.js';
import { type PlainHeaders, type PlainQuery, plainInput, productMissing } from './plain-input.js';

export interface FeatureFlagsAnswer {
  readonly body: ApiFeatureFlags;
  readonly stamp: EvaluationStamp;
}

/** Plain booleans of one customer and product (F-2, F-3). The product is always named in the query. */
export async function readFeatureFlags(
  dependencies: EvaluationDependencies,
  credential: Credential,
  query: PlainQuery,
  headers: PlainHeaders,
): Promise<FeatureFlagsAnswer> {
  if (query.product_id === undefined || query.product_id === '') {
    throw productMissing();
  }
  const input = plainInput(dependencies.directory, credential, query, headers);
  const { productId, request, stamp } = await prepareEvaluation(dependencies, credential, input);
  if (request === null) {
    const data = {
      product_id: productId,
      featureFlags: {},
      featureFlagSource: 'none',
      featureFlagGroup: null,
    } as const;
    return { body: { data }, stamp };
  }
  const found = featureFlagsOf(request, { clientVisibleOnly: seesOnlyClientVisible(credential) });
  if (found.kind === 'unavailable') {
    throw entitlementFault('CUSTOMER_STATE_UNAVAILABLE', found.message);
  }
  const data = {
    product_id: productId,
    featureFlags: Object.fromEntries(found.flags),
    featureFlagSource: found.source,
    featureFlagGroup: found.group,
  };
  return { body: { data }, stamp };
}
