import { Worker } from 'node:worker_threads';
import { isDatabaseUnavailable } from '../store/database-error.js';
import type { WorkerAnswer, WorkerJob, WorkerTask } from './catalog-worker.js';
import type { PublishPlan } from './publish-plan.js';
import { type FaultKind, ServiceError } from './service-error.js';

/** A document of ten thousand flags takes seconds, on a crowded machine tens of them; what takes longer is refused. */
const DEADLINE_MILLISECONDS = 120_000;
const HEAP_MEGABYTES = 1024;

/** The thread in which documents are checked and compiled. One serves any number of databases, one job after the other. */
export interface PublishingThread {
  /** Throws `ServiceError`: 404 for an unknown product, 503 when it cannot be done now. */
  run(task: WorkerTask): Promise<PublishPlan | string>;
  /** What is asked of this database fails from now on; its connection is closed. */
  leave(connectionString: string): Promise<void>;
  stop(): Promise<void>;
}

interface Waiting {
  readonly connectionString: string;
  readonly resolve: (result: PublishPlan | string) => void;
  readonly reject: (error: unknown) => void;
  readonly timer: NodeJS.Timeout;
}

/** The thread starts with the first job and again after it broke: a document that breaks it costs its own publish only. */
export function createPublishingThread(
  options: { readonly deadlineMilliseconds?: number } = {},
): PublishingThread {
  const deadline = options.deadlineMilliseconds ?? DEADLINE_MILLISECONDS;
  let worker: Worker | null = null;
  let lastId = 0;
  const waiting = new Map<number, Waiting>();

  function begin(): Worker {
    const started = new Worker(new URL('./catalog-worker.js', import.meta.url), {
      // How this process was started must not decide how the worker reads its file.
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MEGABYTES },
    });
    started.unref();
    started.on('message', settle);
    const broken = (error: unknown) => {
      if (worker !== started) return;
      worker = null;
      for (const one of [...waiting.keys()]) fail(one, unavailable('The publishing thread broke', error));
    };
    started.on('error', broken);
    started.on('exit', broken);
    worker = started;
    return started;
  }

  function take(id: number): Waiting | undefined {
    const one = waiting.get(id);
    waiting.delete(id);
    if (one !== undefined) clearTimeout(one.timer);
    return one;
  }

  function fail(id: number, error: unknown): void {
    take(id)?.reject(error);
  }

  function settle(answer: WorkerAnswer): void {
    if ('result' in answer) take(answer.id)?.resolve(answer.result);
    else if ('left' in answer) take(answer.id)?.resolve('');
    else if ('notFound' in answer) fail(answer.id, productNotFound());
    else fail(answer.id, fromFailure(answer.failure));
  }

  function run(task: WorkerTask): Promise<PublishPlan | string> {
    const target = worker ?? begin();
    lastId += 1;
    const job: WorkerJob = { ...task, id: lastId };
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        // Whatever it is busy with, it cannot be asked to stop.
        void target.terminate();
        fail(job.id, unavailable(`The document was not checked within ${deadline} ms`, null));
      }, deadline);
      timer.unref();
      waiting.set(job.id, { connectionString: task.connectionString, resolve, reject, timer });
      target.postMessage(job);
    });
  }

  return {
    run,
    async leave(connectionString): Promise<void> {
      for (const [id, one] of [...waiting]) {
        if (one.connectionString === connectionString) fail(id, stopping());
      }
      if (worker !== null) await run({ connectionString, leave: true });
    },
    async stop(): Promise<void> {
      const last = worker;
      worker = null;
      for (const id of [...waiting.keys()]) fail(id, stopping());
      await last?.terminate();
    },
  };
}

function stopping(): ServiceError {
  return unavailable('The server is shutting down', null);
}

function productNotFound(): ServiceError {
  return new ServiceError('not-found', 'PRODUCT_NOT_FOUND', 'The product does not exist any more.');
}

function unavailable(what: string, cause: unknown): ServiceError {
  return new ServiceError(
    'unavailable',
    'PUBLISHING_UNAVAILABLE',
    `${what}; nothing was published. Try again.`,
    {
      retryAfterSeconds: 1,
      cause,
    },
  );
}

interface Failure {
  readonly serviceError?: { readonly kind: FaultKind; readonly code: string; readonly message: string };
  readonly message?: string;
  readonly stack?: string;
  readonly code?: string | null;
}

function fromFailure(failure: unknown): Error {
  const { serviceError, message, stack, code } = (failure ?? {}) as Failure;
  if (serviceError !== undefined) {
    return new ServiceError(serviceError.kind, serviceError.code, serviceError.message);
  }
  const error = Object.assign(new Error(message ?? 'The publishing thread failed.'), code ? { code } : {});
  if (stack !== undefined) error.stack = stack;
  return isDatabaseUnavailable(error) ? unavailable('The database cannot be reached', error) : error;
}
