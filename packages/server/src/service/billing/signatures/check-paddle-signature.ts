import { createHmac, timingSafeEqual } from 'node:crypto';
import {
  readSeconds,
  refused,
  type SignatureCheck,
  type SignedBody,
  windowFault,
} from './signature-check.js';

const HEX_SHA_256 = /^[0-9a-f]{64}$/;

/** `Paddle-Signature: ts=<seconds>;h1=<hex>[;h1=…]`: HMAC-SHA256 of `<ts>:<body>`; several `h1` while a secret is being replaced. */
export function checkPaddleSignature(
  header: string | undefined,
  { body, secrets, now }: SignedBody,
): SignatureCheck {
  if (header === undefined || header === '') return refused('MISSING');
  const members = header.split(';').map((member) => member.split('='));
  const times = members.filter(([name]) => name === 'ts').map(([, value]) => value);
  const signedAt = times.length === 1 ? readSeconds(times[0]) : null;
  const signatures = members.flatMap(([name, value = '']) =>
    name === 'h1' && HEX_SHA_256.test(value) ? [Buffer.from(value, 'hex')] : [],
  );
  if (signedAt === null || signatures.length === 0) return refused('MALFORMED');
  const fault = windowFault(signedAt, now);
  if (fault !== null) return refused(fault);
  const matches = secrets.some((secret) => {
    const expected = createHmac('sha256', secret).update(`${times[0]}:`).update(body).digest();
    return signatures.some((signature) => timingSafeEqual(signature, expected));
  });
  return matches ? { ok: true, signedAt } : refused('NO_MATCH');
}
