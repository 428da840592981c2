import type { JsonObject, JsonValue } from './json.js';

/**
 * The facts that a caller gives for one evaluation, in named parts (P-1). `user`, `team`, `instance` and `customer` are
 * always objects here: `"x"` was read as `{ key: "x" }`, and `instanceId` as `instance.key`. Everything else is as sent.
 */
export interface EvaluationContext {
  readonly targetingKey?: string;
  readonly parts: Readonly<Record<string, JsonValue>>;
}

export interface SubjectInstance {
  /** The key, also when the caller named the instance by id. */
  readonly key: string;
  readonly id: string | null;
  readonly metadata: JsonObject;
}

/**
 * Who is asked about, after identity was resolved (DESIGN: who is asked about). `proven` is false for a client key without a
 * customer token: then `customerKey` is null, the parts feed rules and buckets only, and the answer says
 * `CUSTOMER_NOT_PROVEN`.
 */
export interface Subject {
  readonly proven: boolean;
  readonly customerKey: string | null;
  readonly instance: SubjectInstance | null;
  readonly userKey: string | null;
  readonly teamKey: string | null;
  /**
   * The team is only what the holder of a customer token says: like everything of a context it feeds rules and buckets, and gives no
   * feature.
   */
  readonly teamClaimed?: true;
  /** The SKU a server key's caller sent as `plan.key`, for a customer without a license. */
  readonly sku: string | null;
}

/** Server facts that a rule may read and a caller cannot forge (K-3), and what they overwrite of the caller's parts. */
export interface ServerFacts {
  readonly plan: JsonObject | null;
  readonly customer: JsonObject | null;
  readonly license: JsonObject | null;
}
