import { hash } from 'node:crypto';
import type { Credential } from './credential.js';

/*
 * `"<revision>.<customer version>.<hash>"`: the body decides, hashed together with the reach of the credential; the two
 * numbers only order tags for the barrier of a re-fetch.
 */

export interface EvaluationTagParts {
  readonly revision: number;
  readonly customerVersion: number;
}

export function evaluationEtag(parts: EvaluationTagParts, credential: Credential, body: string): string {
  const digest = hash('sha256', `${scopeText(credential)}\0${body}`, 'hex');
  return `"${parts.revision}.${parts.customerVersion}.${digest.slice(0, 32)}"`;
}

const scopeTexts = new WeakMap<Credential, string>();

function scopeText(credential: Credential): string {
  let text = scopeTexts.get(credential);
  if (text === undefined) {
    text = toScopeText(credential);
    scopeTexts.set(credential, text);
  }
  return text;
}

/** Keys of one reach share their answers; a rotated key keeps its tags. */
function toScopeText(credential: Credential): string {
  const { kind, environmentId, productId } = credential;
  const customer = credential.kind === 'customer-token' ? [credential.customerKey, credential.userKey] : [];
  return JSON.stringify([kind, environmentId, productId, ...customer]);
}

const TAG = /^(?:W\/)?"?(\d{1,16})\.(\d{1,16})\.([0-9a-f]{32})"?$/;

/** `null`: not a tag of ours. Quotes and `W/` may be missing or added; clients echo what they were given, mostly. */
export function parseEvaluationEtag(text: string): (EvaluationTagParts & { readonly hash: string }) | null {
  const found = TAG.exec(text.trim());
  if (found === null) {
    return null;
  }
  const [, revision, customerVersion, hash] = found;
  return { revision: Number(revision), customerVersion: Number(customerVersion), hash: hash ?? '' };
}

/**
 * Whether the caller has this very body already. Compared is the hash: a publish that changed nothing of the answer gives the
 * caller nothing new to read. Weak, lists, `*` and unquoted tags are accepted.
 */
export function hasSameBody(ifNoneMatch: string, etag: string): boolean {
  const own = parseEvaluationEtag(etag);
  return ifNoneMatch.split(',').some((part) => {
    if (part.trim() === '*') {
      return true;
    }
    const sent = parseEvaluationEtag(part);
    return sent !== null && own !== null && sent.hash === own.hash;
  });
}
