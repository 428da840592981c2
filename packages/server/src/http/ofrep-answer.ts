import { ofrepStatusOf } from '@pennon/protocol/ofrep/evaluation';
import { serializeOfrepEvaluation } from '@pennon/protocol/ofrep/serialize';
import type { FlagEvaluation } from '../service/evaluate-flag.js';
import type { FlagsEvaluation } from '../service/evaluate-flags.js';
import { hasSameBody } from '../service/evaluation-etag.js';
import { type FlatHeaders, JSON_TYPE, stampHeaders } from './evaluation-headers.js';

/** An answer of OFREP as it goes over the wire; both ways to it (the framework's and the short one) send the same. */
export interface OfrepAnswer {
  readonly status: number;
  readonly headers: FlatHeaders;
  /** `null`: no body (304). */
  readonly body: string | null;
}

export function toFlagAnswer({ decision, stamp }: FlagEvaluation): OfrepAnswer {
  const status = ofrepStatusOf(decision);
  const headers = stampHeaders(stamp, 'no-store');
  headers.unshift('content-type', JSON_TYPE);
  if (status === 503) {
    headers.push('retry-after', '1');
  }
  return { status, headers, body: serializeOfrepEvaluation(decision) };
}

/** @param known the header `If-None-Match` as sent. */
export function toFlagsAnswer(
  { body, etag, stamp }: FlagsEvaluation,
  known: string | undefined,
): OfrepAnswer {
  // `private`, not `no-store`: the caller keeps the answer and asks whether it still holds.
  const headers = stampHeaders(stamp, 'private, no-cache');
  headers.push('etag', etag);
  if (known !== undefined && hasSameBody(known, etag)) {
    return { status: 304, headers, body: null };
  }
  headers.unshift('content-type', JSON_TYPE);
  return { status: 200, headers, body };
}
