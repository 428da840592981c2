import type { ManagementDependencies } from '../change.js';
import type { Credential } from '../credential.js';
import { environmentInReach, productInReach } from '../scope.js';
import { ServiceError } from '../service-error.js';

export interface KeyReach {
  readonly environmentId: string | null;
  readonly productId: string | null;
}

/** What a new key shall reach. INVARIANT: a key never makes one that reaches further than itself. */
export function reachOfNewKey(
  dependencies: ManagementDependencies,
  credential: Credential,
  named: { readonly environment?: string; readonly product?: string },
): KeyReach {
  const environmentId =
    named.environment === undefined
      ? null
      : environmentInReach(dependencies.directory, credential, named.environment).id;
  const productId =
    named.product === undefined ? null : productInReach(dependencies.directory, credential, named.product).id;
  if (credential.environmentId !== null && environmentId === null) {
    throw beyondReach('environment');
  }
  if (credential.productId !== null && productId === null) {
    throw beyondReach('product');
  }
  return { environmentId, productId };
}

function beyondReach(word: string): ServiceError {
  return new ServiceError(
    'forbidden',
    'KEY_REACH_EXCEEDED',
    `The key presented is bound to one ${word}, so a key that it makes must name that ${word}.`,
  );
}

/** Whether a stored key lies within the reach of the caller; what does not answers as if it did not exist. */
export function isWithinReach(
  credential: Credential,
  row: { readonly environment_id: string | null; readonly product_id: string | null },
): boolean {
  return (
    (credential.environmentId === null || credential.environmentId === row.environment_id) &&
    (credential.productId === null || credential.productId === row.product_id)
  );
}
