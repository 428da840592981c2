import {
  CLOUD_EVENT_MEDIA_TYPE,
  type CloudEvent,
  type ToldEvent,
  toCloudEvent,
} from '@pennon/protocol/webhooks/cloud-event';
import type { Kysely } from 'kysely';
import type { HookOutcome, HookSender } from '../../outbound/send-hook.js';
import { isDatabaseUnavailable } from '../../store/database-error.js';
import { type ClaimedDelivery, claimDeliveries } from '../../store/hook-deliveries.js';
import { noteFailing, readEnabledWebhooks, readSecrets, type WebhookRow } from '../../store/hook-rows.js';
import { fromInstant } from '../../store/instant.js';
import type { Tables } from '../../store/tables.js';
import type { Clock, Directory } from '../ports.js';
import { HookLane } from './hook-lane.js';
import { createOutcomeWriter, type OutcomeWriter } from './outcome-writer.js';
import { HOOK_ATTEMPTS, nextStep, toAttemptResult } from './retry-schedule.js';
import { hookHeaders } from './sign-hook.js';
import { readToldEvents } from './told-events.js';

/* Sends what is due, in every process: claims, requests, outcomes. */

export interface HookDispatcher {
  start(): void;
  /** Something may be due: it is looked for at once. */
  wake(): void;
  /** A webhook changed: it is read before anything else is sent. */
  refresh(): void;
  /** Webhooks whose listener failed several times in a row, as this process knows. */
  failing(): number;
  /** Claims nothing more, and waits a little for what is under way. */
  stop(): Promise<void>;
}

export type AttemptOutcome = 'accepted' | 'declined' | 'refused' | 'failed';

export interface HookDispatcherOptions {
  readonly database: Kysely<Tables>;
  readonly directory: Directory;
  readonly clock: Clock;
  readonly sender: HookSender;
  readonly userAgent: string;
  /** From 0 to below 1. */
  readonly random: () => number;
  /** The listener at that URL said that it is gone for good. */
  readonly onGone: (webhookId: string, url: string) => Promise<void>;
  readonly onAttempt?: (outcome: AttemptOutcome) => void;
  readonly onProblem: (problem: string, error: unknown) => void;
  readonly pollMilliseconds?: number;
  /** How long a claim of a process that was killed stands. */
  readonly leaseSeconds?: number;
}

const POLL_MILLISECONDS = 250;
const REFRESH_MILLISECONDS = 1000;
/** Longer than a request may take, and the writing of its outcome. */
const LEASE_SECONDS = 60;
const STOP_MILLISECONDS = 3000;
const COARSE_MILLISECONDS = 10;

interface Known {
  readonly webhook: WebhookRow;
  readonly secrets: readonly Buffer[];
  readonly lane: HookLane;
}

export function createHookDispatcher(options: HookDispatcherOptions): HookDispatcher {
  const { database, clock, onProblem, pollMilliseconds = POLL_MILLISECONDS } = options;
  const { leaseSeconds = LEASE_SECONDS } = options;
  const writer = createOutcomeWriter({ database, onProblem });
  const underWay = new Set<Promise<void>>();
  let known = new Map<string, Known>();
  let readAt = Number.NEGATIVE_INFINITY;
  let stopping = false;
  let isAwake = false;
  let wakeUp: (() => void) | null = null;
  let running: Promise<void> | null = null;

  async function readWebhooks(): Promise<void> {
    if (performance.now() - readAt < REFRESH_MILLISECONDS) return;
    readAt = performance.now();
    const webhooks = await readEnabledWebhooks(database);
    const ids = webhooks.map(({ id }) => id);
    const secrets = await readSecrets(database, ids, fromInstant(clock.now()));
    known = new Map(
      webhooks.map((webhook) => {
        const before = known.get(webhook.id);
        // Of another listener nothing is known.
        const lane = before?.webhook.url === webhook.url ? before.lane : new HookLane();
        return [webhook.id, { webhook, secrets: secrets.get(webhook.id) ?? [], lane }];
      }),
    );
  }

  /** Answers whether anything was claimed. */
  async function once(): Promise<boolean> {
    await readWebhooks();
    const questions = [...known.values()].flatMap(({ webhook, secrets, lane }) => {
      const room = secrets.length === 0 ? 0 : lane.room();
      return room === 0 ? [] : [{ webhookId: webhook.id, room }];
    });
    if (questions.length === 0) return false;
    const claimed = await claimDeliveries(database, questions, leaseSeconds);
    if (claimed.length === 0) return false;
    const events = await readToldEvents(database, options.directory, claimed);
    for (const delivery of claimed) {
      const to = known.get(delivery.webhook_id);
      if (to === undefined) continue;
      to.lane.begin();
      const sent = deliver(options, writer, to, delivery, events.get(delivery.event_id))
        .catch((error: unknown) => {
          onProblem('a webhook could not be sent', error);
          return false;
        })
        .then((worked) => {
          const wasFailing = to.lane.isFailing();
          to.lane.end(worked);
          // Whoever changes a webhook takes the note off it: while its listener fails on, it is made again.
          const isFailing = to.lane.isFailing();
          const isNoted = to.webhook.failing_since !== null;
          const isNews = isFailing !== wasFailing || isFailing !== isNoted;
          if (isNews && (isFailing || worked === true)) note(to, isFailing);
          underWay.delete(sent);
          if (to.lane.room() > 0) wake();
        });
      underWay.add(sent);
    }
    return true;
  }

  /** What another process saw meanwhile is its own to say. */
  function note({ webhook }: Known, isFailing: boolean): void {
    const noted = noteFailing(database, webhook.id, isFailing)
      .catch((error: unknown) => {
        if (!isDatabaseUnavailable(error)) onProblem('that a listener fails could not be noted', error);
      })
      .finally(() => underWay.delete(noted));
    underWay.add(noted);
  }

  function wake(): void {
    isAwake = true;
    wakeUp?.();
  }

  async function loop(): Promise<void> {
    while (!stopping) {
      isAwake = false;
      let more = false;
      try {
        more = await once();
      } catch (error) {
        if (!isDatabaseUnavailable(error)) onProblem('webhooks that are due could not be read', error);
      }
      if (more || isAwake || stopping) continue;
      await new Promise<void>((resolve) => {
        wakeUp = resolve;
        setTimeout(resolve, pollMilliseconds).unref();
      });
      wakeUp = null;
    }
  }

  return {
    start() {
      running ??= loop();
    },
    wake,
    refresh() {
      readAt = Number.NEGATIVE_INFINITY;
      wake();
    },
    failing: () => [...known.values()].filter(({ lane }) => lane.isFailing()).length,
    async stop() {
      stopping = true;
      wake();
      await running;
      await Promise.race([
        Promise.all(underWay),
        new Promise((resolve) => setTimeout(resolve, STOP_MILLISECONDS).unref()),
      ]);
      // What is still under way ends here as a failure, and is tried again by whoever is left.
      options.sender.close();
      await Promise.all(underWay);
      await writer.stop();
    },
  };
}

/** Why there is nothing to send, and whether for good; `null`: there is. */
function whyUnsent(
  event: ToldEvent | null | undefined,
  { attempts }: ClaimedDelivery,
): { readonly why: string; readonly isOver: boolean } | null {
  if (event === undefined) return { why: 'event-not-kept', isOver: true };
  if (event === null) return { why: 'event-not-known-here', isOver: false };
  // Each claim counts, also of processes that ended before they could say what came of it: so one that ends them is given up too.
  return attempts > HOOK_ATTEMPTS ? { why: 'attempts-lost', isOver: true } : null;
}

/** Answers whether the listener accepted; `null`: it was not asked. */
async function deliver(
  options: HookDispatcherOptions,
  writer: OutcomeWriter,
  { webhook, secrets }: Known,
  delivery: ClaimedDelivery,
  event: ToldEvent | null | undefined,
): Promise<boolean | null> {
  const { clock, random } = options;
  const attemptedAt = clock.now();
  const before = performance.now();
  const unsent = whyUnsent(event, delivery);
  const outcome: HookOutcome =
    unsent !== null || !event
      ? { kind: 'refused', why: unsent?.why ?? 'event-not-kept' }
      : await sendEvent(options, webhook, secrets, toCloudEvent(event));
  const result =
    outcome.kind === 'answered'
      ? toAttemptResult(outcome.status, outcome.retryAfterSeconds)
      : ({ kind: 'failed', retryAfterSeconds: null } as const);
  const step =
    unsent?.isOver === true
      ? ({ state: 'dead', disablesEndpoint: false } as const)
      : nextStep(result, delivery.attempts, random());
  writer.add({
    webhookId: webhook.id,
    eventId: delivery.event_id,
    environmentId: delivery.environment_id,
    attempt: delivery.attempts,
    state: step.state,
    delayMilliseconds: step.state === 'waiting' ? step.delayMilliseconds : null,
    attemptedAt: fromInstant(attemptedAt),
    outcome: outcome.kind,
    status: outcome.kind === 'answered' ? outcome.status : null,
    why: outcome.kind === 'answered' ? null : outcome.why,
    // Coarse, so that nobody reads a network from it.
    milliseconds: Math.ceil((performance.now() - before) / COARSE_MILLISECONDS) * COARSE_MILLISECONDS,
  });
  const answered = result.kind === 'accepted' ? 'accepted' : 'declined';
  options.onAttempt?.(outcome.kind === 'answered' ? answered : outcome.kind);
  if (step.state === 'dead' && step.disablesEndpoint) await options.onGone(webhook.id, webhook.url);
  return unsent === null ? result.kind === 'accepted' : null;
}

/** One request; the same bytes and the same id each time, under the time of the attempt. */
export function sendEvent(
  { clock, sender, userAgent }: Pick<HookDispatcherOptions, 'clock' | 'sender' | 'userAgent'>,
  { url }: Pick<WebhookRow, 'url'>,
  secrets: readonly Buffer[],
  event: CloudEvent,
): Promise<HookOutcome> {
  const body = Buffer.from(JSON.stringify(event), 'utf8');
  const timestampSeconds = Math.floor(clock.now() / 1000);
  return sender.send({
    url,
    headers: {
      ...hookHeaders({ id: event.id, timestampSeconds, body }, secrets),
      'content-type': CLOUD_EVENT_MEDIA_TYPE,
      'user-agent': userAgent,
    },
    body,
  });
}
