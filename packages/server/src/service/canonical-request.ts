import { hash } from 'node:crypto';

/**
 * The canonical text of a JSON value: members sorted by name, no spaces. Two bodies that differ only in the order of members
 * or in white space are the same request.
 */
export function canonicalText(value: unknown): string {
  if (typeof value !== 'object' || value === null) {
    return JSON.stringify(value) ?? 'null';
  }
  if (Array.isArray(value)) {
    return `[${value.map(canonicalText).join(',')}]`;
  }
  const members = value as Readonly<Record<string, unknown>>;
  let text = '';
  for (const name of Object.keys(members).sort()) {
    if (members[name] !== undefined) {
      text += `${text === '' ? '' : ','}${JSON.stringify(name)}:${canonicalText(members[name])}`;
    }
  }
  return `{${text}}`;
}

/** What two calls with one idempotency key are compared by: hex of SHA-256. */
export function requestHash(operation: string, productId: string, body: unknown): string {
  return hash('sha256', `${operation}\u0000${productId}\u0000${canonicalText(body)}`, 'hex');
}
