import { randomUUID } from 'node:crypto';
import { callHttp, type HttpAnswer } from '../http-call.js';
import { AWAY_FEATURES } from './real-catalog.js';
import { ADMIN_KEY, type RealServer, SERVER_KEY, type ServerPool } from './real-servers.js';
import type { Seeded } from './seeded.js';

/* A careful client: it repeats a call under the same key, at another process each time, until it is answered. */

export interface RealCall {
  readonly operation: 'consume' | 'release' | 'reserve' | 'settle' | 'release-hold';
  readonly customer: string;
  readonly idempotencyKey: string;
  readonly body: {
    readonly key: string;
    readonly amount: number;
    readonly mode: 'all' | 'upTo';
    readonly holder?: string;
    /** What is noted with the usage. */
    readonly attributes?: Readonly<Record<string, string>>;
  };
  /** Of what a reserve holds. */
  readonly ttlSeconds?: number;
  /** Which hold is to end. */
  readonly holdId?: string;
}

export interface RealHold {
  readonly id: string;
  readonly amount: number;
  /** Milliseconds of the database's clock. */
  readonly expiresAt: number;
}

export interface RealAnswer {
  readonly allowed: boolean;
  /** `null`: the answer does not say. */
  readonly taken: number | null;
  /** Given while the store was away. */
  readonly isFallback: boolean;
  /** Of a hold: why it cannot end so, and nothing was done. */
  readonly refusal: string | null;
  readonly hold: RealHold | null;
  /** The whole answer but for `asOf`. */
  readonly text: string;
  /** When it was heard, by the clock of this machine. */
  readonly at: number;
}

/** Usage that happened already, as one event of a batch tells it. */
export interface RealEvent {
  readonly id: string;
  readonly customer: string;
  readonly key: string;
  readonly amount: number;
}

export type EventStatus = 'accepted' | 'duplicate';

const PATIENCE_MILLISECONDS = 2500;
const MANAGEMENT_PATIENCE_MILLISECONDS = 10_000;

/** Asks one process after the other until one answers; `null` of `ask` means that the outcome is unknown. */
async function ask<Answer>(
  pool: ServerPool,
  chance: Seeded,
  name: string,
  tryOne: (url: string) => Promise<Answer | null>,
  choose: (alive: readonly RealServer[]) => RealServer = chance.pick,
): Promise<Answer> {
  const began = Date.now();
  for (let attempt = 0; Date.now() - began < pool.patienceMilliseconds; attempt += 1) {
    const alive = pool.alive;
    const answer = alive.length === 0 ? null : await tryOne(choose(alive).url);
    if (answer !== null) return answer;
    await new Promise((resolve) => setTimeout(resolve, 10 + chance.draw() * 40 + Math.min(500, 5 * attempt)));
  }
  throw new Error(`\`${name}\` was not answered in ${pool.patienceMilliseconds / 1000} s.`);
}

export function callSurely(pool: ServerPool, chance: Seeded, call: RealCall): Promise<RealAnswer> {
  // What may be answered without the store is asked most of whoever has none.
  const choose = (alive: readonly RealServer[]): RealServer => {
    const away = AWAY_FEATURES.has(call.body.key) ? alive.filter((one) => one.isCutOff()) : [];
    return chance.pick(away.length > 0 && chance.chance(0.8) ? away : alive);
  };
  return ask(pool, chance, call.idempotencyKey, (url) => tryCall(url, call), choose);
}

/** `null`: the outcome is unknown. Anything but an answer and that is an error. */
export async function tryCall(url: string, call: RealCall): Promise<RealAnswer | null> {
  const { path, body } = requestOf(call);
  const response = await post(`${url}/oep/v1/${path}`, 'application/json', call.idempotencyKey, body);
  if (response === null) return null;
  const { status, text } = response;
  if (status === 200 || status === 201) return answerOf(call, text);
  const { errorCode: code = '' } = JSON.parse(text) as { readonly errorCode?: string };
  if (call.holdId !== undefined && END_REFUSALS.has(code)) return refused(code);
  throw new Error(`${call.idempotencyKey}: ${status} ${text}`);
}

const END_REFUSALS = new Set(['RESERVATION_FINAL', 'RESERVATION_EXPIRED']);

function requestOf(call: RealCall): { readonly path: string; readonly body: unknown } {
  const { operation, body, ttlSeconds, holdId, customer } = call;
  const context = { targetingKey: customer };
  const { mode, ...released } = body;
  switch (operation) {
    case 'consume':
      return { path: 'consume', body: { context, ...body } };
    case 'release':
      return { path: 'release', body: { context, ...released } };
    case 'reserve':
      return { path: 'reservations', body: { context, ...released, mode, ttlSeconds } };
    case 'settle':
      return { path: `reservations/${holdId}/settle`, body: { amount: body.amount } };
    case 'release-hold':
      return { path: `reservations/${holdId}/release`, body: {} };
  }
}

function refused(code: string): RealAnswer {
  const nothing = { allowed: false, taken: 0, isFallback: false, hold: null };
  return { ...nothing, refusal: code, text: code, at: Date.now() };
}

/** What of an answer is looked at. */
interface AnswerBody {
  readonly allowed?: boolean;
  readonly reason?: string;
  readonly consumed?: number;
  readonly released?: number;
  readonly id?: string;
  readonly amount?: number;
  readonly settled?: number | null;
  readonly expiresAt?: string;
}

function answerOf({ operation }: RealCall, text: string): RealAnswer {
  const answer = JSON.parse(text) as AnswerBody;
  const { allowed = true, id, amount = 0, expiresAt = '' } = answer;
  return {
    allowed,
    taken: takenOf(operation, answer),
    isFallback: answer.reason === 'FALLBACK',
    refusal: null,
    hold:
      operation === 'reserve' && id !== undefined ? { id, amount, expiresAt: Date.parse(expiresAt) } : null,
    text: JSON.stringify(answer, (name, value: unknown) => (name === 'asOf' ? undefined : value)),
    at: Date.now(),
  };
}

function takenOf(operation: RealCall['operation'], answer: AnswerBody): number | null {
  switch (operation) {
    case 'consume':
      return answer.consumed ?? 0;
    case 'release':
      return answer.released ?? 0;
    case 'reserve':
      return answer.id === undefined ? 0 : (answer.amount ?? 0);
    case 'settle':
      return answer.settled ?? 0;
    case 'release-hold':
      return null;
  }
}

/** The status of each event, in their order. */
export function tellSurely(
  pool: ServerPool,
  chance: Seeded,
  events: readonly RealEvent[],
): Promise<readonly EventStatus[]> {
  return ask(pool, chance, events[0]?.id ?? '', (url) => tryTell(url, events));
}

async function tryTell(url: string, events: readonly RealEvent[]): Promise<readonly EventStatus[] | null> {
  const response = await post(
    `${url}/oep/v1/usage`,
    'application/cloudevents-batch+json',
    null,
    events.map(({ id, customer, key, amount }) => ({
      ...{ specversion: '1.0', id, source: '/prove', type: 'usage', subject: customer },
      data: { key, amount },
    })),
  );
  if (response === null) return null;
  if (response.status !== 202) throw new Error(`events: ${response.status} ${response.text}`);
  const { items } = JSON.parse(response.text) as { readonly items: readonly { readonly status: string }[] };
  return items.map(({ status }) => {
    if (status === 'accepted' || status === 'duplicate') return status;
    throw new Error(`An event was ${status}: ${response.text}`);
  });
}

/** `null`: no answer, or a 503. */
async function post(
  url: string,
  type: string,
  idempotencyKey: string | null,
  body: unknown,
): Promise<HttpAnswer | null> {
  const headers = {
    authorization: `Bearer ${SERVER_KEY}`,
    'content-type': type,
    ...(idempotencyKey === null ? {} : { 'idempotency-key': idempotencyKey }),
  };
  const signal = AbortSignal.timeout(PATIENCE_MILLISECONDS);
  const answer = await callHttp('POST', url, headers, JSON.stringify(body), signal).catch(() => null);
  return answer === null || answer.status === 503 ? null : answer;
}

/**
 * A management call that must be answered by one of the processes, repeated under its key like any other.
 * @param mayRefuse then a refusal (4xx) is an answer, `null`; else it is an error.
 */
export async function manageSurely(
  pool: ServerPool,
  chance: Seeded,
  method: string,
  path: string,
  body: unknown,
  { mayRefuse = false } = {},
): Promise<unknown> {
  const key = `manage-${randomUUID()}`;
  const headers = {
    authorization: `Bearer ${ADMIN_KEY}`,
    'content-type': 'application/json',
    'idempotency-key': key,
  };
  const { status, text } = await ask(pool, chance, `${method} ${path}`, async (url) => {
    const signal = AbortSignal.timeout(MANAGEMENT_PATIENCE_MILLISECONDS);
    const sent = callHttp(method, `${url}${path}`, headers, JSON.stringify(body), signal);
    const answer = await sent.catch(() => null);
    if (answer === null || answer.status >= 500) return null;
    // Another call under the same key is still under way; but what is over stays over.
    return answer.status === 409 && !answer.text.includes('TOP_UP_OVER') ? null : answer;
  });
  if (status < 300) return JSON.parse(text);
  if (mayRefuse) return null;
  throw new Error(`${method} ${path} failed: ${status} ${text}`);
}
