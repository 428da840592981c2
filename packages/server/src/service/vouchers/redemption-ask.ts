import type { Credential } from '../credential.js';
import type { EnvironmentRecord, ProductRecord } from '../ports.js';
import type { Guesser } from './guess-throttle.js';

/** One try of a code, by whom and for whom. */
export interface RedemptionAsk {
  readonly environment: EnvironmentRecord;
  /** `null`: of whichever product the code is. */
  readonly product: ProductRecord | null;
  /** In its normal form. */
  readonly code: string;
  readonly customerKey: string;
  readonly userKey: string | null;
  /** A key or an id. */
  readonly instanceRef: string | null;
  /** The user was named by a token, and not by whoever sends it. */
  readonly userProven: boolean;
  readonly guesser: Guesser;
}

/** Who is named by whom: a backend names them all, a token names its own. */
export interface RedeemParties {
  readonly customerKey: string;
  readonly userKey: string | null;
  readonly instanceRef: string | null;
}

export function guesserOf(
  credential: Credential,
  environmentId: string,
  parties: RedeemParties,
  remoteAddress: string,
): Guesser {
  const isToken = credential.kind === 'customer-token';
  return {
    environmentId,
    customerKey: parties.customerKey,
    userKey: parties.userKey,
    credentialId: isToken ? credential.tokenKeyId : credential.keyId,
    remoteAddress: isToken ? remoteAddress : null,
  };
}
