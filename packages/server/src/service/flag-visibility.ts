import type { FlagError } from '@pennon/engine/model/decision';
import type { Snapshot } from '@pennon/engine/snapshot/snapshot';
import type { Credential } from './credential.js';
import type { EvaluationStamp } from './evaluation-request.js';

/** Browsers and phones see only what says `clientVisible: true`, with a customer token as without. */
export function seesOnlyClientVisible(credential: Credential): boolean {
  return credential.kind === 'client' || credential.kind === 'customer-token';
}

/** INVARIANT: what a credential may not see is answered like what does not exist, byte for byte. */
export function isVisibleKey(snapshot: Snapshot | null, credential: Credential, key: string): boolean {
  const item = snapshot?.flags.get(key) ?? snapshot?.features.get(key);
  return item !== undefined && (item.clientVisible || !seesOnlyClientVisible(credential));
}

export function flagNotFound(key: string, credential: Credential, stamp: EvaluationStamp): FlagError {
  return {
    kind: 'error',
    key,
    errorCode: 'FLAG_NOT_FOUND',
    message: `The flag \`${key.slice(0, 128)}\` does not exist, or this key may not see it.`,
    revision: stamp.revision,
    customerVersion: stamp.customerVersion,
    validUntil: null,
    customerNotProven: credential.kind === 'client',
  };
}
