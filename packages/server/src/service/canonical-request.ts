import { hash } from 'node:crypto';

/**
 * The canonical text of a JSON value: members sorted by name, no spaces. Two bodies that differ only in the order of members
 * or in white space are the same request.
 */
export function canonicalText(value: unknown): string {
  if (typeof value === 'string') {
    return stringText(value);
  }
  if (typeof value !== 'object' || value === null) {
    return JSON.stringify(value) ?? 'null';
  }
  if (Array.isArray(value)) {
    return `[${value.map(canonicalText).join(',')}]`;
  }
  const members = value as Readonly<Record<string, unknown>>;
  let text = '';
  for (const name of sortedNames(members)) {
    if (members[name] !== undefined) {
      text += `${text === '' ? '' : ','}${stringText(name)}:${canonicalText(members[name])}`;
    }
  }
  return `{${text}}`;
}

export interface CanonicalCall {
  readonly text: string;
  /** Of the member `context`; empty where there is none. */
  readonly contextText: string;
}

/** The canonical text of a whole body, and on the way that of its context. */
export function canonicalCall(body: unknown): CanonicalCall {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    return { text: canonicalText(body), contextText: '' };
  }
  const members = body as Readonly<Record<string, unknown>>;
  let text = '';
  let contextText = '';
  for (const name of sortedNames(members)) {
    const value = members[name];
    if (value !== undefined) {
      const canonical = canonicalText(value);
      if (name === 'context') {
        contextText = canonical;
      }
      text += `${text === '' ? '' : ','}${stringText(name)}:${canonical}`;
    }
  }
  return { text: `{${text}}`, contextText };
}

/** The callers of a hot quota ask for the same thing, one after the other. */
let hashed = { text: '', hash: '' };

/** What two calls with one idempotency key are compared by: hex of SHA-256. */
export function requestHash(operation: string, productId: string, canonicalBody: string): string {
  const text = `${operation}\u0000${productId}\u0000${canonicalBody}`;
  if (text !== hashed.text) {
    hashed = { text, hash: hash('sha256', text, 'hex') };
  }
  return hashed.hash;
}

/** Most objects are written with few members, in order already. */
function sortedNames(members: Readonly<Record<string, unknown>>): readonly string[] {
  const names = Object.keys(members);
  for (let index = 1; index < names.length; index += 1) {
    if ((names[index - 1] ?? '') > (names[index] ?? '')) {
      return names.sort();
    }
  }
  return names;
}

/** What JSON would write differently from how it reads. */
const NEEDS_ESCAPE = /["\\\p{Cc}\p{Cs}]/u;

function stringText(value: string): string {
  return NEEDS_ESCAPE.test(value) ? JSON.stringify(value) : `"${value}"`;
}
