import { createPrivateKey, sign } from 'node:crypto';

export interface TokenClaims {
  readonly kid: string;
  readonly customer: string;
  readonly environment: string;
  readonly product?: string;
  readonly user?: string;
  readonly instance?: string;
  readonly expiresInSeconds?: number;
  /** Written over the claims and over the header, for tokens that must be refused. */
  readonly claims?: Readonly<Record<string, unknown>>;
  readonly header?: Readonly<Record<string, unknown>>;
}

/** Signs a customer token as a backend would. */
export function signCustomerToken(privatePem: string, token: TokenClaims): string {
  const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const now = Math.floor(Date.now() / 1000);
  const header = encode({ alg: 'EdDSA', typ: 'JWT', kid: token.kid, ...token.header });
  const claims = encode({
    aud: 'pennon',
    sub: token.customer,
    env: token.environment,
    ...(token.product === undefined ? {} : { product: token.product }),
    ...(token.user === undefined ? {} : { user: token.user }),
    ...(token.instance === undefined ? {} : { instance: token.instance }),
    iat: now,
    exp: now + (token.expiresInSeconds ?? 600),
    ...token.claims,
  });
  const signature = sign(null, Buffer.from(`${header}.${claims}`), createPrivateKey(privatePem));
  return `${header}.${claims}.${signature.toString('base64url')}`;
}
