import type { JsonObject } from '@pennon/engine/model/json';
import type { CanonicalCall } from './canonical-request.js';
import type { ReservationAsk, UsageOperation } from './consume-request.js';
import type { Credential } from './credential.js';
import type { EntitlementDependencies } from './evaluate-entitlement.js';
import type { EvaluationInput } from './evaluation-request.js';
import type { Reservations } from './ports.js';
import type { RecentPreparations } from './recent-preparations.js';
import type { AwayConsumption } from './store-away/away-consumption.js';

export interface ConsumeDependencies extends EntitlementDependencies {
  readonly batcher: AwayConsumption;
  readonly recent: RecentPreparations;
  readonly reservations: Reservations;
  /** Registers a customer that a server key named and nobody knew, and makes it known to this process. */
  readonly registerCustomer: (who: CustomerRegistration) => Promise<void>;
}

export interface CustomerRegistration {
  readonly credential: Credential;
  readonly requestId: string;
  readonly environmentId: string;
  readonly customerKey: string;
}

export interface ConsumeInput extends EvaluationInput {
  readonly operation: UsageOperation;
  readonly requestId: string;
  /** The header `Idempotency-Key` as sent. */
  readonly idempotencyKey: string | undefined;
  /** The whole body: what two calls with one key are compared by. */
  readonly body: unknown;
  /** Where the body alone does not say all that the call asks. */
  readonly call?: CanonicalCall;
  /** Reserve, settle, and the release of a hold. */
  readonly reservation?: ReservationAsk;
  readonly items: readonly {
    readonly key: string;
    readonly amount: number | null;
    readonly attributes: JsonObject;
    readonly holder?: string | null;
  }[];
  readonly mode: 'all' | 'upTo';
}
