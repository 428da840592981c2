import type { Instant } from '@pennon/engine/model/customer';
import { LIMITS } from '@pennon/engine/model/limits';

/** A body as it came and what was sent with it to prove it. */
export interface SignedBody {
  /** INVARIANT: the very octets that were received. A body that was parsed and written again has another signature. */
  readonly body: Uint8Array;
  /** Every secret that is active: while one is being replaced there are two. */
  readonly secrets: readonly string[];
  readonly now: Instant;
}

export const SIGNATURE_FAULTS = ['MISSING', 'MALFORMED', 'TOO_OLD', 'IN_THE_FUTURE', 'NO_MATCH'] as const;
export type SignatureFault = (typeof SIGNATURE_FAULTS)[number];

/** `signedAt`: when the provider sent it. */
export type SignatureCheck =
  | { readonly ok: true; readonly signedAt: Instant }
  | { readonly ok: false; readonly fault: SignatureFault };

export function refused(fault: SignatureFault): SignatureCheck {
  return { ok: false, fault };
}

/**
 * The replay window, to both sides: what was signed long ago may have been taken from a log, and what is signed for tomorrow would
 * stay good until then.
 */
export function windowFault(signedAt: Instant, now: Instant): SignatureFault | null {
  const toleranceMilliseconds = LIMITS.signatureToleranceSeconds.value * 1000;
  if (now - signedAt > toleranceMilliseconds) return 'TOO_OLD';
  return signedAt - now > toleranceMilliseconds ? 'IN_THE_FUTURE' : null;
}

/** Whole seconds since 1970, nothing else: what a lenient reader made of `17e8` or ` 17` is not what was signed. */
export function readSeconds(text: string | undefined): Instant | null {
  return text !== undefined && /^[0-9]{1,12}$/.test(text) ? Number(text) * 1000 : null;
}

const UTF_8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** `null`: not UTF-8, so no JSON. Replacing what is wrong would check the signature of another text. */
export function readText(body: Uint8Array): string | null {
  try {
    return UTF_8.decode(body);
  } catch {
    return null;
  }
}
