import { hash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { Credential, CustomerTokenCredential } from '../credential.js';
import type { AuthenticationRefusal, Authenticator, Clock, Directory } from '../ports.js';
import { TokenRefusal, verifyCustomerToken } from './customer-token.js';
import type { KeyRing } from './key-ring.js';

export interface AuthenticatorDependencies {
  readonly ring: KeyRing;
  readonly directory: Directory;
  readonly clock: Clock;
}

const NONE = refusal(
  'UNAUTHENTICATED',
  'No credential was presented. Send a key as `Authorization: Bearer …` or `X-API-Key: …`.',
);
const UNKNOWN = refusal('CREDENTIAL_INVALID', 'The key is not known, or it has expired or been revoked.');
const TWO_KEYS = refusal('CREDENTIALS_CONFLICT', 'Two different keys were presented. Send one.');
const TOKEN_BESIDE_OTHER_KEY = refusal(
  'CREDENTIALS_CONFLICT',
  'A customer token goes alone or beside a client key. A server key names the customer in the context.',
);
const TOKEN_ELSEWHERE = refusal(
  'CREDENTIALS_CONFLICT',
  'The client key and the customer token belong to different environments or products.',
);

const REMEMBERED_TOKENS = 10_000;
/** Three parts, and no key of ours has a dot. */
const BEARER = /^bearer /i;
const LOOKS_LIKE_TOKEN = /^[^.]+\.[^.]+\.[^.]*$/;

type Headers = Readonly<Record<string, string | string[] | undefined>>;

/** Decides who calls, from the headers and memory alone. A bad token beside a good client key is refused, never ignored. */
export function createAuthenticator(dependencies: AuthenticatorDependencies): Authenticator {
  const { ring, clock } = dependencies;
  const verify = createTokenMemory(dependencies);
  return {
    authenticate(headers) {
      const now = clock.now();
      const bearer = bearerOf(headers);
      const apiKey = single(headers['x-api-key']);
      let token = single(headers['pennon-customer-token']);
      let key = apiKey ?? null;
      if (bearer !== null && LOOKS_LIKE_TOKEN.test(bearer)) {
        if (token !== null && token !== bearer) {
          return TWO_KEYS;
        }
        token = bearer;
      } else if (bearer !== null) {
        if (key !== null && key !== bearer) {
          return TWO_KEYS;
        }
        key = bearer;
      }
      return decide(key, token, now);
    },
  };

  function decide(key: string | null, token: string | null, now: number): Credential | AuthenticationRefusal {
    const credential = key === null ? null : ring.find(key, now);
    if (key !== null && credential === null) {
      return UNKNOWN;
    }
    if (token === null) {
      return credential ?? NONE;
    }
    if (credential !== null && credential.kind !== 'client') {
      return TOKEN_BESIDE_OTHER_KEY;
    }
    const proven = verify(token, now);
    if (proven.kind === 'refused' || credential === null) {
      return proven;
    }
    return narrowed(proven, credential.environmentId, credential.productId);
  }
}

/** The token together with the key beside it: the narrower product of both. */
function narrowed(
  token: CustomerTokenCredential,
  environmentId: string | null,
  productId: string | null,
): CustomerTokenCredential | AuthenticationRefusal {
  const sameEnvironment = environmentId === null || environmentId === token.environmentId;
  const sameProduct = productId === null || token.productId === null || productId === token.productId;
  if (!sameEnvironment || !sameProduct) {
    return TOKEN_ELSEWHERE;
  }
  return token.productId === null && productId !== null ? { ...token, productId } : token;
}

/** Verified tokens by their hash, forgotten whenever the keys change; what was refused is not remembered. */
function createTokenMemory(dependencies: AuthenticatorDependencies) {
  const { ring, directory } = dependencies;
  const remembered = new LRUCache<
    string,
    { readonly generation: number; readonly credential: CustomerTokenCredential }
  >({
    max: REMEMBERED_TOKENS,
  });
  return (token: string, now: number): CustomerTokenCredential | AuthenticationRefusal => {
    const digest = hash('sha256', token, 'hex');
    const known = remembered.get(digest);
    if (known !== undefined && known.generation === ring.generation && inForce(known.credential, ring, now)) {
      return known.credential;
    }
    try {
      const credential = verifyCustomerToken(token, ring, directory, now);
      remembered.set(digest, { generation: ring.generation, credential });
      return credential;
    } catch (error) {
      if (error instanceof TokenRefusal) {
        return refusal('CUSTOMER_TOKEN_INVALID', error.message);
      }
      throw error;
    }
  };
}

function inForce(credential: CustomerTokenCredential, ring: KeyRing, now: number): boolean {
  return credential.expiresAtSeconds > now / 1000 && ring.tokenKey(credential.tokenKeyId, now) !== null;
}

function bearerOf(headers: Headers): string | null {
  const header = single(headers.authorization);
  if (header === null || !BEARER.test(header)) {
    return null;
  }
  return header.slice(7).trim();
}

function single(header: string | string[] | undefined): string | null {
  return typeof header === 'string' && header !== '' ? header : null;
}

function refusal(code: string, message: string): AuthenticationRefusal {
  return Object.freeze({ kind: 'refused', code, message });
}
