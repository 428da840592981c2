import type { CustomerRegistration } from './consume-input.js';
import { createCustomer } from './contracts/customers.js';
import type { ContractServices } from './contracts/data-change.js';
import type { CustomerStates } from './ports.js';
import { ServiceError } from './service-error.js';
import { isStorableKey } from './storable-key.js';

const KNOWN_WITHIN_MILLISECONDS = 500;

/**
 * Registers a customer that consumed before anybody created it: the product's default plan holds for it. Two calls at once
 * register it once.
 */
export function createCustomerRegistration(
  services: ContractServices,
  customers: CustomerStates,
): (who: CustomerRegistration) => Promise<void> {
  return async ({ credential, requestId, environmentId, customerKey }) => {
    if (!isStorableKey(customerKey)) {
      throw new ServiceError(
        'invalid',
        'INVALID_CONTEXT',
        `\`${customerKey.slice(0, 128)}\` cannot be the key of a customer: 1 to 128 characters, none of them a control character.`,
      );
    }
    const actor = {
      kind: 'server-key',
      id: credential.kind === 'customer-token' ? credential.tokenKeyId : credential.keyId,
      onBehalfOf: null,
    } as const;
    const reason = 'Registered by its first consumption.';
    try {
      await createCustomer(
        services,
        credential,
        { actor, requestId, reason },
        { environment: environmentId },
        { key: customerKey, reason },
      );
    } catch (error) {
      if (!(error instanceof ServiceError) || error.code !== 'CUSTOMER_EXISTS') {
        throw error;
      }
    }
    await customers.atLeast(environmentId, customerKey, 1, KNOWN_WITHIN_MILLISECONDS);
  };
}
