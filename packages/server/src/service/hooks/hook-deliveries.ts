import { LIMITS } from '@pennon/engine/model/limits';
import type {
  ApiDelivery,
  ApiDeliveryLog,
  ApiWebhookReplayed,
  ApiWebhookTested,
  DeliveryListQuery,
  WebhookReplay,
} from '@pennon/protocol/management/webhooks';
import { toTestEvent } from '@pennon/protocol/webhooks/cloud-event';
import { HOOK_EVENT_TYPES } from '@pennon/protocol/webhooks/events';
import {
  type DeliveryQuestion,
  type DeliveryRow,
  type ReplayedSpan,
  readAttempts,
  readDeliveries,
  replayDead,
  replayEvents,
  replayTold,
} from '../../store/hook-log.js';
import { readSecrets, type WebhookRow } from '../../store/hook-rows.js';
import { fromInstant, toInstantOrNull } from '../../store/instant.js';
import {
  type Changed,
  type ContractServices,
  changeData,
  type DataChange,
} from '../contracts/data-change.js';
import { notFound, refuse } from '../contracts/refusals.js';
import type { ChangeContext, Credential } from '../credential.js';
import { isId, newId } from '../new-id.js';
import { cursorRefused, fromCursor, type Page, toPage } from '../page.js';
import { fromTime, toTime, toTimeOrNull } from '../times.js';
import { sendEvent } from './hook-dispatcher.js';
import { webhookEntry } from './hook-record.js';
import { findWebhook, type HookServices, type WebhookName } from './manage-hooks.js';
import { toAttemptResult } from './retry-schedule.js';

/** What a webhook was and is to be sent, the latest event first. */
export async function listDeliveries(
  services: ContractServices,
  credential: Credential,
  named: WebhookName,
  query: DeliveryListQuery,
): Promise<Page<ApiDelivery>> {
  const webhook = await findWebhook(services, credential, named);
  const { limit = 50, state = null, from, to } = query;
  const [at, eventId] = fromCursor(query.cursor, 2) ?? [];
  if (query.cursor !== undefined && (!/^\d{1,15}$/.test(at ?? '') || !isId(eventId ?? '')))
    throw cursorRefused();
  const rows = await readDeliveries(services.database, {
    ...oneWebhook(webhook),
    state,
    from: from === undefined ? null : fromInstant(fromTime(from, 'from')),
    to: to === undefined ? null : fromInstant(fromTime(to, 'to')),
    before: eventId === undefined ? null : { occurredAt: new Date(Number(at)), eventId },
    limit: limit + 1,
  });
  return toPage(rows, limit, toApiDelivery, (row) => [String(row.occurred_at.getTime()), row.event_id]);
}

function oneWebhook({ id }: WebhookRow): DeliveryQuestion {
  return { webhookId: id, state: null, eventId: null, from: null, to: null, before: null, limit: 1 };
}

function toApiDelivery(row: DeliveryRow): ApiDelivery {
  return {
    event: row.event_id,
    type: row.type,
    occurredAt: toTime(row.occurred_at.getTime()),
    customer: row.customer_key,
    sequence: row.sequence,
    state: row.state,
    attempts: row.attempts,
    nextAttemptAt: toTimeOrNull(toInstantOrNull(row.next_attempt_at)),
    endedAt: toTimeOrNull(toInstantOrNull(row.ended_at)),
  };
}

/** One delivery with every attempt that was made. */
export async function readDelivery(
  services: ContractServices,
  credential: Credential,
  named: WebhookName & { readonly event: string },
): Promise<ApiDeliveryLog> {
  const webhook = await findWebhook(services, credential, named);
  const question = { ...oneWebhook(webhook), eventId: named.event };
  const [row] = isId(named.event) ? await readDeliveries(services.database, question) : [];
  if (row === undefined) {
    throw notFound(
      'DELIVERY_NOT_FOUND',
      `A delivery of the event \`${named.event.slice(0, 64)}\` to this webhook`,
      'GET …/deliveries lists those that are kept.',
    );
  }
  const attempts = await readAttempts(services.database, webhook.id, row.event_id);
  const log = attempts.map(({ attempt, attempted_at, outcome, status, why, milliseconds }) => ({
    attempt,
    attemptedAt: toTime(attempted_at.getTime()),
    outcome,
    status,
    why,
    milliseconds,
  }));
  return { ...toApiDelivery(row), log };
}

/** Sends a test at once, whether the webhook is enabled or not, and answers what came of it. It is tried once and kept in no log. */
export async function testWebhook(
  services: HookServices,
  credential: Credential,
  context: ChangeContext,
  named: WebhookName,
): Promise<Changed<ApiWebhookTested>> {
  const row = await findWebhook(services, credential, named);
  const now = services.clock.now();
  const secrets = await readSecrets(services.database, [row.id], fromInstant(now));
  const event = toTestEvent({
    id: newId(),
    occurredAt: toTime(now),
    environment: services.directory.environment(row.environment_id)?.key ?? row.environment_id,
    endpoint: row.id,
  });
  const outcome = await sendEvent(services, row, secrets.get(row.id) ?? [], event);
  const status = outcome.kind === 'answered' ? outcome.status : null;
  const item: ApiWebhookTested = {
    event: event.id,
    accepted: status !== null && toAttemptResult(status, null).kind === 'accepted',
    outcome: outcome.kind,
    status,
    why: outcome.kind === 'answered' ? null : outcome.why,
  };
  return changeData(services, context, row.environment_id, async (change) => {
    await change.record(webhookEntry(row, 'webhook.test', services.directory));
    return { item, created: false };
  });
}

/** Puts deliveries by again: those that are named, or those of a span. */
export async function replayWebhook(
  services: HookServices,
  credential: Credential,
  context: ChangeContext,
  named: WebhookName,
  body: WebhookReplay,
): Promise<Changed<ApiWebhookReplayed>> {
  const { environment_id } = await findWebhook(services, credential, named);
  const changed = await changeData(services, context, environment_id, async (change) => {
    const row = await findWebhook(services, credential, named, change.transaction);
    const { replayed, until } = await replay(change, row, body);
    await change.record(webhookEntry(row, 'webhook.replay', services.directory));
    const dead = body.dead ?? true;
    // Of one instant either all were taken or, of what was given up, those that are left are found again.
    const next = until === null ? null : until.getTime() + (dead ? 0 : 1);
    return { item: { replayed, nextFrom: toTimeOrNull(next) }, created: false };
  });
  services.jobs.refresh();
  return changed;
}

async function replay(change: DataChange, row: WebhookRow, body: WebhookReplay): Promise<ReplayedSpan> {
  const { events, from, to, dead = true } = body;
  if ((events === undefined) === (from === undefined) || (from === undefined && to !== undefined)) {
    throw refuse(
      'invalid',
      'REPLAY_UNCLEAR',
      'Name the `events` that are to be sent again, or a span by `from` (and `to`, by default now), and not both.',
      '/from',
    );
  }
  if (events !== undefined) {
    return { replayed: await replayEvents(change.transaction, row.id, events), until: null };
  }
  const span = {
    from: fromInstant(fromTime(from ?? '', '/from')),
    to: fromInstant(to === undefined ? change.now : fromTime(to, '/to')),
  };
  const limit = LIMITS.webhookReplay.value;
  if (dead) return replayDead(change.transaction, row.id, span, limit);
  const types = row.types === null ? HOOK_EVENT_TYPES : (JSON.parse(row.types) as readonly string[]);
  return replayTold(change.transaction, row, types, span, limit);
}
