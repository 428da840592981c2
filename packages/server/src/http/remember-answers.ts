import { LIMITS } from '@pennon/engine/model/limits';
import type { FastifyReply, FastifyRequest, RouteOptions } from 'fastify';
import type { Kysely } from 'kysely';
import { AnsweredBefore } from '../service/answer.js';
import { canonicalText } from '../service/canonical-request.js';
import { type KeyedCall, keyedCall, type RememberedAnswers } from '../service/remembered-answers.js';
import { ServiceError } from '../service/service-error.js';
import type { Tables } from '../store/tables.js';
import { AnsweredCall, sendStored } from './answered-call.js';
import { credentialOf } from './authenticate.js';
import { isStreamed } from './streamed-body.js';

export interface AnswerMemory {
  readonly answers: RememberedAnswers;
  readonly database: Kysely<Tables>;
}

/** Runs what shares a name one after the other. */
export type Turns = (name: string, work: () => Promise<void>) => Promise<void>;

const IDEMPOTENCY_KEY = /^[\x21-\x7e]+$/;

/** Whether the call asks to be done once; what is wrong with the key is said when it is read. */
export function hasIdempotencyKey(request: FastifyRequest): boolean {
  return request.headers['idempotency-key'] !== undefined;
}

function readIdempotencyKey(request: FastifyRequest): string | null {
  const header = request.headers['idempotency-key'];
  if (header === undefined) return null;
  const maximum = LIMITS.idempotencyKeyLength.value;
  if (typeof header !== 'string' || header.length > maximum || !IDEMPOTENCY_KEY.test(header)) {
    throw new ServiceError(
      'invalid',
      'IDEMPOTENCY_KEY_INVALID',
      `\`Idempotency-Key\` must be 1 to ${maximum} visible ASCII characters without spaces. A new UUID for each thing to be done is a good one.`,
    );
  }
  return header;
}

function streamed(): ServiceError {
  return new ServiceError(
    'invalid',
    'IDEMPOTENCY_KEY_REFUSED',
    'A call with a streamed body is not remembered as a whole: it takes no `Idempotency-Key`. Send it again without one.',
  );
}

/** Puts the memory of answers around the handler of a mutating route (`Idempotency-Key`), whatever the route is. */
export function rememberAnswers(
  route: RouteOptions,
  memory: AnswerMemory,
  alone: Turns,
  check: boolean,
): void {
  const { handler } = route;
  const shownOnce = route.config?.shownOnce ?? [];
  route.handler = async function answerOnce(request, reply) {
    const key = readIdempotencyKey(request);
    if (key !== null && isStreamed(request.routeOptions.config.rule?.body ?? 'strict')) {
      throw request.refusedReach ?? streamed();
    }
    const keyed = key === null ? null : keyedCall(credentialOf(request), key, canonicalCall(request));
    request.call = new AnsweredCall(memory.answers, keyed, shownOnce);
    const handle = async (): Promise<void> => {
      // INVARIANT (law 11): a refusal that waited for the look-up is thrown before the handler runs.
      if (request.refusedReach !== null) throw request.refusedReach;
      const result: unknown = await handler.call(this, request, reply);
      if (result !== undefined && !reply.sent) await reply.send(result);
    };
    await (keyed === null ? handle() : alone(keyed.name, () => answerKeyed(memory, keyed, reply, handle)));
    return reply;
  };
  const hooks = route.onSend === undefined ? [] : Array.isArray(route.onSend) ? route.onSend : [route.onSend];
  const remember = async (request: FastifyRequest, reply: FastifyReply, payload: unknown) => {
    const { call } = request;
    if (call === null || reply.statusCode >= 300 || reply.hasHeader('idempotency-replayed')) return payload;
    if (check) call.checkSent(request, reply, payload);
    await call.rememberSent(memory.database, reply, payload);
    return payload;
  };
  route.onSend = [remember, ...hooks];
}

async function answerKeyed(
  memory: AnswerMemory,
  keyed: KeyedCall,
  reply: FastifyReply,
  handle: () => Promise<void>,
): Promise<void> {
  if (await sendIfAnswered(memory, keyed, reply)) return;
  try {
    await handle();
  } catch (error) {
    // Another process may have done meanwhile what this one was refused for: one call, one answer.
    const mayBeAnswered = error instanceof AnsweredBefore || error instanceof ServiceError;
    if (!mayBeAnswered || !(await sendIfAnswered(memory, keyed, reply))) throw error;
  }
}

async function sendIfAnswered(memory: AnswerMemory, keyed: KeyedCall, reply: FastifyReply): Promise<boolean> {
  const found = await memory.answers.find(keyed);
  if (found === null) return false;
  if (found === 'other-request') {
    throw new ServiceError(
      'unprocessable',
      'IDEMPOTENCY_MISMATCH',
      'This `Idempotency-Key` was used with another request. Send that request again as it was, or take a new key for a new one.',
    );
  }
  await sendStored(reply, found);
  return true;
}

/**
 * What two calls with one key are compared by: operation, path, query and body. White space and the order of members make no
 * difference in JSON; a document is compared as it was sent. `If-Match` says what is expected, not what is to be done.
 */
function canonicalCall(request: FastifyRequest): string {
  const [path = '', query = ''] = request.url.split('?', 2);
  const parameters = new URLSearchParams(query);
  parameters.sort();
  return `${request.method} ${path}\u0000${parameters}\u0000${canonicalText(request.body)}`;
}

/** Calls with one key follow each other in this process, so that waiting costs neither a connection nor a transaction. */
export function createTurns(): Turns {
  const taken = new Map<string, Promise<void>>();
  return async (name, work) => {
    for (let before = taken.get(name); before !== undefined; before = taken.get(name)) await before;
    let release = (): void => undefined;
    taken.set(
      name,
      new Promise((resolve) => {
        release = resolve;
      }),
    );
    try {
      await work();
    } finally {
      taken.delete(name);
      release();
    }
  };
}
