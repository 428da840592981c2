/**
 * Calls of many events, cut into chunks that are each one transaction. A few chunks are under way at once; what arrives meanwhile waits
 * and forms the next ones, so that they grow with the load. Idle, it holds nothing, not even a timer.
 */
export interface UsageRecorder<Item, Result> {
  /** One result for each item, in their order. Rejects where the outcome of any of them is unknown: then all are told again. */
  submit(lane: string, items: readonly Item[]): Promise<readonly Result[]>;
  /** Resolves when everything that was accepted has settled; refuses whatever comes after the call. */
  drain(): Promise<void>;
  /** For metrics. */
  report(): { readonly waiting: number; readonly underWay: number };
}

export interface UsageRecorderOptions<Item, Result> {
  /** Records a chunk of one lane: one result for each item. `deadline` in milliseconds of `performance.now()`. */
  readonly run: (items: readonly Item[], deadline: number) => Promise<readonly Result[]>;
  readonly maximumChunk: number;
  readonly maximumQueue: number;
  readonly maximumUnderWay: number;
  readonly deadlineMilliseconds: number;
  readonly refuse: (why: 'queue-full' | 'closed' | 'deadline') => unknown;
}

interface Call<Result> {
  readonly results: (Result | undefined)[];
  left: number;
  readonly deadline: number;
  readonly resolve: (results: readonly Result[]) => void;
  readonly reject: (error: unknown) => void;
}

interface Waiting<Item, Result> {
  readonly item: Item;
  readonly index: number;
  readonly call: Call<Result>;
}

export function createUsageRecorder<Item, Result>(
  options: UsageRecorderOptions<Item, Result>,
): UsageRecorder<Item, Result> {
  /** Lanes in the order in which their turn comes. */
  const lanes = new Map<string, Waiting<Item, Result>[]>();
  let waiting = 0;
  let underWay = 0;
  let closed = false;
  let idle: (() => void) | null = null;

  function submit(lane: string, items: readonly Item[]): Promise<readonly Result[]> {
    if (closed) return Promise.reject(options.refuse('closed'));
    if (items.length === 0) return Promise.resolve([]);
    if (waiting > 0 && waiting + items.length > options.maximumQueue) {
      return Promise.reject(options.refuse('queue-full'));
    }
    return new Promise((resolve, reject) => {
      const call: Call<Result> = {
        results: new Array<Result | undefined>(items.length),
        left: items.length,
        deadline: performance.now() + options.deadlineMilliseconds,
        resolve,
        reject,
      };
      let queue = lanes.get(lane);
      if (queue === undefined) {
        queue = [];
        lanes.set(lane, queue);
      }
      for (const [index, item] of items.entries()) queue.push({ item, index, call });
      waiting += items.length;
      startMore();
    });
  }

  function startMore(): void {
    while (underWay < options.maximumUnderWay) {
      const chunk = takeChunk();
      if (chunk.length === 0) return;
      underWay += 1;
      void work(chunk);
    }
  }

  /** The next chunk of the lane whose turn it is; a lane that has more goes to the end. */
  function takeChunk(): readonly Waiting<Item, Result>[] {
    const [next] = lanes;
    if (next === undefined) return [];
    const [lane, queue] = next;
    const chunk = queue.splice(0, options.maximumChunk);
    lanes.delete(lane);
    if (queue.length > 0) lanes.set(lane, queue);
    waiting -= chunk.length;
    return chunk;
  }

  async function work(chunk: readonly Waiting<Item, Result>[]): Promise<void> {
    const now = performance.now();
    // Whoever was told that it is too late tells it all again; what is recorded then is known by its key.
    const alive = chunk.filter(({ call }) => {
      if (call.deadline <= now) call.reject(options.refuse('deadline'));
      return call.deadline > now;
    });
    try {
      if (alive.length > 0) {
        const deadline = Math.min(...alive.map(({ call }) => call.deadline));
        const results = await options.run(
          alive.map(({ item }) => item),
          deadline,
        );
        settle(alive, results);
      }
    } catch (error) {
      for (const { call } of alive) call.reject(error);
    }
    underWay -= 1;
    startMore();
    if (underWay === 0) idle?.();
  }

  function settle(chunk: readonly Waiting<Item, Result>[], results: readonly Result[]): void {
    for (const [place, { index, call }] of chunk.entries()) {
      call.results[index] = results[place];
      call.left -= 1;
      if (call.left === 0) call.resolve(call.results as readonly Result[]);
    }
  }

  return {
    submit,
    async drain() {
      closed = true;
      if (underWay > 0) {
        await new Promise<void>((resolve) => {
          idle = resolve;
        });
      }
    },
    report: () => ({ waiting, underWay }),
  };
}
