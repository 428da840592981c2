import type { AccountState, Instant } from '@pennon/engine/model/customer';
import type { Credential } from './credential.js';
import {
  type EvaluationDependencies,
  type EvaluationInput,
  type PreparedEvaluation,
  prepareEvaluation,
} from './evaluation-request.js';
import type { EnvironmentVersions } from './ports.js';
import { ServiceError } from './service-error.js';

/** What the store holds at the moment of asking, in one statement and without a lock. */
export interface FreshBalances {
  read(question: {
    readonly environmentId: string;
    readonly productId: string;
    readonly customerId: string;
  }): Promise<{
    readonly now: Instant;
    readonly revision: number | null;
    /** `null`: the customer's row is gone. */
    readonly customerVersion: number | null;
    readonly versions: EnvironmentVersions;
    readonly accounts: readonly AccountState[];
  }>;
}

const CATCH_UP_MILLISECONDS = 1000;

/** As `prepareEvaluation`, with balances, catalog and customer at least as new as the question (OEP: `consistency: strong`). */
export async function prepareStrong(
  dependencies: EvaluationDependencies & { readonly balances: FreshBalances },
  credential: Credential,
  input: EvaluationInput,
): Promise<PreparedEvaluation> {
  const prepared = await prepareEvaluation(dependencies, credential, input);
  const { environmentId, productId, request } = prepared;
  if (request?.customer === 'unavailable') {
    throw unreadable(null);
  }
  const customer = request?.customer ?? null;
  if (customer === null || customer.id === null) {
    return prepared;
  }
  const question = { environmentId, productId, customerId: customer.id };
  const fresh = await dependencies.balances.read(question).catch((error: unknown) => {
    throw unreadable(error);
  });
  const { snapshots, customers } = dependencies;
  await Promise.all([
    fresh.revision === null
      ? null
      : snapshots.atLeast(productId, environmentId, fresh.revision, CATCH_UP_MILLISECONDS),
    fresh.customerVersion === null
      ? null
      : customers.atLeast(environmentId, customer.key, fresh.customerVersion, CATCH_UP_MILLISECONDS),
  ]);
  const again = await prepareEvaluation(dependencies, credential, {
    ...input,
    consistency: undefined,
    atLeast: fresh.versions,
  });
  const state = again.request?.customer ?? null;
  if (again.request === null || state === null || state === 'unavailable') {
    return again;
  }
  const product = again.request.snapshot.productKey;
  const accounts = fresh.accounts.map((account) => ({ ...account, product }));
  return {
    ...again,
    request: { ...again.request, now: fresh.now, customer: { ...state, accounts } },
    stamp: { ...again.stamp, asOf: fresh.now },
  };
}

function unreadable(cause: unknown): ServiceError {
  return new ServiceError(
    'unavailable',
    'CUSTOMER_STATE_UNAVAILABLE',
    'The balances could not be read from the store, and a strong answer was asked for. Ask again, or with `consistency: cached`.',
    { retryAfterSeconds: 1, cause },
  );
}
