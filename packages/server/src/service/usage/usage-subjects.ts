import type { ConsumeDependencies, ConsumeInput } from '../consume-input.js';
import type { Credential } from '../credential.js';
import { type EvaluationInput, prepareEvaluation } from '../evaluation-request.js';
import { prepareKnown } from '../known-customer.js';
import { ServiceError } from '../service-error.js';
import type { UsageSubject } from './usage-item.js';

/** Who an event is about, by key. */
export interface SubjectName {
  readonly customer: string;
  readonly user: string | null;
  readonly instance: string | null;
}

export interface UsageScope {
  readonly environmentId: string;
  readonly productId: string;
}

/** One statement reads so many customers that are not in memory. */
const READ_TOGETHER = 50;
/** Registrations are transactions of their own, and others change customers too. */
const PREPARED_TOGETHER = 8;
const READ_MILLISECONDS = 4000;
const READ_AGAIN_MILLISECONDS = 10;

/**
 * Everyone a call is about, each once: known, registered by its first event as a consume would, or why not. Rejects only where the
 * store could not be read: then nothing of the call is recorded.
 */
export async function resolveSubjects(
  dependencies: ConsumeDependencies,
  credential: Credential,
  input: SubjectInput,
  scope: UsageScope,
  names: ReadonlyMap<string, SubjectName>,
): Promise<ReadonlyMap<string, UsageSubject | ServiceError>> {
  await warmUp(dependencies, scope, [...new Set([...names.values()].map(({ customer }) => customer))]);
  const found = new Map<string, UsageSubject | ServiceError>();
  const waiting: [string, SubjectName][] = [];
  for (const [text, name] of names) {
    const subject = subjectInMemory(dependencies, credential, questionOf(input, name));
    if (subject === null) waiting.push([text, name]);
    else found.set(text, subject);
  }
  async function work(): Promise<void> {
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      const [text, name] = next;
      found.set(text, await resolveSubject(dependencies, credential, questionOf(input, name)));
    }
  }
  await Promise.all(Array.from({ length: Math.min(PREPARED_TOGETHER, waiting.length) }, work));
  for (const subject of found.values()) {
    if (subject instanceof ServiceError && subject.kind === 'unavailable') throw subject;
  }
  return found;
}

/**
 * Brings the customers of a call into memory, many with one statement, before they are prepared one by one. A look-up answers late
 * within milliseconds, and what it reads arrives all the same: it is asked again until then.
 */
async function warmUp(
  { customers }: ConsumeDependencies,
  { environmentId, productId }: UsageScope,
  keys: readonly string[],
): Promise<void> {
  const deadline = performance.now() + READ_MILLISECONDS;
  for (let first = 0; first < keys.length; first += READ_TOGETHER) {
    const customerKeys = keys.slice(first, first + READ_TOGETHER);
    const lookup = {
      ...{ environmentId, productId, customerKeys, instanceRef: null, userKeys: [], teamKey: null },
      balancesUnderLock: true as const,
    };
    for (;;) {
      try {
        const found = customers.lookup(lookup);
        if (found instanceof Promise) await found;
        break;
      } catch (error) {
        if (!(error instanceof ServiceError) || performance.now() >= deadline) throw error;
        await new Promise((resolve) => setTimeout(resolve, READ_AGAIN_MILLISECONDS));
      }
    }
  }
}

type SubjectInput = Omit<EvaluationInput, 'context'> & { readonly requestId: string };

function questionOf(input: SubjectInput, { customer, user, instance }: SubjectName): ConsumeInput {
  return {
    context: contextOf(customer, user, instance),
    product: input.product,
    environment: input.environment,
    consistency: input.consistency,
    requestId: input.requestId,
    operation: 'consume',
    idempotencyKey: undefined,
    body: undefined,
    items: [],
    mode: 'all',
    balancesUnderLock: true,
  };
}

function contextOf(customer: string, user: string | null, instance: string | null): ConsumeInput['context'] {
  if (user === null && instance === null) return { customer: { key: customer } };
  return {
    customer: { key: customer },
    ...(user === null ? {} : { user: { key: user } }),
    ...(instance === null ? {} : { instance: { key: instance } }),
  };
}

/** Without a promise: nearly everyone is known and in memory. `null`: who is not, or what is wrong with it. */
function subjectInMemory(
  dependencies: ConsumeDependencies,
  credential: Credential,
  question: ConsumeInput,
): UsageSubject | null {
  try {
    const prepared = prepareEvaluation(dependencies, credential, question);
    if (prepared instanceof Promise) {
      prepared.catch(() => undefined);
      return null;
    }
    const { request } = prepared;
    if (request === null || request.customer === null || request.customer === 'unavailable') return null;
    const { id } = request.customer;
    const { customerKey } = request.subject;
    return id === null || customerKey === null
      ? null
      : toSubject(dependencies, credential, question, { customerKey, customerId: id, evaluation: request });
  } catch (error) {
    if (error instanceof ServiceError) return null;
    throw error;
  }
}

function toSubject(
  dependencies: ConsumeDependencies,
  credential: Credential,
  question: ConsumeInput,
  { customerKey, customerId, evaluation }: Omit<UsageSubject, 'again'>,
): UsageSubject {
  return {
    customerKey,
    customerId,
    evaluation,
    again: () => resolveSubject(dependencies, credential, { ...question, consistency: undefined }),
  };
}

async function resolveSubject(
  dependencies: ConsumeDependencies,
  credential: Credential,
  question: ConsumeInput,
): Promise<UsageSubject | ServiceError> {
  try {
    const known = await prepareKnown(dependencies, credential, question);
    return toSubject(dependencies, credential, question, known);
  } catch (error) {
    if (error instanceof ServiceError) return error;
    throw error;
  }
}
