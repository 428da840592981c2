/* Webhooks and what they are sent, as Kysely sees them; see `tables.ts`. */

export interface WebhookTable {
  id: string;
  environment_id: string;
  /** `null`: what concerns any product. */
  product_id: string | null;
  url: string;
  description: string;
  /** The JSON of a list of types; `null`: all of them. */
  types: string | null;
  /** Nothing is put by for one that is `disabled`, and nothing is sent to it; one that is `removed` is there for nobody. */
  state: 'enabled' | 'disabled' | 'removed';
  /** Why it is as it is, where nobody asked for that: `gone`. */
  state_reason: string | null;
  /** Since when its listener accepts nothing; `null`: it does, as far as is known. */
  failing_since: Date | null;
  version: number;
  created_at: Date;
  changed_at: Date;
}

export interface WebhookSecretTable {
  webhook_id: string;
  id: string;
  environment_id: string;
  secret: Buffer;
  created_at: Date;
  ends_at: Date | null;
}

export interface EventStreamTable {
  /** A customer's or an environment's id. */
  stream_id: string;
  environment_id: string;
  last_sequence: number;
}

export interface ClockToldTable {
  environment_id: string;
  /** `grant end`, for example. */
  boundary: string;
  told_until: Date;
}

export interface StateDueTable {
  id: string;
  environment_id: string;
  customer_id: string;
}

export interface StateToldTable {
  customer_id: string;
  product_id: string;
  environment_id: string;
  /** The JSON of what each feature gave, by its key. */
  entitlements: string;
  /** Of the whole state, but for what use alone moves. */
  digest: string;
  /** `null`: time alone changes nothing. */
  next_at: Date | null;
}

export interface StateWalkTable {
  environment_id: string;
  product_id: string;
  /** Nothing is known yet of those that it has not come to. */
  is_first: boolean;
  is_walking: boolean;
  /** Something happened that concerns those that it has come by. */
  again: boolean;
  after_key: string | null;
}

export interface WebhookDeliveryTable {
  webhook_id: string;
  event_id: string;
  environment_id: string;
  customer_id: string | null;
  type: string;
  occurred_at: Date;
  state: 'waiting' | 'delivered' | 'dead';
  attempts: number;
  next_attempt_at: Date | null;
  /** Until when whoever holds it has it to itself. */
  claimed_until: Date | null;
  created_at: Date;
  ended_at: Date | null;
}

export interface WebhookAttemptTable {
  webhook_id: string;
  event_id: string;
  id: string;
  environment_id: string;
  /** From 1; begins again with a replay. */
  attempt: number;
  attempted_at: Date;
  outcome: 'answered' | 'refused' | 'failed';
  status: number | null;
  why: string | null;
  milliseconds: number;
}
