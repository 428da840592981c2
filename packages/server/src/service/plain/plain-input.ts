import type { Credential } from '../credential.js';
import type { EvaluationInput } from '../evaluation-request.js';
import type { Directory, ProductRecord } from '../ports.js';
import { productInReach } from '../scope.js';
import { ServiceError } from '../service-error.js';

/** Whom a plain call names in its query; an empty text names nobody. */
export interface PlainQuery {
  readonly product_id?: string;
  readonly customer?: string;
  readonly user?: string;
  readonly instance?: string;
}

export interface PlainHeaders {
  readonly product: string | undefined;
  readonly environment: string | undefined;
  readonly consistency: string | undefined;
}

/**
 * Reads who is asked about, and of which product. Everything that is missing or contradicts the credential is 400 with a code of
 * its own: an application that forgot a parameter must never be answered about somebody else.
 */
export function plainInput(
  directory: Directory,
  credential: Credential,
  query: PlainQuery,
  headers: PlainHeaders,
): EvaluationInput {
  const customer = given(query.customer);
  const user = given(query.user);
  const instance = given(query.instance);
  if (credential.kind === 'customer-token') {
    refuseOthers('customer', customer, credential.customerKey);
    refuseOthers('user', user, credential.userKey);
    if (credential.instanceKey !== null) refuseOthers('instance', instance, credential.instanceKey);
  } else if (customer === undefined) {
    throw new ServiceError(
      'invalid',
      'CUSTOMER_MISSING',
      'A server key speaks for nobody: name the customer, `?customer=<key>`.',
    );
  }
  return {
    environment: headers.environment,
    consistency: headers.consistency,
    context: {
      ...(customer === undefined ? {} : { customer }),
      ...(user === undefined ? {} : { user }),
      ...(instance === undefined ? {} : { instance }),
    },
    product: plainProduct(directory, credential, given(query.product_id) ?? headers.product)?.id,
  };
}

function given(text: string | undefined): string | undefined {
  return text === '' ? undefined : text;
}

/** What a token proves is not chosen by a parameter beside it; the answer is the same whether the other one exists or not. */
function refuseOthers(part: 'customer' | 'user' | 'instance', sent: string | undefined, own: string | null) {
  if (sent !== undefined && sent !== own) {
    throw new ServiceError(
      'invalid',
      'TOKEN_CONTRADICTED',
      `The customer token speaks for its own ${part}, and \`${part}=\` names another. Leave the parameter out.`,
    );
  }
}

/** `undefined`: the key's own, or the default one. INVARIANT: beyond the reach of the key is the same as nowhere. */
export function plainProduct(
  directory: Directory,
  credential: Credential,
  named: string | undefined,
): ProductRecord | undefined {
  if (named === undefined) {
    if (credential.productId === null && directory.defaultProduct() === null) {
      throw productMissing();
    }
    return undefined;
  }
  try {
    return productInReach(directory, credential, named);
  } catch (error) {
    if (error instanceof ServiceError && error.kind === 'not-found') {
      const shown = named.slice(0, 128);
      throw new ServiceError(
        'invalid',
        'PRODUCT_NOT_FOUND',
        `The product \`${shown}\` does not exist, or this key does not reach it. Send its id or key as \`product_id\`.`,
      );
    }
    throw error;
  }
}

export function productMissing(): ServiceError {
  return new ServiceError(
    'invalid',
    'PRODUCT_MISSING',
    'No product is named. Send its id or key, `?product_id=<id or key>`.',
  );
}
