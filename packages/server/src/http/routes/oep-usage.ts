import { LIMITS } from '@pennon/engine/model/limits';
import { fromCloudEvents, type OepUsageRead, usageFormOf } from '@pennon/protocol/oep/usage-event';
import {
  OepUsageAnswer,
  OepUsageRequest,
  type OepUsageResult,
  type OepUsageAnswer as UsageAnswer,
} from '@pennon/protocol/oep/usage-schemas';
import { type RecordDependencies, recordUsage } from '../../service/usage/record-usage.js';
import type { UsageResult } from '../../service/usage/usage-item.js';
import type { App } from '../app.js';
import { credentialOf } from '../authenticate.js';
import { evaluationInputOf } from '../evaluation-headers.js';
import { acceptAll, accepted, CONSUME, FAULTS, TAGS } from '../oep-calls.js';

/** Usage that already happened (OEP: `POST /oep/v1/usage`). */
export function registerOepUsageRoutes(app: App, services: RecordDependencies): void {
  app.post<{ Body: unknown }>(
    '/oep/v1/usage',
    {
      schema: {
        operationId: 'recordUsage',
        tags: TAGS,
        summary: 'Record what already happened, as CloudEvents',
        consumes: ['application/cloudevents+json', 'application/cloudevents-batch+json'],
        body: OepUsageRequest,
        response: { ...FAULTS, 202: OepUsageAnswer },
      },
      bodyLimit: LIMITS.usageBatchBytes.value,
      validatorCompiler: acceptAll,
      config: { access: CONSUME, changes: false, body: 'events' },
    },
    async (request, reply) => {
      request.evaluationKind = 'usage';
      const { events } = accepted(
        fromCloudEvents(request.body, usageFormOf(request.headers['content-type'])),
      );
      const results = await recordUsage(services, credentialOf(request), {
        ...evaluationInputOf(request, {}),
        requestId: request.id,
        events,
      });
      return reply
        .code(202)
        .headers({ 'content-type': 'application/json; charset=utf-8', 'cache-control': 'no-store' })
        .send(JSON.stringify(toUsageAnswer(events, results)));
    },
  );
}

function toUsageAnswer(events: readonly OepUsageRead[], results: readonly UsageResult[]): UsageAnswer {
  const counts = { accepted: 0, duplicate: 0, refused: 0 };
  const items: OepUsageResult[] = [];
  for (const [index, event] of events.entries()) {
    const result = results[index];
    if (result === undefined) throw new Error('An event was left without a result.');
    counts[result.status] += 1;
    items.push({ source: event.source, id: event.id, ...toItemResult(result) });
  }
  return {
    accepted: counts.accepted,
    duplicates: counts.duplicate,
    refused: counts.refused,
    items,
    metadata: {},
  };
}

function toItemResult(result: UsageResult): Omit<OepUsageResult, 'source' | 'id'> {
  switch (result.status) {
    case 'accepted':
      return result.period === 'current'
        ? { status: 'accepted' }
        : { status: 'accepted', period: result.period };
    case 'duplicate':
      return { status: 'duplicate' };
    case 'refused':
      return { status: 'refused', errorCode: result.errorCode, errorDetails: result.message };
  }
}
