import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Credential } from '../service/credential.js';
import type { Authenticator, Directory } from '../service/ports.js';
import { environmentInReach, productInReach } from '../service/scope.js';
import { ServiceError } from '../service/service-error.js';
import { hasIdempotencyKey } from './remember-answers.js';
import { announcesBody, guardRequest, mediaTypeOf } from './request-guard.js';
import type { RouteRule } from './route-rule.js';

/** Replaced as a whole once the key ring is loaded; routes are registered before. */
export interface AccessDependencies {
  readonly authenticator: Authenticator;
  readonly directory: Directory;
}

type Hook = (request: FastifyRequest, reply: FastifyReply, done: (error?: Error) => void) => void;

/**
 * The one gate before every handler: what is ambiguous is refused, then who calls, then whether that kind of credential may,
 * then whether it reaches what the path names, and only then is a body looked at.
 */
export function createGate(dependencies: AccessDependencies, rule: RouteRule): Hook {
  return (request, _reply, done) => {
    try {
      guardRequest(request.raw);
      if (rule.access !== 'public') {
        admit(dependencies, rule, rule.access, request);
      }
      if (announcesBody(request.raw)) {
        mediaTypeOf(request.raw, rule.body);
      }
    } catch (error) {
      done(error instanceof Error ? error : new Error(String(error)));
      return;
    }
    done();
  };
}

function admit(
  dependencies: AccessDependencies,
  rule: RouteRule,
  access: readonly Credential['kind'][],
  request: FastifyRequest,
): void {
  const credential = dependencies.authenticator.authenticate(request.headers);
  if (credential.kind === 'refused') {
    throw new ServiceError('unauthenticated', credential.code, credential.message);
  }
  if (!access.includes(credential.kind)) {
    throw new ServiceError(
      'forbidden',
      'CREDENTIAL_KIND_REFUSED',
      `This call takes ${access.map((kind) => `\`${kind}\``).join(' or ')} credentials; the one presented is \`${credential.kind}\`.`,
    );
  }
  const params = request.params as Readonly<Record<string, string | undefined>>;
  const beyond = refusalOf(() => requireWholeReach(credential, rule));
  request.refusedReach = refusalOf(() => {
    if (rule.namesEnvironment) {
      environmentInReach(dependencies.directory, credential, params.environment ?? '');
    }
    if (rule.namesProduct) {
      productInReach(dependencies.directory, credential, params.product ?? '');
    }
  });
  // What a call removed is not there for its repeat: whether it is one is known when its body is (`remember-answers.ts`).
  const mayRepeat = rule.changes && beyond === null && hasIdempotencyKey(request);
  if (request.refusedReach !== null && !mayRepeat) {
    throw request.refusedReach;
  }
  if (beyond !== null) {
    throw beyond;
  }
  request.credential = credential;
}

function refusalOf(check: () => void): ServiceError | null {
  try {
    check();
    return null;
  } catch (error) {
    if (error instanceof ServiceError) return error;
    throw error;
  }
}

/** A change that every environment or every product sees is not for a key that is bound to one. */
function requireWholeReach(credential: Credential, rule: RouteRule): void {
  if (rule.changesBeyondEnvironment && credential.environmentId !== null) {
    throw new ServiceError(
      'forbidden',
      'KEY_BOUND_TO_ENVIRONMENT',
      'This changes more than one environment, and the key is bound to one. Use an admin key for all environments.',
    );
  }
  const beyondProduct = rule.changesBeyondProduct || (rule.changesBeyondEnvironment && !rule.namesProduct);
  if (beyondProduct && credential.productId !== null) {
    throw new ServiceError(
      'forbidden',
      'KEY_BOUND_TO_PRODUCT',
      'This changes what every product lives in, and the key is bound to one product. Use an admin key for all products.',
    );
  }
}
