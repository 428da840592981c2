import { callHttp, type HttpAnswer } from '../http-call.js';
import { ADMIN_KEY, type ProcessPool, SERVER_KEY } from './real-processes.js';
import type { Seeded } from './seeded.js';

/* A careful client: it repeats a call under the same key, at another process each time, until it is answered. */

export interface RealCall {
  readonly operation: 'consume' | 'release';
  readonly customer: string;
  readonly idempotencyKey: string;
  readonly body: {
    readonly key: string;
    readonly amount: number;
    readonly mode: 'all' | 'upTo';
    readonly holder?: string;
  };
}

export interface RealAnswer {
  readonly allowed: boolean;
  readonly taken: number;
  /** The whole answer but for `asOf`. */
  readonly text: string;
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
/** Long enough for a database that comes back on a machine that has other things to do. */
const GIVE_UP_MILLISECONDS = 600_000;

/** Asks one process after the other until one answers; `null` of `ask` means that the outcome is unknown. */
async function ask<Answer>(
  pool: ProcessPool,
  chance: Seeded,
  name: string,
  tryOne: (url: string) => Promise<Answer | null>,
): Promise<Answer> {
  const began = Date.now();
  for (let attempt = 0; Date.now() - began < GIVE_UP_MILLISECONDS; attempt += 1) {
    const alive = pool.alive;
    const answer = alive.length === 0 ? null : await tryOne(chance.pick(alive).url);
    if (answer !== null) return answer;
    await new Promise((resolve) => setTimeout(resolve, 10 + chance.draw() * 40 + Math.min(500, 5 * attempt)));
  }
  throw new Error(`\`${name}\` was not answered in ${GIVE_UP_MILLISECONDS / 60_000} minutes.`);
}

export function callSurely(pool: ProcessPool, chance: Seeded, call: RealCall): Promise<RealAnswer> {
  return ask(pool, chance, call.idempotencyKey, (url) => tryCall(url, call));
}

/** `null`: the outcome is unknown. Anything but an answer and that is an error. */
export async function tryCall(url: string, call: RealCall): Promise<RealAnswer | null> {
  const { mode, ...released } = call.body;
  const body = call.operation === 'release' ? released : call.body;
  const response = await post(`${url}/oep/v1/${call.operation}`, 'application/json', call.idempotencyKey, {
    context: { targetingKey: call.customer },
    ...body,
  });
  if (response === null) return null;
  if (response.status !== 200) {
    throw new Error(`${call.idempotencyKey}: ${response.status} ${response.text}`);
  }
  return answerOf(response.text);
}

function answerOf(text: string): RealAnswer {
  const answer = JSON.parse(text) as {
    readonly allowed?: boolean;
    readonly consumed?: number;
    readonly released?: number;
  };
  return {
    allowed: answer.allowed ?? true,
    taken: answer.consumed ?? answer.released ?? 0,
    text: JSON.stringify(answer, (name, value: unknown) => (name === 'asOf' ? undefined : value)),
  };
}

/** The status of each event, in their order. */
export function tellSurely(
  pool: ProcessPool,
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
  pool: ProcessPool,
  chance: Seeded,
  method: string,
  path: string,
  body: unknown,
  { mayRefuse = false } = {},
): Promise<unknown> {
  const key = `manage-${chance.below(2 ** 30)}-${chance.below(2 ** 30)}`;
  const headers = {
    authorization: `Bearer ${ADMIN_KEY}`,
    'content-type': 'application/json',
    'idempotency-key': key,
  };
  const { status, text } = await ask(pool, chance, `${method} ${path}`, async (url) => {
    const signal = AbortSignal.timeout(MANAGEMENT_PATIENCE_MILLISECONDS);
    const sent = callHttp(method, `${url}${path}`, headers, JSON.stringify(body), signal);
    const answer = await sent.catch(() => null);
    return answer === null || answer.status >= 500 || answer.status === 409 ? null : answer;
  });
  if (status < 300) return JSON.parse(text);
  if (mayRefuse) return null;
  throw new Error(`${method} ${path} failed: ${status} ${text}`);
}
