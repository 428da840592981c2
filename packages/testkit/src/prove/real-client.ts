import { ADMIN_KEY, type ProcessPool, SERVER_KEY } from './real-processes.js';
import type { Seeded } from './seeded.js';

/* A careful client: it repeats a call under the same key, at another process each time, until it is answered. */

export interface RealCall {
  readonly operation: 'consume' | 'release';
  readonly customer: string;
  readonly idempotencyKey: string;
  readonly body: { readonly key: string; readonly amount: number; readonly mode: 'all' | 'upTo' };
}

export interface RealAnswer {
  readonly allowed: boolean;
  readonly taken: number;
  /** The whole answer but for `asOf`. */
  readonly text: string;
}

const PATIENCE_MILLISECONDS = 2500;
const TRIES = 400;

export async function callSurely(pool: ProcessPool, chance: Seeded, call: RealCall): Promise<RealAnswer> {
  for (let attempt = 0; attempt < TRIES; attempt += 1) {
    const alive = pool.alive;
    const answer = alive.length === 0 ? null : await tryCall(chance.pick(alive).url, call);
    if (answer !== null) return answer;
    await new Promise((resolve) => setTimeout(resolve, 10 + chance.draw() * 40));
  }
  throw new Error(`\`${call.idempotencyKey}\` was not answered in ${TRIES} tries.`);
}

/** `null`: the outcome is unknown. Anything but an answer and that is an error. */
export async function tryCall(url: string, call: RealCall): Promise<RealAnswer | null> {
  const { mode, ...released } = call.body;
  const body = call.operation === 'release' ? released : call.body;
  const response = await fetch(`${url}/oep/v1/${call.operation}`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${SERVER_KEY}`,
      'content-type': 'application/json',
      'idempotency-key': call.idempotencyKey,
    },
    body: JSON.stringify({ context: { targetingKey: call.customer }, ...body }),
    signal: AbortSignal.timeout(PATIENCE_MILLISECONDS),
  }).catch(() => null);
  if (response === null || response.status === 503) return null;
  const text = await response.text().catch(() => null);
  if (text === null) return null;
  if (response.status !== 200) throw new Error(`${call.idempotencyKey}: ${response.status} ${text}`);
  return answerOf(text);
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

/** A management call that must succeed at one of the processes, repeated under its key like any other. */
export async function manageSurely(
  pool: ProcessPool,
  chance: Seeded,
  method: string,
  path: string,
  body: unknown,
): Promise<void> {
  const key = `manage-${chance.below(2 ** 30)}-${chance.below(2 ** 30)}`;
  let last = 'nobody was there';
  for (let attempt = 0; attempt < TRIES; attempt += 1) {
    const alive = pool.alive;
    const response =
      alive.length === 0
        ? null
        : await fetch(`${chance.pick(alive).url}${path}`, {
            method,
            headers: {
              authorization: `Bearer ${ADMIN_KEY}`,
              'content-type': 'application/json',
              'idempotency-key': key,
            },
            body: JSON.stringify(body),
            signal: AbortSignal.timeout(10_000),
          }).catch(() => null);
    if (response?.ok === true) return;
    if (response !== null) {
      last = `${response.status} ${await response.text().catch(() => '')}`;
      if (response.status < 500 && response.status !== 409) break;
    }
    await new Promise((resolve) => setTimeout(resolve, 50 + chance.draw() * 50));
  }
  throw new Error(`${method} ${path} failed: ${last}`);
}
