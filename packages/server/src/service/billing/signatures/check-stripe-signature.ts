import {
  readSeconds,
  readText,
  refused,
  type SignatureCheck,
  type SignedBody,
  windowFault,
} from './signature-check.js';

/**
 * The package costs a quarter of a second and 20 MB: it is loaded where something comes from Stripe.
 */
function loadStripe() {
  return import('stripe');
}

const HEX_SHA_256 = /^[0-9a-f]{64}$/;

/** More than a rotation ever needs; each costs an HMAC. */
const MOST_SIGNATURES = 20;

/**
 * `Stripe-Signature: t=<seconds>,v1=<hex>[,v1=…]` (HMAC-SHA256 of `<t>.<body>`), by Stripe's own package. The time is checked here: the
 * package takes times in the future.
 */
export async function checkStripeSignature(
  header: string | undefined,
  { body, secrets, now }: SignedBody,
): Promise<SignatureCheck> {
  if (header === undefined || header === '') return refused('MISSING');
  const members = header.split(',').map((member) => member.split('='));
  const times = members.filter(([name]) => name === 't');
  const signedAt = times.length === 1 ? readSeconds(times[0]?.[1]) : null;
  const signatures = members.flatMap(([name, value = '']) =>
    name === 'v1' && HEX_SHA_256.test(value) ? [value] : [],
  );
  const text = readText(body);
  if (signedAt === null || text === null || signatures.length === 0 || signatures.length > MOST_SIGNATURES)
    return refused('MALFORMED');
  const fault = windowFault(signedAt, now);
  if (fault !== null) return refused(fault);
  const { default: Stripe } = await loadStripe();
  const { signature: signing } = Stripe.webhooks;
  if (signing === null) throw new Error('The package of Stripe checks no signatures in this runtime.');
  // Written anew of what was read: the package stumbles over a `v1` without a value, and drops a byte order mark of the body's octets.
  const readable = [`t=${signedAt / 1000}`, ...signatures.map((one) => `v1=${one}`)].join(',');
  for (const secret of secrets) {
    try {
      // The replay window is checked above; an infinite tolerance leaves it there.
      signing.verifyHeader(text, readable, secret, Number.POSITIVE_INFINITY, undefined, now);
      return { ok: true, signedAt };
    } catch (error) {
      if (!(error instanceof Stripe.errors.StripeSignatureVerificationError)) throw error;
    }
  }
  return refused('NO_MATCH');
}
