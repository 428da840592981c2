import type { EvaluationContext, Subject } from './context.js';
import type { CustomerState, Instant } from './customer.js';

/**
 * The arguments of every decision. The engine is a function of these and of nothing else: the same request gives the same
 * decision in the server, in an application's process, in the command line tool and in the browser (law 5).
 */
export interface EvaluationRequest<Snapshot> {
  readonly snapshot: Snapshot;
  /**
   * What is known of the customer; `null` when nobody is proven to be asked about (no customer, or an unproven one);
   * `unavailable` when it could not be read: what needs a fact of it then fails with `CUSTOMER_STATE_UNAVAILABLE` (law 1).
   */
  readonly customer: CustomerState | 'unavailable' | null;
  readonly subject: Subject;
  readonly context: EvaluationContext;
  readonly now: Instant;
}
