import { Type } from 'typebox';
import type { App } from '../app.js';
import type { PrometheusMetrics } from '../prometheus-metrics.js';

export interface Readiness {
  readonly ready: boolean;
  /** Seconds since the database was last heard of; `null`: never. */
  readonly databaseAgeSeconds: number | null;
  readonly databaseReachable: boolean;
  readonly snapshots: readonly {
    readonly productId: string;
    readonly environment: string;
    readonly revision: number;
    readonly ageSeconds: number;
    readonly source: 'database' | 'disk';
  }[];
  readonly problems: readonly string[];
}

export interface OperationsServices {
  readonly metrics: PrometheusMetrics;
  readonly readiness: () => Readiness;
}

const ReadinessSchema = Type.Object({
  ready: Type.Boolean(),
  databaseReachable: Type.Boolean(),
  databaseAgeSeconds: Type.Union([Type.Number(), Type.Null()]),
  snapshots: Type.Array(
    Type.Object({
      productId: Type.String(),
      environment: Type.String(),
      revision: Type.Integer(),
      ageSeconds: Type.Number(),
      source: Type.Union([Type.Literal('database'), Type.Literal('disk')]),
    }),
  ),
  problems: Type.Array(Type.String()),
});

const config = { access: 'public' } as const;
const tags = ['Operations'];

/** What supervisors and scrapers ask. Nothing here touches the database. */
export function registerOperationsRoutes(app: App, services: OperationsServices): void {
  app.get(
    '/healthz',
    {
      config,
      schema: {
        operationId: 'readHealth',
        tags,
        summary: 'Whether the process is alive',
        response: { 200: Type.Object({ alive: Type.Literal(true) }) },
      },
    },
    async (_request, reply) => reply.header('cache-control', 'no-store').send({ alive: true }),
  );

  app.get(
    '/readyz',
    {
      config,
      schema: {
        operationId: 'readReadiness',
        tags,
        summary: 'Whether the process should get requests: database, snapshots and their ages',
        response: { 200: ReadinessSchema, 503: ReadinessSchema },
      },
    },
    async (_request, reply) => {
      const readiness = services.readiness();
      return reply
        .code(readiness.ready ? 200 : 503)
        .header('cache-control', 'no-store')
        .send({ ...readiness, snapshots: [...readiness.snapshots], problems: [...readiness.problems] });
    },
  );

  app.get(
    '/metrics',
    {
      config,
      schema: {
        operationId: 'readMetrics',
        tags,
        summary: 'Counters and durations for Prometheus',
        response: {
          200: {
            description: 'Prometheus text format',
            content: { 'text/plain': { schema: Type.String() } },
          },
        },
      },
    },
    async (_request, reply) => {
      const { contentType, text } = await services.metrics.render();
      return reply.header('content-type', contentType).send(text);
    },
  );
}
