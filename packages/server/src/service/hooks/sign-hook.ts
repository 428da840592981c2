import { createHmac, randomBytes } from 'node:crypto';

/*
 * Signatures after Standard Webhooks: HMAC-SHA256 over `id.timestamp.body`, with every secret that is in force, so that a listener may
 * change its secret at any moment of the overlap.
 */

const PREFIX = 'whsec_';
/** The specification asks for 24 to 64. */
const SECRET_BYTES = 32;

/** Bytes; how they read is `toSecretText`. */
export type HookSecret = Buffer;

export function newHookSecret(): HookSecret {
  return randomBytes(SECRET_BYTES);
}

export function toSecretText(secret: HookSecret): string {
  return `${PREFIX}${secret.toString('base64')}`;
}

export interface HookMessage {
  /** Stable over attempts: the listener tells doubles apart by it. */
  readonly id: string;
  /** Of this attempt. */
  readonly timestampSeconds: number;
  readonly body: Buffer;
}

export function signHook({ id, timestampSeconds, body }: HookMessage, secret: HookSecret): string {
  const signature = createHmac('sha256', secret).update(`${id}.${timestampSeconds}.`, 'utf8').update(body);
  return `v1,${signature.digest('base64')}`;
}

/** @param secrets those in force, the newest first; at least one */
export function hookHeaders(
  message: HookMessage,
  secrets: readonly HookSecret[],
): Readonly<Record<'webhook-id' | 'webhook-timestamp' | 'webhook-signature', string>> {
  if (secrets.length === 0) throw new Error('A webhook without a secret would be believed by nobody.');
  return {
    'webhook-id': message.id,
    'webhook-timestamp': String(message.timestampSeconds),
    'webhook-signature': secrets.map((secret) => signHook(message, secret)).join(' '),
  };
}
