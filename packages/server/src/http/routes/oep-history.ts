import { UNLIMITED_AS_INTEGER } from '@pennon/engine/model/limits';
import { toInstantText } from '@pennon/protocol/oep/entitlement';
import { fromOepHistory } from '@pennon/protocol/oep/history';
import {
  OepHistory,
  type OepHistoryPoint,
  OepHistoryQuery,
  type OepHistory as UsageHistoryBody,
} from '@pennon/protocol/oep/history-schemas';
import type { FastifyReply } from 'fastify';
import {
  type HistoryDependencies,
  readHistory,
  type UsageHistory,
} from '../../service/usage/read-history.js';
import type { App } from '../app.js';
import { credentialOf } from '../authenticate.js';
import { evaluationInputOf, writeStamp } from '../evaluation-headers.js';
import { acceptAll, accepted, EVALUATE, FAULTS, TAGS } from '../oep-calls.js';

type Query = Parameters<typeof fromOepHistory>[0];

/** Usage and balance over time (OEP: `GET /oep/v1/history`). */
export function registerOepHistoryRoutes(app: App, services: HistoryDependencies): void {
  app.get(
    '/oep/v1/history',
    {
      schema: {
        operationId: 'readHistory',
        tags: TAGS,
        summary: 'Usage and balance of one feature over time',
        querystring: OepHistoryQuery,
        response: { ...FAULTS, 200: OepHistory },
      },
      validatorCompiler: acceptAll,
      config: { access: EVALUATE, changes: false },
    },
    async (request, reply) => {
      request.evaluationKind = 'entitlement';
      const call = accepted(fromOepHistory(request.query as Query));
      const history = await readHistory(services, credentialOf(request), {
        ...evaluationInputOf(request, call.context),
        ...call,
        to: call.to ?? services.clock.now(),
      });
      return sendHistory(reply, history, toHistory(history, call.window, call.by));
    },
  );
}

function sendHistory(reply: FastifyReply, { stamp }: UsageHistory, body: UsageHistoryBody): FastifyReply {
  writeStamp(reply, stamp, 'no-store');
  return reply.code(200).send(JSON.stringify(body));
}

function toHistory(
  history: UsageHistory,
  window: UsageHistoryBody['window'],
  by: readonly string[],
): UsageHistoryBody {
  return {
    targetingKey: history.customerKey,
    key: history.key,
    window,
    timeZone: history.timeZone,
    aggregation: history.aggregation,
    from: toInstantText(history.from),
    to: toInstantText(history.to),
    points: history.points.map((point) => toPoint(point, by)),
    asOf: toInstantText(history.stamp.asOf),
    revision: history.stamp.revision,
    metadata: {},
  };
}

function toPoint(point: UsageHistory['points'][number], by: readonly string[]): OepHistoryPoint {
  const { amount, events, usage, limit, reset, period, groups } = point;
  const isBounded = limit.kind === 'finite';
  return {
    start: toInstantText(point.start),
    end: toInstantText(point.end),
    amount,
    events,
    usage,
    limit,
    balance: isBounded ? Math.max(0, limit.value - usage) : UNLIMITED_AS_INTEGER,
    overage: isBounded ? Math.max(0, usage - limit.value) : 0,
    reset,
    period: period === null ? null : { start: toInstantText(period.start), end: toInstantText(period.end) },
    ...(by.length === 0
      ? {}
      : {
          groups: groups.map((group) => ({
            attributes: Object.fromEntries(by.map((name, index) => [name, group.values[index] ?? null])),
            amount: group.amount,
            events: group.events,
          })),
        }),
  };
}
