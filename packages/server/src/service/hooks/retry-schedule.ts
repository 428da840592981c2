/* When a delivery is tried again, and when it is given up. Pure: chance is an argument. */

/** A listener has a day: long enough for a night without anybody, short enough that what is told still matters. */
const DELAYS_SECONDS = [5, 30, 120, 300, 900, 1800, 3600, 7200, 14_400, 21_600, 21_600] as const;
/** Each delay is off by up to so much either way, so that what failed together does not come back together. */
const JITTER = 0.2;
/** A listener is believed when it names a later time, up to here. */
const LONGEST_ASKED_SECONDS = 3600;

/** The first attempt and one after each delay. */
export const HOOK_ATTEMPTS = DELAYS_SECONDS.length + 1;

/** `dead`: given up, kept with its log until somebody replays it. */
export type DeliveryState = 'waiting' | 'delivered' | 'dead';

/** What an attempt came to, as far as it decides what is next. */
export type AttemptResult =
  | { readonly kind: 'accepted' }
  /** The listener says that it is gone for good (410). */
  | { readonly kind: 'gone' }
  | { readonly kind: 'failed'; readonly retryAfterSeconds: number | null };

export type NextStep =
  | { readonly state: 'delivered' }
  | { readonly state: 'dead'; readonly disablesEndpoint: boolean }
  | { readonly state: 'waiting'; readonly delayMilliseconds: number };

/** @param status of the answer; a redirect is a failure, because nobody follows it (S-6) */
export function toAttemptResult(status: number, retryAfterSeconds: number | null): AttemptResult {
  if (status >= 200 && status <= 299) return { kind: 'accepted' };
  if (status === 410) return { kind: 'gone' };
  const isAsked = status === 429 || status === 503;
  return { kind: 'failed', retryAfterSeconds: isAsked ? retryAfterSeconds : null };
}

/**
 * @param attempt how many were made, this one too; from 1
 * @param random from 0 to below 1
 */
export function retryDelayMilliseconds(attempt: number, random: number): number | null {
  const delaySeconds = DELAYS_SECONDS[attempt - 1];
  if (delaySeconds === undefined) return null;
  return Math.round(delaySeconds * 1000 * (1 - JITTER + 2 * JITTER * random));
}

export function nextStep(result: AttemptResult, attempt: number, random: number): NextStep {
  if (result.kind === 'accepted') return { state: 'delivered' };
  if (result.kind === 'gone') return { state: 'dead', disablesEndpoint: true };
  const delay = retryDelayMilliseconds(attempt, random);
  if (delay === null) return { state: 'dead', disablesEndpoint: false };
  const asked = Math.min(result.retryAfterSeconds ?? 0, LONGEST_ASKED_SECONDS) * 1000;
  return { state: 'waiting', delayMilliseconds: Math.max(delay, asked) };
}
