import type { ConsumptionDecision } from '@pennon/engine/model/decision';
import type { ConsumeBatcher } from '../consume-batcher.js';
import type { ConsumeAnswer, ConsumeRequest } from '../consume-request.js';
import { OutcomeUnknown } from '../outcome-unknown.js';
import type { Clock, EnvironmentVersions } from '../ports.js';
import { ServiceError } from '../service-error.js';
import { mismatch } from '../settle-batch.js';
import type { TurnClock } from '../turn-clock.js';
import { answerWithoutStore, mayBeAnswered } from './answer-without-store.js';
import type { ConsumptionJournal } from './journal.js';
import { journalEntry, toJournalText, toldDecisions } from './journal-entry.js';
import type { StoreCircuit } from './store-circuit.js';
import type { SameCall, WaitingEntries, WaitingEntry } from './waiting-entries.js';

export interface AwayDependencies {
  /** The lanes over the store. */
  readonly lanes: ConsumeBatcher<ConsumeRequest, ConsumeAnswer>;
  readonly journal: ConsumptionJournal;
  readonly waiting: WaitingEntries;
  readonly circuit: StoreCircuit;
  readonly clock: Clock;
  /** The instant up to which every committed change is known to this process. */
  readonly knownUntil: () => number;
  readonly turns: Pick<TurnClock, 'now'>;
  readonly isUnavailable: (error: unknown) => boolean;
  /** One item was answered without the store. */
  readonly onAnswered: (feature: string, policy: string) => void;
  /** There is something to be counted. */
  readonly onWaiting: () => void;
}

export interface AwayConsumption extends ConsumeBatcher<ConsumeRequest, ConsumeAnswer> {
  /** What the same call was told without the store; `null`: nothing that still waits. */
  toldBefore(call: SameCall): Promise<ConsumeAnswer> | null;
}

/** A lane that gave no answer is passed by for so long, though the store answers others: a customer's row may be locked. */
const LANE_MILLISECONDS = 1000;
/** Nothing is read anew. */
const AS_KNOWN: EnvironmentVersions = { subjects: -1, shared: -1 };
const LANES_KEPT = 10_000;

/**
 * The lanes of consume, and beside them the answers that features with `onStoreAway` allow while the store is away. INVARIANT: such an answer
 * is on disk before it is given, and it is never a denial: who cannot be allowed is told what the store's silence means, 503.
 */
export function createAwayConsumption(dependencies: AwayDependencies): AwayConsumption {
  const { lanes, journal, waiting, circuit, clock, turns } = dependencies;
  /** By lane, until when it is passed by. */
  const silent = new Map<string, number>();

  function submit(laneKey: string, request: ConsumeRequest): Promise<ConsumeAnswer> {
    if (!mayBeAnswered(request)) {
      const answer = lanes.submit(laneKey, request);
      return request.happened === undefined ? answer : answer.then((given) => heard(laneKey, given));
    }
    return waiting.size === 0 && !circuit.isAway() && !isSilent(laneKey)
      ? ask(laneKey, request)
      : askHere(laneKey, request);
  }

  function ask(laneKey: string, request: ConsumeRequest): Promise<ConsumeAnswer> {
    return lanes.submit(laneKey, request).then(
      (answer) => heard(laneKey, answer),
      async (error: unknown) => {
        if (!isSilence(error)) throw error;
        void circuit.suspect();
        passBy(laneKey);
        const answer = await answerHere(request);
        if (answer === null) throw error;
        return answer;
      },
    );
  }

  async function askHere(laneKey: string, request: ConsumeRequest): Promise<ConsumeAnswer> {
    const before = waiting.find(request);
    if (before !== undefined) return again(before, request);
    const here = circuit.isAway() || isSilent(laneKey) ? await answerHere(request) : null;
    return here ?? ask(laneKey, request);
  }

  function heard(laneKey: string, answer: ConsumeAnswer): ConsumeAnswer {
    if (silent.size > 0) silent.delete(laneKey);
    return answer;
  }

  function isSilence(error: unknown): boolean {
    if (!(error instanceof OutcomeUnknown)) return false;
    const { cause } = error;
    return cause === undefined || cause === null || dependencies.isUnavailable(cause);
  }

  function isSilent(laneKey: string): boolean {
    const until = silent.get(laneKey);
    return until !== undefined && turns.now() < until;
  }

  function passBy(laneKey: string): void {
    if (silent.size >= LANES_KEPT) silent.clear();
    silent.set(laneKey, turns.now() + LANE_MILLISECONDS);
  }

  /** `null`: only the store can answer. What came with the call may be older than what this process knows by now. */
  async function answerHere(request: ConsumeRequest): Promise<ConsumeAnswer | null> {
    const evaluation = await request.evaluate(AS_KNOWN);
    const before = waiting.find(request);
    if (before !== undefined) return again(before, request);
    const call = evaluation instanceof ServiceError ? request : { ...request, evaluation };
    if (evaluation instanceof ServiceError || !mayBeAnswered(call)) return null;
    const at = clock.now();
    const decisions = answerWithoutStore(call, at, ({ account: { feature, scope } }) =>
      waiting.amountOf(request, feature, scope),
    );
    return decisions === null ? null : keep(call, decisions, at);
  }

  function keep(
    request: ConsumeRequest,
    decisions: readonly ConsumptionDecision[],
    at: number,
  ): Promise<ConsumeAnswer> {
    const asOf = Math.min(at, dependencies.knownUntil());
    const entry = journalEntry(request, decisions, { at, asOf });
    const told = waiting.add(entry, null, null);
    const kept = journal.append(toJournalText(entry)).then(
      (place) => {
        told.kept = null;
        told.place = place;
        for (const { key, entitlement } of decisions) {
          dependencies.onAnswered(key, entitlement.fallback?.policy ?? 'open');
        }
        dependencies.onWaiting();
      },
      (error: unknown) => {
        waiting.remove(told);
        throw notKept(error);
      },
    );
    told.kept = kept;
    return kept.then(() => ({ decisions, decidedAt: asOf, replayed: false }));
  }

  async function again(told: WaitingEntry, request: ConsumeRequest): Promise<ConsumeAnswer> {
    if (told.entry.requestHash !== request.requestHash) throw mismatch(request.idempotencyKey);
    return answerOf(told);
  }

  return {
    submit,
    drain: () => lanes.drain(),
    report: () => lanes.report(),
    toldBefore(call) {
      const told = waiting.findSame(call);
      return told === undefined ? null : answerOf(told);
    },
  };
}

async function answerOf({ entry, kept }: WaitingEntry): Promise<ConsumeAnswer> {
  await kept;
  return { decisions: toldDecisions(entry), decidedAt: entry.asOf, replayed: true };
}

/** Nothing was answered, and nothing counts. */
function notKept(cause: unknown): ServiceError {
  return new ServiceError(
    'unavailable',
    'UNAVAILABLE',
    'The store does not answer, and this process cannot keep a journal. Ask again with the same `Idempotency-Key`.',
    { retryAfterSeconds: 1, cause },
  );
}
