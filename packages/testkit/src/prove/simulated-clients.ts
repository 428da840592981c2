import type { ConsumeInput } from '@pennon/server/service/consume-input';
import type { ConsumeAnswer } from '@pennon/server/service/consume-request';
import { ServiceError } from '@pennon/server/service/service-error';
import type { ModelCall } from './sequential-model.js';
import type { SimulatedProcess } from './simulated-process.js';

/* What clients of a simulated history ask, and what they make of what they hear. */

/** A call with its key, and what its client heard. */
export interface ClientCall extends ModelCall {
  readonly idempotencyKey: string;
  /** When the first of its messages was sent. */
  readonly sentAt: number;
  readonly heard: Heard[];
  /** Of what a reserve holds. */
  readonly ttlSeconds?: number;
  /** Another call stands under the same key. */
  readonly misused: boolean;
  settled: boolean;
}

export type Heard =
  | { readonly kind: 'answer'; readonly at: number; readonly answer: ConsumeAnswer }
  | { readonly kind: 'mismatch'; readonly at: number }
  /** Of a settlement or the release of a hold: it is final, or it has ended. */
  | { readonly kind: 'refused'; readonly at: number; readonly code: string }
  | { readonly kind: 'fault'; readonly at: number; readonly error: unknown };

export function askOf(process: SimulatedProcess, call: ClientCall): Promise<ConsumeAnswer> {
  const input = inputOf(call);
  switch (call.operation) {
    case 'consume':
    case 'release':
      return process.consume(input);
    case 'reserve':
      return process.reserve({ ...input, ttlSeconds: call.ttlSeconds ?? 1 });
    case 'settle':
    case 'release-hold': {
      const { requestId, idempotencyKey, product, environment, consistency } = input;
      const amount = call.operation === 'settle' ? (call.items[0]?.amount ?? 0) : null;
      return process.end({
        ...{ requestId, idempotencyKey, product, environment, consistency },
        operation: call.operation,
        id: call.holdId ?? '',
        amount,
        attributes: {},
        body: { amount },
      });
    }
  }
}

function inputOf(call: ClientCall): ConsumeInput {
  const context = { targetingKey: call.customer, customer: { key: call.customer }, user: { key: call.user } };
  const { operation, mode } = call;
  return {
    operation,
    mode,
    requestId: 'request',
    idempotencyKey: call.idempotencyKey,
    body: { context, mode, items: call.items },
    context,
    items: call.items.map(({ key, amount, holder }) => ({
      ...{ key, amount, attributes: {} },
      ...(holder === undefined ? {} : { holder }),
    })),
    product: undefined,
    environment: undefined,
    consistency: undefined,
  };
}

export function refusalOf(error: unknown): Heard | null {
  if (error instanceof ServiceError && error.kind === 'unavailable') return null;
  if (error instanceof ServiceError && error.code === 'IDEMPOTENCY_MISMATCH')
    return { kind: 'mismatch', at: 0 };
  if (error instanceof ServiceError && END_REFUSALS.has(error.code)) {
    return { kind: 'refused', at: 0, code: error.code };
  }
  return { kind: 'fault', at: 0, error };
}

const END_REFUSALS = new Set(['RESERVATION_FINAL', 'RESERVATION_EXPIRED', 'TYPE_MISMATCH']);

export function describe(heard: Heard): string {
  switch (heard.kind) {
    case 'mismatch':
      return 'mismatch';
    case 'refused':
      return heard.code;
    case 'fault':
      return `fault ${String(heard.error)}`;
    case 'answer':
      return heard.answer.decisions
        .map(({ key, allowed, consumed, usedAfter }) => `${key} ${allowed} ${consumed} ${usedAfter}`)
        .join(', ');
  }
}
