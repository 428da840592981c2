import type { AccountState, Instant } from '@pennon/engine/model/customer';
import { answerInTime } from './answer-in-time.js';
import type { Credential } from './credential.js';
import {
  type EvaluationDependencies,
  type EvaluationInput,
  type PreparedEvaluation,
  prepareEvaluation,
} from './evaluation-request.js';
import type { EnvironmentVersions } from './ports.js';
import { ServiceError } from './service-error.js';
import { isStorableKey } from './storable-key.js';

/** What the store holds at the moment of asking, in one round trip and without a lock. */
export interface FreshBalances {
  read(question: {
    readonly environmentId: string;
    readonly productId: string;
    /** `null`: nobody is named, and only catalog and environment are asked about. */
    readonly customerKey: string | null;
  }): Promise<{
    readonly now: Instant;
    readonly revision: number | null;
    /** `null`: there is no such customer. */
    readonly customerVersion: number | null;
    readonly versions: EnvironmentVersions;
    readonly accounts: readonly AccountState[];
  }>;
}

const CATCH_UP_MILLISECONDS = 1000;
/** Another round only where what was just read makes the context name another customer, which moves do not do all the time. */
const ROUNDS = 3;

/** As `prepareEvaluation`, with balances, catalog and customer at least as new as the question (OEP: `consistency: strong`). */
export async function prepareStrong(
  dependencies: EvaluationDependencies & { readonly balances: FreshBalances },
  credential: Credential,
  input: EvaluationInput,
): Promise<PreparedEvaluation> {
  let prepared = await prepareEvaluation(dependencies, credential, input);
  for (let round = 0; round < ROUNDS; round += 1) {
    if (prepared.request?.customer === 'unavailable') {
      throw unreadable(null);
    }
    // A customer that this process does not know may be there by now: what is not known is asked for like what is.
    const customerKey = prepared.request?.subject.customerKey ?? null;
    const fresh = await readFresh(dependencies, prepared, storable(customerKey));
    const again = await prepareEvaluation(dependencies, credential, {
      ...input,
      consistency: undefined,
      atLeast: fresh.versions,
    });
    if ((again.request?.subject.customerKey ?? null) === customerKey) {
      return withBalances(again, fresh);
    }
    prepared = again;
  }
  throw unreadable(null);
}

function storable(customerKey: string | null): string | null {
  return customerKey !== null && isStorableKey(customerKey) ? customerKey : null;
}

type Fresh = Awaited<ReturnType<FreshBalances['read']>>;

/** Reads the store, and lets this process catch up with it. */
async function readFresh(
  { balances, snapshots, customers }: EvaluationDependencies & { readonly balances: FreshBalances },
  { environmentId, productId }: PreparedEvaluation,
  customerKey: string | null,
): Promise<Fresh> {
  const reading = balances.read({ environmentId, productId, customerKey });
  const fresh = await answerInTime(reading).catch((error: unknown) => {
    throw unreadable(error);
  });
  const { revision, customerVersion } = fresh;
  await Promise.all([
    revision === null ? null : snapshots.atLeast(productId, environmentId, revision, CATCH_UP_MILLISECONDS),
    customerKey === null || customerVersion === null
      ? null
      : customers.atLeast(environmentId, customerKey, customerVersion, CATCH_UP_MILLISECONDS),
  ]);
  return fresh;
}

function withBalances(prepared: PreparedEvaluation, fresh: Fresh): PreparedEvaluation {
  const { request, stamp } = prepared;
  if (request === null) {
    return prepared;
  }
  const { customer } = request;
  if (customer === 'unavailable') {
    throw unreadable(null);
  }
  const product = request.snapshot.productKey;
  const accounts = fresh.accounts.map((account) => ({ ...account, product }));
  return {
    ...prepared,
    request: {
      ...request,
      now: fresh.now,
      customer: customer === null ? null : { ...customer, accounts },
    },
    stamp: { ...stamp, asOf: fresh.now },
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
