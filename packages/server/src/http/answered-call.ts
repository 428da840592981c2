import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Kysely } from 'kysely';
import { type Answer, AnsweredBefore, type ChangeCall, type Outcome } from '../service/answer.js';
import type { KeyedCall, RememberedAnswers, StoredAnswer } from '../service/remembered-answers.js';
import type { Tables } from '../store/tables.js';
import { answerOfOutcome } from './change-answer.js';

/** What a repeat gets besides status and body. */
const REMEMBERED_HEADERS = [
  'etag',
  'location',
  'cache-control',
  'content-type',
  'pennon-consistency',
  'pennon-revision',
] as const;

/** One mutating call over HTTP, with an `Idempotency-Key` or without. */
export class AnsweredCall implements ChangeCall {
  readonly #answers: RememberedAnswers;
  /** `null`: the call has no key. */
  readonly #keyed: KeyedCall | null;
  /** Members that a repeat does not get. */
  readonly #shownOnce: readonly string[];
  #prepared: Answer | null = null;
  #committed = false;

  constructor(answers: RememberedAnswers, keyed: KeyedCall | null, shownOnce: readonly string[]) {
    this.#answers = answers;
    this.#keyed = keyed;
    this.#shownOnce = shownOnce;
  }

  answerOf(outcome: Outcome): Answer {
    return answerOfOutcome(outcome, this.#shownOnce);
  }

  async remember(transaction: Kysely<Tables>, answer: Answer): Promise<void> {
    // Of a call that changes in several transactions the first one counts; what it says is compared with what is sent.
    if (this.#committed) return;
    this.#prepared = answer;
    if (this.#keyed === null) return;
    const stored = {
      status: answer.status,
      headers: { ...answer.headers, ...(answer.body === null ? {} : JSON_BODY) },
      body: answer.body === null ? null : JSON.stringify(this.#withoutShownOnce(answer.body)),
    };
    if (!(await this.#answers.write(transaction, this.#keyed, stored))) throw new AnsweredBefore();
  }

  noteCommitted(): void {
    this.#committed = true;
  }

  /**
   * A call that succeeded and changed nothing, or in several transactions, is remembered before it is answered: a repeat must
   * not do now what was not to be done then.
   */
  async rememberSent(database: Kysely<Tables>, reply: FastifyReply, payload: unknown): Promise<void> {
    if (this.#keyed === null || this.#committed) return;
    const isText = typeof payload === 'string' && payload !== '' && reply.statusCode !== 204;
    const text = isText ? payload : null;
    const headers: Record<string, string> = {};
    for (const name of REMEMBERED_HEADERS) {
      const value = reply.getHeader(name);
      if (value !== undefined) headers[name] = String(value);
    }
    const body =
      text === null || this.#shownOnce.length === 0
        ? text
        : JSON.stringify(this.#withoutShownOnce(JSON.parse(text)));
    await this.#answers.write(database, this.#keyed, { status: reply.statusCode, headers, body });
  }

  /** Tests: what was remembered is what is sent, or the route does not answer with `sendChanged`. */
  checkSent(request: FastifyRequest, reply: FastifyReply, payload: unknown): void {
    const prepared = this.#prepared;
    if (prepared === null || !this.#committed) return;
    const expected = {
      status: prepared.status,
      body: prepared.body === null ? '' : JSON.stringify(prepared.body),
      etag: prepared.headers.etag,
      consistency: prepared.headers['pennon-consistency'],
    };
    const sent = {
      status: reply.statusCode,
      body: reply.statusCode === 204 ? '' : (payload ?? ''),
      etag: reply.getHeader('etag'),
      consistency: reply.getHeader('pennon-consistency'),
    };
    if (JSON.stringify(expected) !== JSON.stringify(sent)) {
      throw new TypeError(
        `${request.method} ${request.routeOptions.url} answers otherwise than it is remembered: ${JSON.stringify(sent)} for ${JSON.stringify(expected)}. Answer with \`sendChanged\`, or see \`withoutCall\`.`,
      );
    }
  }

  #withoutShownOnce(body: unknown): unknown {
    const hidden = this.#shownOnce.map((name) => [name, null] as const);
    return hidden.length === 0 ? body : { ...(body as object), ...Object.fromEntries(hidden) };
  }
}

const JSON_BODY = { 'content-type': 'application/json; charset=utf-8' };

export function sendStored(reply: FastifyReply, { status, headers, body }: StoredAnswer): FastifyReply {
  return reply.code(status).headers(headers).header('idempotency-replayed', 'true').send(body);
}
