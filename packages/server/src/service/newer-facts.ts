import type { LockedFrame } from '../store/account-transaction.js';
import type { Evaluations } from './batch-request.js';
import type { ConsumeRequest } from './consume-request.js';
import type { CustomerStates, Snapshots } from './ports.js';
import { ServiceError } from './service-error.js';
import type { TurnClock } from './turn-clock.js';

/* What the store holds that this process does not know yet: read under the locks, and loaded before anything is decided. */

export interface NewerFactsDependencies {
  readonly snapshots: Snapshots;
  readonly customers: CustomerStates;
  readonly clock: Pick<TurnClock, 'now' | 'nextTurn'>;
}

interface Newer {
  readonly revision: number | null;
  readonly customerVersion: number | null;
}

/** Of revision and customer: what the store holds that a decision of this process would not know (law 2). */
export function whatIsNewer(frame: LockedFrame, evaluations: Evaluations): Newer | null {
  if (frame.customer === null) {
    throw new ServiceError(
      'not-found',
      'CUSTOMER_NOT_FOUND',
      'The customer does not exist any more, so nothing can be consumed.',
    );
  }
  let revision: number | null = null;
  let customerVersion: number | null = null;
  for (const evaluation of evaluations) {
    if (evaluation instanceof ServiceError) {
      continue;
    }
    const { snapshot, customer } = evaluation.request;
    if (frame.revision !== null && frame.revision > snapshot.revision) {
      revision = frame.revision;
    }
    const known = customer === null || customer === 'unavailable' ? -1 : customer.version;
    if (frame.customer.version > known) {
      customerVersion = frame.customer.version;
    }
  }
  return revision === null && customerVersion === null ? null : { revision, customerVersion };
}

/** The same of users, teams, instances and the grants of groups and segments. */
export function isEnvironmentNewer({ versions }: LockedFrame, evaluations: Evaluations): boolean {
  return evaluations.some(
    (evaluation) =>
      !(evaluation instanceof ServiceError) &&
      (versions.subjects > evaluation.versions.subjects || versions.shared > evaluation.versions.shared),
  );
}

export async function catchUp(
  { snapshots, customers, clock }: NewerFactsDependencies,
  { productId, environmentId, customerKey }: ConsumeRequest,
  newer: Newer | null,
  deadline: number,
): Promise<void> {
  if (newer === null) {
    return;
  }
  const left = Math.max(1, deadline - clock.now());
  if (newer.revision !== null) {
    await snapshots.atLeast(productId, environmentId, newer.revision, left);
  }
  if (newer.customerVersion !== null) {
    await customers.atLeast(environmentId, customerKey, newer.customerVersion, left);
  }
}
