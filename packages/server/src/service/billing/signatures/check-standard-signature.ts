import { timingSafeEqual } from 'node:crypto';
import { Webhook } from 'standardwebhooks';
import {
  readSeconds,
  readText,
  refused,
  type SignatureCheck,
  type SignedBody,
  windowFault,
} from './signature-check.js';

/** The three headers of Standard Webhooks; Svix sends the same ones under names of its own. */
export interface StandardHeaders {
  readonly id: string | undefined;
  readonly timestamp: string | undefined;
  readonly signature: string | undefined;
}

type Headers = Readonly<Record<string, string | readonly string[] | undefined>>;

export function standardHeadersOf(headers: Headers): StandardHeaders {
  const one = (name: string): string | undefined => {
    const value = headers[`webhook-${name}`] ?? headers[`svix-${name}`];
    return typeof value === 'string' && value !== '' ? value : undefined;
  };
  return { id: one('id'), timestamp: one('timestamp'), signature: one('signature') };
}

/**
 * Standard Webhooks: HMAC-SHA256 of `<id>.<timestamp>.<body>` by the package's own `sign`; its `verify` reads the machine's clock, and
 * ours is corrected by the database's. The secret is base64, with or without `whsec_`.
 */
export function checkStandardSignature(
  { id, timestamp, signature }: StandardHeaders,
  { body, secrets, now }: SignedBody,
): SignatureCheck {
  if (id === undefined || timestamp === undefined || signature === undefined) return refused('MISSING');
  const signedAt = readSeconds(timestamp);
  const text = readText(body);
  const signatures = signature
    .split(' ')
    .filter((one) => one.startsWith('v1,'))
    .map((one) => Buffer.from(one));
  // A point in the id could move the border between what is signed as id, as time and as body.
  if (signedAt === null || text === null || signatures.length === 0 || id.includes('.'))
    return refused('MALFORMED');
  const fault = windowFault(signedAt, now);
  if (fault !== null) return refused(fault);
  const matches = secrets.some((secret) => {
    const expected = Buffer.from(new Webhook(secret).sign(id, new Date(signedAt), text));
    return signatures.some((one) => one.length === expected.length && timingSafeEqual(one, expected));
  });
  return matches ? { ok: true, signedAt } : refused('NO_MATCH');
}
