import type { HashRequest } from './catalog-worker.js';
import type { PlanRequest, PublishPlan } from './publish-plan.js';
import { createPublishingThread, type PublishingThread } from './publishing-thread.js';

export interface CatalogWorkshop {
  /** Plans a publish in the worker thread. Throws `ServiceError`: 404 for an unknown product, 503 when it cannot be done now. */
  plan(request: PlanRequest): Promise<PublishPlan>;
  /** What a published revision decides in one environment. */
  effectiveHash(request: HashRequest): Promise<string>;
  stop(): Promise<void>;
}

/** What is done to the catalogs of one database, in a thread of its own or in one that is shared and outlives this. */
export function createCatalogWorkshop(options: {
  readonly connectionString: string;
  readonly sharedThread?: PublishingThread;
}): CatalogWorkshop {
  const { connectionString, sharedThread } = options;
  const thread = sharedThread ?? createPublishingThread();
  return {
    async plan(request): Promise<PublishPlan> {
      const result = await thread.run({ connectionString, request });
      if (typeof result === 'string') throw new TypeError('The publishing thread answered another job.');
      return result;
    },
    async effectiveHash(hash): Promise<string> {
      const result = await thread.run({ connectionString, hash });
      if (typeof result !== 'string') throw new TypeError('The publishing thread answered another job.');
      return result;
    },
    stop: () => (sharedThread === undefined ? thread.stop() : sharedThread.leave(connectionString)),
  };
}
