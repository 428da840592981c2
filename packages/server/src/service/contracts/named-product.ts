import type { Credential } from '../credential.js';
import type { Directory, ProductRecord } from '../ports.js';
import { productInReach } from '../scope.js';
import { refuse } from './refusals.js';

/** The product that a body names; else the credential's; else the default one. */
export function productNamed(
  directory: Directory,
  credential: Credential,
  named: string | undefined,
): ProductRecord {
  const ref = named ?? credential.productId ?? directory.defaultProduct()?.key;
  if (ref === undefined) {
    throw refuse(
      'invalid',
      'PRODUCT_MISSING',
      'There are several products and none is the default: name the `product`.',
      '/product',
    );
  }
  return productInReach(directory, credential, ref);
}
