import type { ConsumptionDecision, ConsumptionMode } from '@pennon/engine/model/decision';
import type { EvaluationRequest } from '@pennon/engine/model/evaluation';
import type { JsonObject } from '@pennon/engine/model/json';
import type { Snapshot } from '@pennon/engine/snapshot/snapshot';
import type { AccountKey, RecordedOperation } from '../store/account-transaction.js';
import type { EnvironmentVersions } from './ports.js';
import type { ServiceError } from './service-error.js';

export type UsageOperation = Exclude<RecordedOperation, 'expire'>;

/** What is to be held, or which hold is to end. */
export type ReservationAsk =
  | { readonly kind: 'make'; readonly ttlMilliseconds: number }
  | { readonly kind: 'end'; readonly id: string };

/** One call on its way into a batch: everything that does not depend on what is read under the lock. */
export interface ConsumeRequest {
  readonly operation: UsageOperation;
  readonly environmentId: string;
  readonly productId: string;
  readonly customerKey: string;
  readonly customerId: string;
  readonly idempotencyKey: string;
  readonly requestHash: string;
  readonly mode: ConsumptionMode;
  /** As the consumption rows name who did it: `server-key:<id>`. */
  readonly actor: string;
  /** Nothing is asked for: the accounts are only brought to the period and the limit of now, and nobody is answered anything. */
  readonly touches?: true;
  /** Absent: neither reserve, nor settle, nor the release of a hold. */
  readonly reservation?: ReservationAsk;
  /**
   * Consume only: what its caller was told while the store was away, item by item. It has happened, so that it is counted whatever room is
   * left, and these are the decisions that a repeat gets.
   */
  readonly happened?: readonly ConsumptionDecision[];
  /** From what this process knew when the call came. */
  readonly evaluation: ConsumeEvaluation;
  /** The same from what it knows now: asked when the store turned out to know more. Never rejects. */
  readonly evaluate: (atLeast: EnvironmentVersions) => Promise<ConsumeEvaluation | ServiceError>;
}

export interface ConsumeEvaluation {
  readonly request: EvaluationRequest<Snapshot>;
  readonly versions: EnvironmentVersions;
  /** Why none of this can be consumed (a feature that is not there): said only where there is no earlier answer. */
  readonly items: readonly ConsumeItem[] | ServiceError;
}

export interface ConsumeItem {
  readonly key: string;
  readonly account: AccountKey;
  /** `null`: by the feature's measure, else 1. */
  readonly amount: number | null;
  readonly attributes: JsonObject;
  readonly holder: string | null;
}

/** What a caller is answered, stored or decided now. */
export interface ConsumeAnswer {
  readonly decisions: readonly ConsumptionDecision[];
  /** The database's clock when it was decided. */
  readonly decidedAt: number;
  readonly replayed: boolean;
}
