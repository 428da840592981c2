import { lockBillingCustomer } from '../../store/billing-rows.js';
import { isDatabaseUnavailable } from '../../store/database-error.js';
import { customersToDecideAgain, findLinkable, postponeDeciding } from '../../store/inbox-rows.js';
import { fromInstant } from '../../store/instant.js';
import { type ContractServices, changeData } from '../contracts/data-change.js';
import { applyBilling } from './apply-billing.js';
import { linkIfNew } from './take-in-news.js';

/* What nobody tells: what the clock changes, and what may be decided now because somebody made what was missing. */

export interface DecidingServices extends ContractServices {
  readonly onProblem: (problem: string, error: unknown) => void;
}

const AT_ONCE = 100;
const AFTER_FAILURE_MILLISECONDS = 60_000;

function context(reason: string) {
  return {
    actor: { kind: 'billing', id: 'clock', onBehalfOf: null },
    requestId: 'billing-clock',
    reason,
  } as const;
}

/** Add-ons whose own subscription ran out, or the license that they stood on; and what is to be resolved, looked at again. */
export async function decideAgain(services: DecidingServices): Promise<void> {
  const now = services.clock.now();
  const customers = await customersToDecideAgain(services.database, fromInstant(now), AT_ONCE);
  for (const { environmentId, key, id } of customers) {
    const isDecided = await orReport(services, () =>
      changeData(
        services,
        context('What was bought ran out by the clock, or means something now.'),
        environmentId,
        async (change) => {
          const customer = await change.lockCustomer(key);
          if (customer !== null) await applyBilling(services, change, customer);
          return { item: null, created: false };
        },
      ),
    );
    // Else so many of them would keep all others from their turn.
    const until = fromInstant(now + AFTER_FAILURE_MILLISECONDS);
    if (!isDecided) await postponeDeciding(services.database, id, fromInstant(now), until);
  }
}

/** Customers that a provider named before they were made here. */
export async function linkAgain(services: DecidingServices): Promise<void> {
  for (const found of await findLinkable(services.database, AT_ONCE)) {
    await orReport(services, () =>
      changeData(
        services,
        context('The customer that the provider named is there now.'),
        found.environmentId,
        async (change) => {
          await lockBillingCustomer(change.transaction, found.connectionId, found.customer);
          await linkIfNew(change, found.connectionId, found.customer, found.key);
          const customer = await change.lockCustomer(found.key);
          if (customer !== null) await applyBilling(services, change, customer);
          return { item: null, created: false };
        },
      ),
    );
  }
}

/** One customer of whom nothing can be decided must not keep the others from it. */
async function orReport(services: DecidingServices, work: () => Promise<unknown>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    if (isDatabaseUnavailable(error)) throw error;
    services.onProblem('what was bought could not be decided again', error);
    return false;
  }
}
