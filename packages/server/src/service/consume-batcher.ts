import { PROCESS_CLOCK, type TurnClock } from './turn-clock.js';

/**
 * Requests for one customer, decided together: while one batch is under way, what arrives waits in the customer's lane and
 * forms the next one (DESIGN: consume). An idle lane holds nothing, not even a timer: the first request starts at once.
 */
export interface ConsumeBatcher<Request, Answer> {
  /** Rejects with what `run` or a refusal says; every request settles by its deadline. */
  submit(laneKey: string, request: Request): Promise<Answer>;
  /** Resolves when everything that was accepted has settled; refuses whatever comes after the call. */
  drain(): Promise<void>;
  /** For metrics. */
  report(): { readonly lanes: number; readonly waiting: number };
}

export type Settlement<Answer> =
  | { readonly ok: true; readonly answer: Answer }
  | { readonly ok: false; readonly error: unknown };

/** How a batch stands to the one before and the one after it. `Sent` is what the store knows a batch by. */
export interface BatchCourse<Sent> {
  /** The batch right before; `null`: there was none, or it ended without anything that could be followed. */
  readonly behind: Sent | null;
  /** Of the batch right before: its outcome is not known yet. */
  readonly isUnderWay: boolean;
  /** To be called once everything was decided and is on its way: another batch may follow without waiting for the outcome. */
  readonly onSent: (sent: Sent) => void;
}

export interface ConsumeBatcherOptions<Request, Answer, Sent> {
  /**
   * Decides a batch: one settlement for each request, in their order. `deadline` is the earliest of the batch, in
   * milliseconds of the clock.
   */
  readonly run: (
    requests: readonly Request[],
    deadline: number,
    course: BatchCourse<Sent>,
  ) => Promise<readonly Settlement<Answer>[]>;
  /** Which requests may share a transaction; the batch takes those that agree with its first one. */
  readonly together: (first: Request, other: Request) => boolean;
  /** Of a batch whose outcome is known: whether another process waits for the same customer. */
  readonly isAwaited: (sent: Sent) => boolean;
  readonly maximumBatch: number;
  readonly maximumQueue: number;
  readonly deadlineMilliseconds: number;
  readonly refuse: (why: 'queue-full' | 'deadline' | 'closed' | 'lost') => unknown;
  /** Default: that of the process. */
  readonly clock?: TurnClock;
}

interface Waiting<Request, Answer> {
  readonly request: Request;
  readonly deadline: number;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: unknown) => void;
}

/** What became of a request, by its place in the batch. */
type Outcome<Answer> = (index: number) => Settlement<Answer> | undefined;

/** So many callers are told in one turn of the event loop. */
const TOLD_TOGETHER = 32;

/** Whoever waits for the locks of a customer has them by then, also where the machine is busy. */
const PAUSE_MILLISECONDS = 5;

interface Course<Request, Answer, Sent> {
  readonly batch: readonly Waiting<Request, Answer>[];
  /** `null`: it ended without anything that could be followed. */
  readonly sent: Promise<Sent | null>;
  readonly outcome: Promise<Outcome<Answer>>;
}

interface Lane<Request, Answer> {
  waiting: Waiting<Request, Answer>[];
  running: boolean;
  /** Another process waits for the customer: it comes next. */
  isAwaited: boolean;
}

export function createConsumeBatcher<Request, Answer, Sent = never>(
  options: ConsumeBatcherOptions<Request, Answer, Sent>,
): ConsumeBatcher<Request, Answer> {
  const clock = options.clock ?? PROCESS_CLOCK;
  const lanes = new Map<string, Lane<Request, Answer>>();
  let closed = false;
  let telling = 0;
  let idle: (() => void) | null = null;

  function submit(laneKey: string, request: Request): Promise<Answer> {
    if (closed) {
      return Promise.reject(options.refuse('closed'));
    }
    let lane = lanes.get(laneKey);
    if (lane === undefined) {
      lane = { waiting: [], running: false, isAwaited: false };
      lanes.set(laneKey, lane);
    }
    if (lane.waiting.length >= options.maximumQueue) {
      return Promise.reject(options.refuse('queue-full'));
    }
    const { waiting, running } = lane;
    const promise = new Promise<Answer>((resolve, reject) => {
      waiting.push({
        request,
        deadline: clock.now() + options.deadlineMilliseconds,
        resolve,
        reject,
      });
    });
    if (!running) {
      void work(laneKey, lane);
    }
    return promise;
  }

  /**
   * Where somebody waits, the next batch is on its way before the outcome of the one before is known, so that this process decides while
   * the store writes (ADR 30). Callers are told what became of their own batch, whatever becomes of the next one. Where another process
   * waits for the same customer, the outcome is waited for, and then a moment longer: whoever locks again at once may come before it.
   */
  async function work(laneKey: string, lane: Lane<Request, Answer>): Promise<void> {
    lane.running = true;
    // What was submitted in the same turn of the event loop goes into the first batch already.
    await Promise.resolve();
    let behind: Sent | null = null;
    let isUnderWay = false;
    let sizeBefore = 0;
    let toldBefore: Promise<unknown> = Promise.resolve();
    while (lane.waiting.length > 0) {
      // Of two that are under way at once none is much larger than the other, so that none waits long for the other's side.
      const most = isUnderWay ? evenShare(lane.waiting.length, sizeBefore) : options.maximumBatch;
      const course = start(takeBatch(lane, most), lane, behind, isUnderWay);
      sizeBefore = course.batch.length;
      behind = await course.sent;
      if (behind !== null) {
        // What those who are told now send next goes into the batch that follows: few large batches cost less than many small ones.
        await Promise.race([toldBefore, course.outcome]);
        if (lane.waiting.length > 0 && !lane.isAwaited) {
          isUnderWay = true;
          toldBefore = tellLater(course);
          continue;
        }
      }
      isUnderWay = false;
      const outcome = await course.outcome;
      const told = await tellFirstHalf(course.batch, outcome, lane);
      // Not waited for: what these callers send next comes after the batch that starts now.
      toldBefore = tell(course.batch, outcome, told);
      if (lane.isAwaited) {
        lane.isAwaited = false;
        await pause();
      }
    }
    lane.running = false;
    lanes.delete(laneKey);
    reportIdle();
  }

  function pause(): Promise<void> {
    return new Promise((resolve) => {
      clock.after(PAUSE_MILLISECONDS, resolve);
    });
  }

  async function tellLater({ batch, outcome }: Course<Request, Answer, Sent>): Promise<void> {
    telling += 1;
    await tell(batch, await outcome, 0);
    telling -= 1;
    reportIdle();
  }

  /** Where nobody waits, so that its next requests are at the store while the other half is told. Returns how many were told. */
  async function tellFirstHalf(
    batch: readonly Waiting<Request, Answer>[],
    outcome: Outcome<Answer>,
    lane: Lane<Request, Answer>,
  ): Promise<number> {
    if (lane.waiting.length > 0) {
      return 0;
    }
    const half = Math.ceil(batch.length / 2);
    settle(batch, outcome, 0, half);
    if (half < batch.length) {
      await clock.nextTurn();
    }
    return half;
  }

  function evenShare(waiting: number, underWay: number): number {
    return Math.min(options.maximumBatch, Math.ceil((waiting + underWay) / 2));
  }

  function takeBatch(lane: Lane<Request, Answer>, most: number): Waiting<Request, Answer>[] {
    const now = clock.now();
    const batch: Waiting<Request, Answer>[] = [];
    const rest: Waiting<Request, Answer>[] = [];
    for (const entry of lane.waiting) {
      const first = batch[0];
      if (entry.deadline <= now) {
        entry.reject(options.refuse('deadline'));
      } else if (
        batch.length < most &&
        (first === undefined || options.together(first.request, entry.request))
      ) {
        batch.push(entry);
      } else {
        rest.push(entry);
      }
    }
    lane.waiting = rest;
    return batch;
  }

  function start(
    batch: readonly Waiting<Request, Answer>[],
    lane: Lane<Request, Answer>,
    behind: Sent | null,
    isUnderWay: boolean,
  ): Course<Request, Answer, Sent> {
    let onSent: (sent: Sent | null) => void = () => undefined;
    const sent = new Promise<Sent | null>((resolve) => {
      onSent = resolve;
    });
    const outcome = runOnce(batch, lane, { behind, isUnderWay, onSent });
    void outcome.then(() => onSent(null));
    void Promise.all([sent, outcome]).then(([known]) => {
      if (known !== null && options.isAwaited(known)) lane.isAwaited = true;
    });
    return { batch, sent, outcome };
  }

  async function runOnce(
    batch: readonly Waiting<Request, Answer>[],
    lane: Lane<Request, Answer>,
    course: BatchCourse<Sent>,
  ): Promise<Outcome<Answer>> {
    const first = batch[0];
    if (first === undefined) {
      return () => undefined;
    }
    const stopWatching = watchDeadlines(batch, lane);
    try {
      const requests = batch.map((entry) => entry.request);
      const settlements = await options.run(requests, first.deadline, course);
      return (index) => settlements[index];
    } catch (error) {
      return () => ({ ok: false, error });
    } finally {
      stopWatching();
    }
  }

  /**
   * Callers are told at their deadline, however long the store takes; the lane itself waits for its batch, so that a store
   * that hangs never sees a second transaction of the same customer. Rejecting what is settled already does nothing.
   */
  function watchDeadlines(
    batch: readonly Waiting<Request, Answer>[],
    lane: Lane<Request, Answer>,
  ): () => void {
    let disarm: () => void;
    function arm(): void {
      const now = clock.now();
      let next = Number.POSITIVE_INFINITY;
      for (const entry of batch) {
        if (entry.deadline > now) {
          next = Math.min(next, entry.deadline);
        }
      }
      next = Math.min(next, lane.waiting[0]?.deadline ?? now + options.deadlineMilliseconds);
      disarm = clock.after(Math.max(1, next - now), expire);
    }
    function expire(): void {
      const now = clock.now();
      for (const entry of [...batch, ...lane.waiting]) {
        if (entry.deadline <= now) {
          entry.reject(options.refuse('deadline'));
        }
      }
      lane.waiting = lane.waiting.filter((entry) => entry.deadline > now);
      arm();
    }
    arm();
    return () => disarm();
  }

  /** A few at a time: the reply of the store that comes meanwhile does not wait until all of them are told. */
  async function tell(
    batch: readonly Waiting<Request, Answer>[],
    outcome: Outcome<Answer>,
    from: number,
  ): Promise<void> {
    telling += 1;
    for (let told = from; told < batch.length; told += TOLD_TOGETHER) {
      if (told > from) {
        await clock.nextTurn();
      }
      settle(batch, outcome, told, told + TOLD_TOGETHER);
    }
    telling -= 1;
    reportIdle();
  }

  function settle(
    batch: readonly Waiting<Request, Answer>[],
    outcome: Outcome<Answer>,
    from: number,
    to: number,
  ): void {
    for (const [index, entry] of batch.slice(from, to).entries()) {
      const settlement = outcome(from + index);
      if (settlement === undefined) {
        entry.reject(options.refuse('lost'));
      } else if (settlement.ok) {
        entry.resolve(settlement.answer);
      } else {
        entry.reject(settlement.error);
      }
    }
  }

  function reportIdle(): void {
    if (lanes.size === 0 && telling === 0) {
      idle?.();
    }
  }

  return {
    submit,
    async drain() {
      closed = true;
      if (lanes.size > 0 || telling > 0) {
        await new Promise<void>((resolve) => {
          idle = resolve;
        });
      }
    },
    report() {
      let waiting = 0;
      for (const lane of lanes.values()) {
        waiting += lane.waiting.length;
      }
      return { lanes: lanes.size, waiting };
    },
  };
}
