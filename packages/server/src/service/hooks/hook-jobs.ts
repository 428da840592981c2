import type { HookSender } from '../../outbound/send-hook.js';
import type { PlanMoveServices } from '../contracts/plan-move-preview.js';
import { createClockTeller } from './clock-teller.js';
import { disableGone } from './disable-gone.js';
import { createEventNumberer } from './event-numberer.js';
import { type AttemptOutcome, createHookDispatcher } from './hook-dispatcher.js';
import { createHookKeeper } from './hook-keeper.js';
import { createHookLag, type HookLagReport } from './hook-lag.js';
import { createStateTeller } from './state-teller.js';

/** What runs behind webhooks in one process: numbering and keeping under leases, sending in every one. */
export interface HookJobs {
  start(): void;
  stop(): Promise<void>;
  /** A webhook changed, or something became due in this process. */
  refresh(): void;
  report(): HookLagReport & { readonly failing: number };
}

export interface HookJobsOptions {
  readonly services: PlanMoveServices;
  readonly sender: HookSender;
  readonly userAgent: string;
  readonly onAttempt?: (outcome: AttemptOutcome) => void;
  readonly onProblem: (problem: string, error: unknown) => void;
}

export function createHookJobs(options: HookJobsOptions): HookJobs {
  const { services, onProblem } = options;
  const { database, clock } = services;
  const dispatcher = createHookDispatcher({
    ...options,
    database,
    directory: services.directory,
    clock,
    random: Math.random,
    async onGone(webhookId, url) {
      await disableGone(services, webhookId, url);
      dispatcher.refresh();
    },
  });
  const numberer = createEventNumberer({ database, onProblem, onPutBy: () => dispatcher.wake() });
  const keeper = createHookKeeper({ database, clock, onProblem });
  const teller = createClockTeller({ ...services, onProblem });
  const lag = createHookLag({ database, clock, onProblem });
  const states = createStateTeller({ ...services, onProblem });
  return {
    start() {
      numberer.start();
      states.start();
      lag.start();
      keeper.start();
      teller.start();
      dispatcher.start();
    },
    async stop() {
      await Promise.all([numberer, keeper, teller, states, lag, dispatcher].map((job) => job.stop()));
    },
    refresh: () => dispatcher.refresh(),
    report: () => ({ ...lag.report(), failing: dispatcher.failing() }),
  };
}
