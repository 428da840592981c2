import { evaluateAll } from '@pennon/engine/flag/evaluate-all';
import type { Subject } from '@pennon/engine/model/context';
import type { CustomerState, Instant } from '@pennon/engine/model/customer';
import type { FlagDecision } from '@pennon/engine/model/decision';
import type { EvaluationRequest } from '@pennon/engine/model/evaluation';
import type { Snapshot } from '@pennon/engine/snapshot/snapshot';
import { serializeOfrepBulk } from '@pennon/protocol/ofrep/serialize';
import { LRUCache } from 'lru-cache';
import type { Credential } from './credential.js';
import { evaluationEtag } from './evaluation-etag.js';
import {
  type EvaluationDependencies,
  type EvaluationInput,
  type EvaluationStamp,
  type PreparedEvaluation,
  prepareEvaluation,
} from './evaluation-request.js';
import { seesOnlyClientVisible } from './flag-visibility.js';

/** Every flag and every feature that the credential may see, as the text of the answer. */
export interface FlagsEvaluation {
  readonly body: string;
  readonly etag: string;
  readonly stamp: EvaluationStamp;
}

export type EvaluateFlags = (
  credential: Credential,
  input: EvaluationInput,
  /** The context as it was sent; the same text means the same context. `null`: not at hand. */
  contextText: string | null,
) => FlagsEvaluation | Promise<FlagsEvaluation>;

interface Remembered {
  readonly credential: Credential;
  readonly customer: CustomerState | null;
  readonly subject: Subject;
  /** When it was decided, and until when it holds by time alone. */
  readonly from: Instant;
  readonly until: Instant;
  readonly body: string;
  readonly etag: string;
}

const REMEMBERED_ANSWERS = 5000;
const REMEMBERED_CHARACTERS = 32 * 1024 * 1024;
const LONGEST_CONTEXT = 4096;
/** A power of two. */
const ASKED_PLACES = 16_384;

/**
 * Answers about all flags at once, and remembers answers: most calls of a client that polls ask the same again.
 * INVARIANT: an answer is given again only to the same credential, for the same context, decided from the same snapshot and
 * the same state of the customer, before the instant up to which it holds; and only where no flag looks at usage.
 */
export function createFlagsEvaluation(dependencies: EvaluationDependencies): EvaluateFlags {
  const remembered = new LRUCache<string, Remembered>({
    max: REMEMBERED_ANSWERS,
    maxSize: REMEMBERED_CHARACTERS,
    sizeCalculation: (answer, name) => answer.body.length + name.length,
  });
  const isAskedAgain = createAskedMemory();
  const answer = (
    credential: Credential,
    { request, stamp }: PreparedEvaluation,
    contextText: string | null,
  ): FlagsEvaluation => {
    if (request === null) {
      return toEvaluation(credential, [], stamp);
    }
    const { customer, subject, now, snapshot } = request;
    if (customer === 'unavailable' || !mayRemember(contextText, snapshot)) {
      return toEvaluation(credential, decideAll(request, credential), stamp);
    }
    const name = `${serialOf(snapshot)} ${contextText}`;
    const known = remembered.get(name);
    if (
      known !== undefined &&
      known.credential === credential &&
      known.customer === customer &&
      known.from <= now &&
      now < known.until &&
      isSameSubject(known.subject, subject)
    ) {
      return { body: known.body, etag: known.etag, stamp };
    }
    const decisions = decideAll(request, credential);
    const fresh = toEvaluation(credential, decisions, stamp);
    const { body, etag } = fresh;
    if (known === undefined && !isAskedAgain(name)) return fresh;
    remembered.set(name, { credential, customer, subject, from: now, until: untilOf(decisions), body, etag });
    return fresh;
  };
  return (credential, input, contextText) => {
    const prepared = prepareEvaluation(dependencies, credential, input);
    return prepared instanceof Promise
      ? prepared.then((ready) => answer(credential, ready, contextText))
      : answer(credential, prepared, contextText);
  };
}

/**
 * Whether the same was asked before, as far as a few numbers tell. Contexts that never come again are the most of some callers'
 * calls; keeping their answers would drive out those of others, and cost more than deciding.
 */
function createAskedMemory(): (name: string) => boolean {
  const asked = new Int32Array(ASKED_PLACES);
  return (name) => {
    // FNV-1a: a wrong yes remembers an answer too much, a wrong no decides once more.
    let hash = 0x811c9dc5;
    for (let index = 0; index < name.length; index += 1) {
      hash = Math.imul(hash ^ name.charCodeAt(index), 0x01000193);
    }
    const place = hash & (ASKED_PLACES - 1);
    const again = asked[place] === hash;
    asked[place] = hash;
    return again;
  };
}

function decideAll(request: EvaluationRequest<Snapshot>, credential: Credential): readonly FlagDecision[] {
  return evaluateAll(request, { clientVisibleOnly: seesOnlyClientVisible(credential) });
}

function toEvaluation(
  credential: Credential,
  decisions: readonly FlagDecision[],
  stamp: EvaluationStamp,
): FlagsEvaluation {
  const body = serializeOfrepBulk(decisions);
  return { body, etag: evaluationEtag(stamp, credential, body), stamp };
}

/** What reads `now` says that it holds until now, so that it is never given again. */
function untilOf(decisions: readonly FlagDecision[]): Instant {
  let end = Number.POSITIVE_INFINITY;
  for (const { validUntil } of decisions) {
    if (validUntil !== null && validUntil < end) end = validUntil;
  }
  return end;
}

function mayRemember(contextText: string | null, snapshot: Snapshot): contextText is string {
  return contextText !== null && contextText.length <= LONGEST_CONTEXT && !readsUsage(snapshot);
}

/** A name lives in the answers' keys; the snapshot itself must not be held by them. */
const serials = new WeakMap<Snapshot, number>();
let lastSerial = 0;

function serialOf(snapshot: Snapshot): number {
  let serial = serials.get(snapshot);
  if (serial === undefined) {
    lastSerial += 1;
    serial = lastSerial;
    serials.set(snapshot, serial);
  }
  return serial;
}

const usageReaders = new WeakMap<Snapshot, boolean>();

function readsUsage(snapshot: Snapshot): boolean {
  let reads = usageReaders.get(snapshot);
  if (reads === undefined) {
    reads =
      [...snapshot.flags.values()].some((flag) => flag.reads.usage.size > 0) ||
      [...snapshot.segments.values()].some((segment) => (segment.condition?.reads.usage.size ?? 0) > 0);
    usageReaders.set(snapshot, reads);
  }
  return reads;
}

/** Whom the context means rests on memberships and on an instance's data, which move without the context. */
function isSameSubject(left: Subject, right: Subject): boolean {
  return (
    left.proven === right.proven &&
    left.customerKey === right.customerKey &&
    left.userKey === right.userKey &&
    left.teamKey === right.teamKey &&
    left.teamClaimed === right.teamClaimed &&
    left.sku === right.sku &&
    left.instance?.id === right.instance?.id &&
    left.instance?.key === right.instance?.key &&
    left.instance?.metadata === right.instance?.metadata
  );
}
