import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';

const ACCEPTED = /^[A-Za-z0-9._~:-]{1,128}$/;
const TRACE_PARENT = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;
const PROCESS_PREFIX = randomBytes(6).toString('hex');
let counter = 0;

/** The caller's `x-request-id` when it is a plain word, else one of ours: unique, and cheap enough for every evaluation. */
export function requestIdOf(raw: Pick<IncomingMessage, 'headers'>): string {
  const given = raw.headers['x-request-id'];
  return requestIdFor(typeof given === 'string' ? given : undefined);
}

/** @param given the header as sent. */
export function requestIdFor(given: string | undefined): string {
  if (given !== undefined && ACCEPTED.test(given)) {
    return given;
  }
  counter += 1;
  return `${PROCESS_PREFIX}-${counter.toString(36)}`;
}

/** Sends the request id and a well-formed `traceparent` back, so that logs of both sides meet. */
export function echoIds(raw: IncomingMessage, response: ServerResponse, requestId: string): void {
  response.setHeader('x-request-id', requestId);
  const { traceparent } = raw.headers;
  const traceParent = traceParentOf(typeof traceparent === 'string' ? traceparent : undefined);
  if (traceParent !== null) {
    response.setHeader('traceparent', traceParent);
  }
}

/** `null`: none was sent, or none that the standard knows. */
export function traceParentOf(given: string | undefined): string | null {
  return given !== undefined && TRACE_PARENT.test(given) ? given : null;
}
