import { readFileSync } from 'node:fs';

export interface LifecycleOptions {
  /** Brings everything up. Signals are heard before it begins: one that comes meanwhile stops what has come up, and nothing is left running. */
  readonly start?: () => Promise<void>;
  /** Drains and ends everything that `start` has brought up; called once, also when `start` has failed half-way. */
  readonly stop: () => Promise<void>;
  /** The process that started us (npm): when it dies, by `kill -9` even, nobody is left who would stop us. */
  readonly parentPid?: number;
  /** One line for the operator. */
  readonly log: (line: string) => void;
  /** What `stop` may take. 25 seconds by default: orchestrators kill after 30. */
  readonly drainMilliseconds?: number;
  readonly parentPollMilliseconds?: number;
}

/** A terminal that closes (SIGHUP) would else end the process without a drain. */
const signals = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

/**
 * Runs until a signal comes or the parent dies, then drains once, whatever else comes. Answers the exit code: 0 when everything was
 * drained, 1 when that failed or took too long. Rejects with what `start` rejected with.
 *
 * Ctrl-C reaches the whole foreground group, and npm passes on what it gets: the same wish comes two or three times. So further
 * signals change nothing; the deadline sees to it that the end comes.
 */
export async function runUntilStopped(options: LifecycleOptions): Promise<number> {
  const { log } = options;
  const wish = hearWishes(options);
  // When the terminal or npm is gone, so is our output; that must not cut the drain short.
  process.stdout.on('error', ignore);
  process.stderr.on('error', ignore);
  try {
    await options.start?.();
    log(`Stopping: ${await wish.first}.`);
    return await drain(options);
  } catch (error) {
    await drain(options);
    throw error;
  } finally {
    wish.end();
  }
}

function hearWishes(options: LifecycleOptions): { readonly first: Promise<string>; end(): void } {
  const { promise: first, resolve } = withResolver();
  const onSignal = (signal: NodeJS.Signals) => resolve(signal);
  for (const signal of signals) process.on(signal, onSignal);
  const timer = watchParent(options, () => resolve('the process that started this one has ended'));
  return {
    first,
    end() {
      clearInterval(timer);
      for (const signal of signals) process.off(signal, onSignal);
    },
  };
}

function watchParent(options: LifecycleOptions, onDeath: () => void): NodeJS.Timeout | undefined {
  const { parentPid } = options;
  if (parentPid === undefined) return undefined;
  const directParent = process.ppid;
  return setInterval(() => {
    // Another direct parent means that ours died; npm may be one further up, behind a shell.
    if (process.ppid !== directParent || !isRunning(parentPid)) onDeath();
  }, options.parentPollMilliseconds ?? 250);
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
  return !/^State:\s+Z/m.test(statusOf(pid));
}

/** What the kernel says of a process; empty where it does not say it as a file. */
function statusOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/status`, 'utf8');
  } catch {
    return '';
  }
}

async function drain({ stop, log, drainMilliseconds = 25_000 }: LifecycleOptions): Promise<number> {
  const { promise: late, resolve } = withResolver();
  const timer = setTimeout(() => resolve('late'), drainMilliseconds);
  try {
    const outcome = await Promise.race([stop(), late]);
    if (outcome === 'late') {
      log(`Stopping took longer than ${drainMilliseconds / 1000} s; what is left is given up.`);
      return 1;
    }
    log('Stopped.');
    return 0;
  } catch (error) {
    log(`Stopping failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
    return 1;
  } finally {
    clearTimeout(timer);
  }
}

function withResolver(): { promise: Promise<string>; resolve: (value: string) => void } {
  let resolve: (value: string) => void = ignore;
  const promise = new Promise<string>((fulfil) => {
    resolve = fulfil;
  });
  return { promise, resolve };
}

function ignore(): void {}
