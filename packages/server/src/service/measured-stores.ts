import type { Accounts } from '../store/accounts.js';
import type { UsageStore } from '../store/usage-store.js';
import type { AheadOutcome } from '../store/write-ahead.js';
import type { Metrics } from './metrics.js';

/* The stores of usage, counted: transactions and how long each waits for its locks, and after the commit what was told. */

export function measuredAccounts(accounts: Accounts, metrics: Metrics): Accounts {
  return {
    read: (question) => accounts.read(question),
    async begin(request, behind) {
      const began = performance.now();
      const transaction = await accounts.begin(request, behind);
      metrics.observeConsumeBatch(request.idempotencyKeys.length, (performance.now() - began) / 1000);
      return {
        ...transaction,
        async commit(write) {
          const report = await transaction.commit(write);
          for (const { type } of write.notices) metrics.countNotice(type);
          if (write.wouldHaveDenied > 0) metrics.countWouldHaveDenied(write.wouldHaveDenied);
          return report;
        },
      };
    },
    async writeAhead(request, ahead, behind) {
      const { place, outcome } = await accounts.writeAhead(request, ahead, behind);
      return { place, outcome: outcome.then(count) };

      function count(done: AheadOutcome): AheadOutcome {
        metrics.countBatchAhead(request.idempotencyKeys.length, done.stood);
        const { wouldHaveDenied } = ahead.write;
        if (done.stood && wouldHaveDenied > 0) metrics.countWouldHaveDenied(wouldHaveDenied);
        return done;
      }
    },
    isAwaited: (place) => accounts.isAwaited(place),
    async beginTogether(requests) {
      const began = performance.now();
      const transaction = await accounts.beginTogether(requests);
      const keys = requests.reduce((sum, { idempotencyKeys }) => sum + idempotencyKeys.length, 0);
      metrics.observeConsumeBatch(keys, (performance.now() - began) / 1000);
      return {
        ...transaction,
        async commit(writes) {
          await transaction.commit(writes);
          for (const write of writes) {
            for (const { type } of write?.notices ?? []) metrics.countNotice(type);
            if (write !== null && write.wouldHaveDenied > 0)
              metrics.countWouldHaveDenied(write.wouldHaveDenied);
          }
        },
      };
    },
    close: () => accounts.close(),
  };
}

export function measuredUsage(usage: UsageStore, metrics: Metrics): UsageStore {
  return {
    async begin(request) {
      const transaction = await usage.begin(request);
      return {
        ...transaction,
        async commit(write) {
          await transaction.commit(write);
          for (const { type } of write.notices) metrics.countNotice(type);
        },
      };
    },
    close: () => usage.close(),
  };
}
