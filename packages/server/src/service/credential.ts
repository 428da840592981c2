import type { ChangeCall } from './answer.js';

/**
 * Who is calling, after authentication. Every use-case takes a credential (or what was proven by it) and never a bare
 * environment id, so that a forgotten check cannot compile (law 11).
 */
export type Credential = KeyCredential | CustomerTokenCredential;

export interface KeyCredential {
  readonly kind: 'admin' | 'server' | 'client';
  readonly keyId: string;
  /** `null`: all environments; admin keys only. */
  readonly environmentId: string | null;
  /** `null`: all products. */
  readonly productId: string | null;
}

/** A client key together with a token that the customer's backend signed; its customer and user replace the context's. */
export interface CustomerTokenCredential {
  readonly kind: 'customer-token';
  readonly tokenKeyId: string;
  readonly environmentId: string;
  readonly productId: string | null;
  readonly customerKey: string;
  readonly userKey: string | null;
  readonly instanceKey: string | null;
  /** Seconds since the epoch. */
  readonly expiresAtSeconds: number;
}

/** Who did something, as audit entries name it. */
export interface Actor {
  readonly kind: 'admin-key' | 'server-key' | 'client-key' | 'customer-token' | 'billing' | 'system';
  readonly id: string;
  readonly onBehalfOf: string | null;
}

/** What every mutating use-case is told besides its input: who, on which request, and why (C-7). */
export interface ChangeContext {
  readonly actor: Actor;
  readonly requestId: string;
  readonly reason: string;
  /** The call that is answered, so that its answer is remembered with the change. */
  readonly call?: ChangeCall;
}

/** For an operation that changes in several transactions: its answer is remembered once all of them are through. */
export function withoutCall({ actor, requestId, reason }: ChangeContext): ChangeContext {
  return { actor, requestId, reason };
}
