import type { Instant } from '@pennon/engine/model/customer';
import type { EvaluationRequest } from '@pennon/engine/model/evaluation';
import type { JsonObject } from '@pennon/engine/model/json';
import type { CompiledFeature, Snapshot } from '@pennon/engine/snapshot/snapshot';
import type { MeterName } from '../../store/usage-transaction.js';
import type { ServiceError } from '../service-error.js';

/** What already happened, as it was told. */
export interface RecordedEvent {
  readonly source: string;
  readonly id: string;
  readonly type: string;
  /** `null`: nobody said. */
  readonly time: Instant | null;
  readonly key: string;
  readonly amount: number | null;
  readonly attributes: JsonObject;
  /** The `id` of the event of the same source that it corrects. */
  readonly corrects: string | null;
  /** The thing that holds the units. */
  readonly holder: string | null;
}

/** Who one or several events of a call are about. */
export interface UsageSubject {
  readonly customerKey: string;
  readonly customerId: string;
  readonly evaluation: EvaluationRequest<Snapshot>;
  /** The same from what the process knows now: asked when the store turned out to know more. Never rejects. */
  readonly again: () => Promise<UsageSubject | ServiceError>;
}

/** One event on its way into a chunk: everything that does not depend on what is read under the lock. */
export interface UsageItem {
  readonly environmentId: string;
  readonly productId: string;
  /** Which event it is, of one environment: a hash, as a UUID. */
  readonly eventKey: string;
  readonly correctsKey: string | null;
  readonly event: RecordedEvent;
  /** As JSON; `null` where there are none. */
  readonly attributesText: string | null;
  readonly subject: UsageSubject;
  readonly feature: CompiledFeature;
  readonly meter: MeterName;
  /** The account by one text, see `meterText`. */
  readonly meterKey: string;
  /** As the rows name who told it: `server-key:<id>`. */
  readonly actor: string;
}

export type UsageResult =
  | { readonly status: 'accepted'; readonly period: 'current' | 'earlier' | 'moved' }
  | { readonly status: 'duplicate' }
  | { readonly status: 'refused'; readonly errorCode: string; readonly message: string };

export function refused(errorCode: string, message: string): UsageResult {
  return { status: 'refused', errorCode, message };
}

/** An account by one text: within one environment and product. */
export function meterText({ customerId, feature, scope }: MeterName): string {
  return `${customerId}|${feature}|${scope}`;
}
