import type { Subject } from '../model/context.js';
import type { CustomerState } from '../model/customer.js';
import type { JsonObject } from '../model/json.js';

/** The server fact `customer`: the key, and the attributes both flat and under `attributes`. */
export function customerFacts(
  subject: Subject,
  customer: CustomerState | 'unavailable' | null,
): JsonObject | undefined {
  if (!subject.proven || subject.customerKey === null) return undefined;
  if (customer === null || customer === 'unavailable') return { key: subject.customerKey };
  return { ...customer.attributes, key: customer.key, attributes: customer.attributes };
}

/** The server fact `instance`, whichever way the caller named it. */
export function instanceFacts(subject: Subject): JsonObject | undefined {
  const instance = subject.instance;
  if (!subject.proven || instance === null) return undefined;
  const facts = { key: instance.key, metadata: instance.metadata };
  return instance.id === null ? facts : { ...facts, id: instance.id };
}
