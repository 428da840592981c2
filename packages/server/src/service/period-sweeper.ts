import { randomUUID } from 'node:crypto';
import type { Kysely } from 'kysely';
import { isDatabaseUnavailable } from '../store/database-error.js';
import { type EndedPeriod, forgetTold, readEndedPeriods } from '../store/ended-periods.js';
import type { Tables } from '../store/tables.js';
import type { ConsumeDependencies, ConsumeInput } from './consume-input.js';
import type { ConsumeEvaluation } from './consume-request.js';
import type { Credential } from './credential.js';
import { prepareEvaluation } from './evaluation-request.js';
import { nothingPublished, prepareKnown } from './known-customer.js';
import { createLeasedSweep, type LeasedSweep } from './leased-sweep.js';
import { ServiceError } from './service-error.js';

/*
 * Opens the next period of accounts that nobody asks about, where somebody was told something of the one that ended: so the notice of the
 * reset comes by the clock, and who was near a limit is not near it any more. It goes the way of every consume, through the customer's
 * lane, and asks for nothing there.
 */

export interface PeriodSweeperOptions {
  readonly database: Kysely<Tables>;
  readonly consume: ConsumeDependencies;
  readonly onProblem: (problem: string, error: unknown) => void;
  readonly pollMilliseconds?: number;
}

const LEASE = 'periods';
const POLL_MILLISECONDS = 2000;
const ACCOUNTS_AT_ONCE = 200;
const TOGETHER = 4;

export function createPeriodSweeper(options: PeriodSweeperOptions): LeasedSweep {
  const { database, consume, onProblem, pollMilliseconds = POLL_MILLISECONDS } = options;

  /** Answers whether the account is done with. */
  async function end(ended: EndedPeriod): Promise<boolean> {
    try {
      await openNextPeriod(consume, ended);
      return true;
    } catch (error) {
      if (isDatabaseUnavailable(error)) return false;
      if (!(error instanceof ServiceError))
        onProblem('a period that ended could not be followed by the next', error);
      // What cannot be read at the moment is tried again; what cannot be resolved never can.
      if (!(error instanceof ServiceError) || error.kind === 'unavailable') return false;
      await forgetTold(database, ended);
      return true;
    }
  }

  async function sweep(isStopping: () => boolean): Promise<'done' | 'more'> {
    const waiting = [...(await readEndedPeriods(database, ACCOUNTS_AT_ONCE))].reverse();
    const isFull = waiting.length === ACCOUNTS_AT_ONCE;
    let done = 0;
    async function work(): Promise<void> {
      for (let next = waiting.pop(); next !== undefined && !isStopping(); next = waiting.pop()) {
        if (await end(next)) done += 1;
      }
    }
    await Promise.all(Array.from({ length: TOGETHER }, work));
    return isFull && done > 0 ? 'more' : 'done';
  }

  return createLeasedSweep({
    database,
    name: LEASE,
    pollMilliseconds,
    sweep,
    onProblem: (error) => onProblem('periods that ended could not be swept', error),
  });
}

async function openNextPeriod(dependencies: ConsumeDependencies, ended: EndedPeriod): Promise<void> {
  const { environmentId, productId, customerId, feature, scope } = ended;
  const credential: Credential = { kind: 'server', keyId: 'clock', environmentId, productId };
  const input = inputOf(dependencies, ended);
  const known = await prepareKnown(dependencies, credential, input);
  if (known.customerId !== customerId) {
    throw new ServiceError(
      'not-found',
      'CUSTOMER_NOT_FOUND',
      `\`${known.customerKey}\` is somebody else by now.`,
    );
  }
  const items: ConsumeEvaluation['items'] = [
    { key: feature, account: { feature, scope }, amount: 0, attributes: {}, holder: null },
  ];
  await dependencies.batcher.submit(`${environmentId}/${known.customerKey}`, {
    operation: 'release',
    touches: true,
    environmentId,
    productId,
    customerKey: known.customerKey,
    customerId,
    idempotencyKey: randomUUID(),
    requestHash: '',
    mode: 'all',
    actor: 'clock',
    evaluation: { request: known.evaluation, versions: known.scope.versions, items },
    evaluate: async (atLeast) => {
      try {
        const { request, versions } = await prepareEvaluation(dependencies, credential, {
          ...input,
          atLeast,
        });
        return request === null ? nothingPublished(input) : { request, versions, items };
      } catch (error) {
        if (error instanceof ServiceError) return error;
        throw error;
      }
    },
  });
}

function inputOf({ snapshots }: ConsumeDependencies, ended: EndedPeriod): ConsumeInput {
  const { environmentId, productId, customerKey, feature, scope } = ended;
  const per = snapshots.current(productId, environmentId)?.features.get(feature)?.per;
  const customer = { key: customerKey };
  return {
    // A release registers nobody.
    operation: 'release',
    context: scope === '' || per === undefined ? { customer } : { customer, [per]: { key: scope } },
    product: undefined,
    environment: undefined,
    consistency: undefined,
    requestId: 'clock',
    idempotencyKey: undefined,
    body: undefined,
    items: [],
    mode: 'all',
  };
}
