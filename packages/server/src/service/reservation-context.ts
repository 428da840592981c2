import type { Subject } from '@pennon/engine/model/context';
import type { JsonObject } from '@pennon/engine/model/json';

/**
 * Whom a reservation was made for, so that it can be settled without saying so again: besides the customer only what decides over a
 * metered feature, the user or instance whose account it is, and the SKU of a customer without a license.
 */
export function reservationContext({ userKey, instance, sku }: Subject, scope: string): JsonObject {
  return {
    ...(scope !== '' && scope === userKey ? { user: { key: userKey } } : {}),
    ...(scope !== '' && scope === instance?.key ? { instance: { key: instance.key } } : {}),
    ...(sku === null ? {} : { plan: { key: sku } }),
  };
}
