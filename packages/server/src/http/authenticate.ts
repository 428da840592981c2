import type { FastifyRequest } from 'fastify';
import type { Actor, ChangeContext, Credential } from '../service/credential.js';
import { ServiceError } from '../service/service-error.js';

/** The credential of a route that is not public; the router has refused whoever has none. */
export function credentialOf(request: FastifyRequest): Credential {
  if (request.credential === null) {
    throw new ServiceError('unauthenticated', 'UNAUTHENTICATED', 'No valid credential was presented.');
  }
  return request.credential;
}

/** Who did it, as audit entries name them. */
export function actorOf(credential: Credential): Actor {
  switch (credential.kind) {
    case 'admin':
      return { kind: 'admin-key', id: credential.keyId, onBehalfOf: null };
    case 'server':
      return { kind: 'server-key', id: credential.keyId, onBehalfOf: null };
    case 'client':
      return { kind: 'client-key', id: credential.keyId, onBehalfOf: null };
    case 'customer-token':
      return {
        kind: 'customer-token',
        id: credential.tokenKeyId,
        onBehalfOf: credential.userKey ?? credential.customerKey,
      };
  }
}

/** What every mutating use-case is told besides its input. */
export function changeContextOf(request: FastifyRequest, reason: string): ChangeContext {
  const context = { actor: actorOf(credentialOf(request)), requestId: request.id, reason };
  return request.call === null ? context : { ...context, call: request.call };
}
