import type { ContractServices } from '../contracts/data-change.js';
import type { Credential } from '../credential.js';
import type { EnvironmentRecord } from '../ports.js';
import { environmentInReach } from '../scope.js';
import { ServiceError } from '../service-error.js';

/** INVARIANT (law 11): a connection may hold what is bought of every product, so that a key of one product does not reach it. */
export function reachedWhole(
  services: ContractServices,
  credential: Credential,
  name: string,
): EnvironmentRecord {
  const environment = environmentInReach(services.directory, credential, name);
  if (credential.productId === null) return environment;
  throw new ServiceError(
    'forbidden',
    'KEY_BOUND_TO_PRODUCT',
    'A connection concerns every product, and the key is bound to one. Use an admin key for all products.',
  );
}
