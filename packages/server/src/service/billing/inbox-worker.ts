import type { JsonValue } from '@pennon/engine/model/json';
import { LIMITS } from '@pennon/engine/model/limits';
import { isDatabaseUnavailable } from '../../store/database-error.js';
import {
  type BillingConnectionRow,
  dueDeliveries,
  findBillingConnection,
  forgetDeliveries,
  type InboxRow,
  settleDelivery,
} from '../../store/inbox-rows.js';
import { fromInstant } from '../../store/instant.js';
import type { ContractServices } from '../contracts/data-change.js';
import { createLeasedSweep, type LeasedSweep } from '../leased-sweep.js';
import { ServiceError } from '../service-error.js';
import type { BillingAdapters, WebhookProvider } from './billing-adapters.js';
import type { BillingNews, BillingSource } from './billing-news.js';
import { decideAgain, linkAgain } from './decide-again.js';
import { parseJson, problemOf } from './receive-delivery.js';
import { fetchStripeNews } from './stripe/fetch-stripe-news.js';
import { fromStripeEvent } from './stripe/from-stripe-event.js';
import type { StripeClient } from './stripe/stripe-client.js';
import { takeInEvent } from './take-in-news.js';

/*
 * Works on what is in the inbox, one process at a time under a lease. INVARIANT: taking in changes nothing the second time, so that a
 * process that is killed between the change and the mark in the inbox only leaves work that is done again.
 */

export interface InboxWorkerOptions extends ContractServices {
  readonly adapters: BillingAdapters;
  /** Who asks Stripe for a connection; `null`: nobody, and what the events say counts. */
  readonly stripeClientOf: (connection: BillingConnectionRow) => StripeClient | null;
  readonly onProblem: (problem: string, error: unknown) => void;
  readonly pollMilliseconds?: number;
}

const POLL_MILLISECONDS = 1000;
const AT_ONCE = 100;
const LANES = 8;
/** What no later attempt makes better. */
const FINAL: ReadonlySet<string> = new Set(['BILLING_MODE', 'BILLING_ACCOUNT', 'UNREADABLE']);
const DAY_MILLISECONDS = 86_400_000;
const LINK_MILLISECONDS = 30_000;
const FORGET_MILLISECONDS = 3_600_000;
const FORGET_AT_ONCE = 5000;
/** The first retry; each later one waits twice as long, up to an hour. */
const FIRST_DELAY_MILLISECONDS = 2000;
const LONGEST_DELAY_MILLISECONDS = 3_600_000;

export function createInboxWorker(options: InboxWorkerOptions): LeasedSweep {
  let forgottenAt = Number.NEGATIVE_INFINITY;
  let linkedAt = Number.NEGATIVE_INFINITY;

  async function sweep(isStopping: () => boolean): Promise<'done' | 'more'> {
    const worked = await workInbox(options, isStopping);
    await decideAgain(options);
    if (performance.now() - linkedAt >= LINK_MILLISECONDS) {
      linkedAt = performance.now();
      await linkAgain(options);
    }
    if (performance.now() - forgottenAt >= FORGET_MILLISECONDS) {
      const before = options.clock.now() - LIMITS.inboxDays.value * DAY_MILLISECONDS;
      const forgotten = await forgetDeliveries(options.database, fromInstant(before), FORGET_AT_ONCE);
      // As long as there is more, each sweep forgets some of it.
      if (forgotten < FORGET_AT_ONCE) forgottenAt = performance.now();
    }
    return worked === AT_ONCE ? 'more' : 'done';
  }

  return createLeasedSweep({
    database: options.database,
    name: 'billing-inbox',
    pollMilliseconds: options.pollMilliseconds ?? POLL_MILLISECONDS,
    sweep,
    onProblem: (error) => options.onProblem('what billing providers told could not be worked on', error),
  });
}

/** Works on what is due, and answers how much that was. What is told of one customer follows each other, others go beside. */
export async function workInbox(
  options: InboxWorkerOptions,
  isStopping: () => boolean = () => false,
): Promise<number> {
  const rows = await dueDeliveries(options.database, fromInstant(options.clock.now()), AT_ONCE);
  const lanes = new Map<string, InboxRow[]>();
  for (const row of rows) {
    const name = `${row.connection_id} ${row.subject ?? row.id}`;
    lanes.set(name, [...(lanes.get(name) ?? []), row]);
  }
  const waiting = [...lanes.values()];
  const silent = new Map<string, unknown>();
  const work = async () => {
    for (let lane = waiting.shift(); lane !== undefined; lane = waiting.shift()) {
      for (const row of lane) if (!isStopping()) await workOne(options, row, silent);
    }
  };
  await Promise.all(Array.from({ length: LANES }, work));
  return rows.length;
}

/** `silent`: connections whose provider answered nothing, and why. It is asked again with the next attempt, and not for each event. */
async function workOne(
  options: InboxWorkerOptions,
  row: InboxRow,
  silent: Map<string, unknown>,
): Promise<void> {
  try {
    const { source, told, ask } = await readAgain(options, row);
    const known = silent.get(row.connection_id);
    const asked = known === undefined ? await ask().catch((error: unknown) => ({ error })) : { error: known };
    if ('error' in asked && !isOfOneQuestion(asked.error)) silent.set(row.connection_id, asked.error);
    // What was told comes first: since when a status stands is known from there. It counts where nobody answers too: a provider
    // that is down, or a key that was revoked, must not keep what was signed from anybody.
    await takeInEvent(options, source, 'error' in asked ? told : [...told, ...asked.news]);
    if ('error' in asked) throw asked.error;
    await settleDelivery(options.database, row, { state: 'done', problem: null });
  } catch (error) {
    if (isDatabaseUnavailable(error)) throw error;
    await postpone(options, row, error);
  }
}

/** Refused because of what was asked; anything else would be so with every question: nobody there, too many of them, a key that is refused. */
function isOfOneQuestion(error: unknown): boolean {
  return error instanceof Error && 'type' in error && error.type === 'StripeInvalidRequestError';
}

async function readAgain(
  options: InboxWorkerOptions,
  row: InboxRow,
): Promise<{
  readonly source: BillingSource;
  readonly told: readonly BillingNews[];
  readonly ask: () => Promise<{ readonly news: readonly BillingNews[] }>;
}> {
  const { adapters } = options;
  const connection = await findBillingConnection(options.database, row.connection_id);
  const json = parseJson(row.body);
  if (connection === null || connection.provider === 'api' || json === undefined) throw unreadable(row);
  const adapter = adapters[connection.provider satisfies WebhookProvider];
  // The headers are not kept: the id that Standard Webhooks have there is the event's.
  const event = adapter.readEvent(json, { 'webhook-id': row.event_id }, connection.is_live);
  if (event === null) throw unreadable(row);
  const problem = problemOf(event, connection);
  if (problem !== null) throw strange(row, problem);
  const { id, key, provider, environment_id, is_live } = connection;
  return {
    source: {
      connection: { id, key, provider, environmentId: environment_id, isLive: is_live },
      event: { id: row.event_id, type: row.type },
    },
    told: event.news,
    ask: async () => ({ news: await fetchedNews(options, connection, json) }),
  };
}

/** What is true now, asked before anything is locked; nothing, where nobody can ask. */
async function fetchedNews(
  { stripeClientOf, clock }: InboxWorkerOptions,
  connection: BillingConnectionRow,
  json: JsonValue,
): Promise<readonly BillingNews[]> {
  const client = connection.provider === 'stripe' ? stripeClientOf(connection) : null;
  const event = client === null ? null : fromStripeEvent(json);
  return client === null || event === null ? [] : fetchStripeNews(client, event, clock.now());
}

/** A dead letter that was replayed and still is of another mode or account. */
function strange(row: InboxRow, code: string): ServiceError {
  const message = `\`${row.event_id}\` is of another mode or account than its connection. Send it over a connection of its own.`;
  return new ServiceError('unprocessable', code, message);
}

function unreadable(row: InboxRow): ServiceError {
  const message = `The delivery \`${row.event_id}\` cannot be read any more: its connection is gone, or it is no event.`;
  return new ServiceError('unprocessable', 'UNREADABLE', message);
}

/** Tried again, later and later; what fails for good is a dead letter, kept until somebody replays it. */
async function postpone(
  { database, clock, onProblem }: InboxWorkerOptions,
  row: InboxRow,
  error: unknown,
): Promise<void> {
  const attempts = row.attempts + 1;
  const isFinal = error instanceof ServiceError && FINAL.has(error.code);
  const isDead = isFinal || attempts >= LIMITS.inboxAttempts.value;
  const problem = error instanceof ServiceError ? `${error.code}: ${error.message}` : 'UNEXPECTED';
  if (!(error instanceof ServiceError))
    onProblem('an event of a billing provider could not be taken in', error);
  const delay = Math.min(FIRST_DELAY_MILLISECONDS * 2 ** row.attempts, LONGEST_DELAY_MILLISECONDS);
  await settleDelivery(database, row, {
    attempts,
    problem: problem.slice(0, LIMITS.textLength.value),
    due_at: fromInstant(clock.now() + delay),
    ...(isDead ? { state: 'dead' } : {}),
  });
}
