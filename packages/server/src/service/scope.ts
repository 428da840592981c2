import type { Credential } from './credential.js';
import type { Directory, EnvironmentRecord, ProductRecord } from './ports.js';
import { ServiceError } from './service-error.js';

/** What a call names; each by key or id. */
export interface NamedScope {
  readonly environment?: string;
  readonly product?: string;
}

/** The same members, found and within the credential's reach. */
export type ScopeOf<Named extends NamedScope> = {
  readonly [Member in keyof Named]: Member extends 'environment' ? EnvironmentRecord : ProductRecord;
};

/**
 * Finds what a call names and checks that the credential reaches it.
 * INVARIANT: what lies beyond the reach answers exactly like what does not exist (law 11).
 */
export function scopeOf<const Named extends NamedScope>(
  directory: Directory,
  credential: Credential,
  named: Named,
): ScopeOf<Named> {
  const found: { environment?: EnvironmentRecord; product?: ProductRecord } = {};
  if (named.environment !== undefined) {
    found.environment = environmentInReach(directory, credential, named.environment);
  }
  if (named.product !== undefined) {
    found.product = productInReach(directory, credential, named.product);
  }
  return found as ScopeOf<Named>;
}

export function environmentInReach(
  directory: Directory,
  credential: Credential,
  keyOrId: string,
): EnvironmentRecord {
  const environment = directory.environment(keyOrId);
  if (
    environment === null ||
    (credential.environmentId !== null && credential.environmentId !== environment.id)
  ) {
    throw environmentNotFound(keyOrId);
  }
  return environment;
}

export function productInReach(directory: Directory, credential: Credential, keyOrId: string): ProductRecord {
  const product = directory.product(keyOrId);
  if (product === null || (credential.productId !== null && credential.productId !== product.id)) {
    throw productNotFound(keyOrId);
  }
  return product;
}

export function environmentNotFound(keyOrId: string): ServiceError {
  return new ServiceError(
    'not-found',
    'ENVIRONMENT_NOT_FOUND',
    `The environment \`${keyOrId}\` does not exist. GET /api/v1/environments lists those that this key reaches.`,
  );
}

export function productNotFound(keyOrId: string): ServiceError {
  return new ServiceError(
    'not-found',
    'PRODUCT_NOT_FOUND',
    `The product \`${keyOrId}\` does not exist. GET /api/v1/products lists those that this key reaches.`,
  );
}

export interface EvaluationScope {
  readonly environment: EnvironmentRecord;
  readonly product: ProductRecord;
}

/**
 * What an evaluation or a consumption is about: the credential's environment, and its product; a credential for all products
 * takes the one named by the header `Pennon-Product`, else the default one. An admin key for all environments names the
 * environment by `Pennon-Environment`, else means `production`.
 */
export function evaluationScopeOf(
  directory: Directory,
  credential: Credential,
  named: { readonly product: string | undefined; readonly environment?: string | undefined },
): EvaluationScope {
  const environmentRef = named.environment ?? credential.environmentId ?? 'production';
  const environment = environmentInReach(directory, credential, environmentRef);
  const productRef = named.product ?? credential.productId;
  if (productRef !== null) {
    return { environment, product: productInReach(directory, credential, productRef) };
  }
  const product = directory.defaultProduct();
  if (product === null) {
    throw new ServiceError(
      'not-found',
      'PRODUCT_NOT_FOUND',
      'This key serves all products and there is no default one: name one with the header `Pennon-Product`.',
    );
  }
  return { environment, product };
}
