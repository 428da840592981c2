import { verify } from 'node:crypto';
import type { CustomerTokenCredential } from '../credential.js';
import type { Directory } from '../ports.js';
import { isStorableKey } from '../storable-key.js';
import type { KeyRing } from './key-ring.js';

/** Tokens live a day at most: a stolen one is worth little, and revoking the key pair ends them all at once. */
export const LONGEST_TOKEN_SECONDS = 24 * 3600;
const CLOCK_LEEWAY_SECONDS = 60;
const LONGEST_TOKEN_CHARACTERS = 4096;
const AUDIENCE = 'pennon';
const COMPACT = /^([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]{86})$/;

/** Why a token is not accepted, in words that help its author and reveal nothing about anybody's keys. */
export class TokenRefusal extends Error {}

/**
 * Verifies a customer token (JWT, RFC 7519, signed with Ed25519 by the customer's backend) and reads who it names.
 * Claims: `sub` the customer, `user`, `instance`, `aud` `pennon`, `env`, `product`, `exp` at most 24 h ahead; header `kid`.
 * Throws TokenRefusal. Synchronous: about 0.1 ms, and the caller remembers the result.
 */
export function verifyCustomerToken(
  token: string,
  ring: KeyRing,
  directory: Directory,
  nowMilliseconds: number,
): CustomerTokenCredential {
  const parts = token.length <= LONGEST_TOKEN_CHARACTERS ? COMPACT.exec(token) : null;
  const [, header, payload, signature] = parts ?? [];
  if (header === undefined || payload === undefined || signature === undefined) {
    throw new TokenRefusal('The customer token is not a compact JWT signed with Ed25519.');
  }
  const { alg, kid, crit } = decoded(header);
  // INVARIANT: the key decides the algorithm; `none` or another one named by the token is never tried.
  if ((alg !== 'EdDSA' && alg !== 'Ed25519') || crit !== undefined || typeof kid !== 'string') {
    throw new TokenRefusal(
      'The header of the customer token must have `alg: "EdDSA"` and the `kid` of a token key, no `crit`.',
    );
  }
  const key = ring.tokenKey(kid, nowMilliseconds);
  const signed = Buffer.from(`${header}.${payload}`, 'ascii');
  if (key === null || !verify(null, signed, key.publicKey, Buffer.from(signature, 'base64url'))) {
    throw new TokenRefusal('The customer token is not signed by a token key that is in force.');
  }
  return toCredential(decoded(payload), key, directory, Math.floor(nowMilliseconds / 1000));
}

function decoded(part: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString('utf8'));
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      return value as Readonly<Record<string, unknown>>;
    }
  } catch {
    // Told below in the same words as any other malformed part.
  }
  throw new TokenRefusal('The customer token is not a compact JWT: a part is not JSON in base64url.');
}

function toCredential(
  claims: Readonly<Record<string, unknown>>,
  key: { readonly id: string; readonly environmentId: string; readonly productId: string | null },
  directory: Directory,
  nowSeconds: number,
): CustomerTokenCredential {
  const audiences = Array.isArray(claims.aud) ? claims.aud : [claims.aud];
  if (!audiences.includes(AUDIENCE)) {
    throw new TokenRefusal(`The claim \`aud\` of the customer token must be \`${AUDIENCE}\`.`);
  }
  const environment = directory.environment(reference(claims, 'env'));
  if (environment === null || environment.id !== key.environmentId) {
    throw new TokenRefusal(
      'The claim `env` of the customer token must name the environment of its token key.',
    );
  }
  return {
    kind: 'customer-token',
    tokenKeyId: key.id,
    environmentId: key.environmentId,
    productId: productOf(claims, key, directory),
    customerKey: reference(claims, 'sub'),
    userKey: optionalReference(claims, 'user'),
    instanceKey: optionalReference(claims, 'instance'),
    expiresAtSeconds: expiryOf(claims, nowSeconds),
  };
}

function productOf(
  claims: Readonly<Record<string, unknown>>,
  key: { readonly productId: string | null },
  directory: Directory,
): string | null {
  const named = optionalReference(claims, 'product');
  if (named === null) {
    return key.productId;
  }
  const product = directory.product(named);
  if (product === null || (key.productId !== null && key.productId !== product.id)) {
    throw new TokenRefusal('The claim `product` of the customer token must name a product of its token key.');
  }
  return product.id;
}

function expiryOf(claims: Readonly<Record<string, unknown>>, nowSeconds: number): number {
  const { exp, iat, nbf } = claims;
  if (typeof exp !== 'number' || !Number.isFinite(exp)) {
    throw new TokenRefusal('The customer token needs the claim `exp`, in seconds since the epoch.');
  }
  if (exp <= nowSeconds) {
    throw new TokenRefusal('The customer token has expired. Have the backend sign a new one.');
  }
  if (exp > nowSeconds + LONGEST_TOKEN_SECONDS + CLOCK_LEEWAY_SECONDS) {
    throw new TokenRefusal('The claim `exp` of the customer token lies more than 24 hours ahead.');
  }
  for (const [name, value] of [
    ['iat', iat],
    ['nbf', nbf],
  ] as const) {
    if (value !== undefined && (typeof value !== 'number' || value > nowSeconds + CLOCK_LEEWAY_SECONDS)) {
      throw new TokenRefusal(`The claim \`${name}\` of the customer token lies in the future.`);
    }
  }
  return exp;
}

function reference(claims: Readonly<Record<string, unknown>>, name: string): string {
  const value = claims[name];
  if (typeof value !== 'string' || !isStorableKey(value)) {
    throw new TokenRefusal(
      `The claim \`${name}\` of the customer token must be a key: a text of 1 to 128 characters.`,
    );
  }
  return value;
}

function optionalReference(claims: Readonly<Record<string, unknown>>, name: string): string | null {
  return claims[name] === undefined || claims[name] === null ? null : reference(claims, name);
}
