import { collectDefaultMetrics, Gauge, Histogram, type Metric, Registry } from 'prom-client';
import type { Metrics } from '../service/metrics.js';

export interface PrometheusMetrics extends Metrics {
  /** The text that `/metrics` answers. */
  render(): Promise<{ readonly contentType: string; readonly text: string }>;
  /** Reads the value whenever it is asked for. */
  gauge(name: string, help: string, read: () => number | null | Promise<number | null>): void;
}

const DURATION_BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const BATCH_BUCKETS = [1, 2, 4, 8, 16, 32, 64, 128, 256];

/** A registry of its own, so that two servers in one process (tests) do not share counters. */
export function createPrometheusMetrics(): PrometheusMetrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  const routes = new Map<string, RouteCounts>();
  const evaluations = new Map<string, { count: number }>();
  const fallbacks = new Map<string, { readonly feature: string; readonly policy: string; count: number }>();
  const notices = new Map<string, number>();
  const webhookAttempts = new Map<string, number>();
  const batchesAhead = new Map<boolean, number>();
  let wouldHaveDenied = 0;
  registerPlain(registry, {
    name: 'pennon_http_requests_total',
    help: 'Answered requests by route, method and status.',
    type: 'counter',
    read: () => [...routes].flatMap(([route, counts]) => counts.requestSamples(route)),
  });
  registerPlain(registry, {
    name: 'pennon_http_request_duration_seconds',
    help: 'From the first byte of a request to the last of its answer.',
    type: 'histogram',
    read: () => [...routes].flatMap(([route, counts]) => counts.durationSamples(route)),
  });
  registerPlain(registry, {
    name: 'pennon_evaluations_total',
    help: 'Evaluations by kind of what was asked.',
    type: 'counter',
    read: () => [...evaluations].map(([kind, { count }]) => ({ labels: { kind }, value: count })),
  });
  registerPlain(registry, {
    name: 'pennon_fallback_answers_total',
    help: 'Consumes, by item, that were answered from the journal because the database was away.',
    type: 'counter',
    read: () => [...fallbacks.values()].map(({ count, ...labels }) => ({ labels, value: count })),
  });
  registerPlain(registry, {
    name: 'pennon_notices_total',
    help: 'Notices of usage that this process committed, by type.',
    type: 'counter',
    read: () => [...notices].map(([type, value]) => ({ labels: { type }, value })),
  });
  registerPlain(registry, {
    name: 'pennon_webhook_attempts_total',
    help: 'Requests to listeners of webhooks by what came of them.',
    type: 'counter',
    read: () => [...webhookAttempts].map(([outcome, value]) => ({ labels: { outcome }, value })),
  });
  registerPlain(registry, {
    name: 'pennon_would_have_denied_total',
    help: 'What was allowed because the limit is only observed, and a hard one would have denied.',
    type: 'counter',
    read: () => [{ labels: {}, value: wouldHaveDenied }],
  });
  registerPlain(registry, {
    name: 'pennon_consume_batches_ahead_total',
    help: 'Batches that were decided before their locks were held, by whether everything stood as expected.',
    type: 'counter',
    read: () => [...batchesAhead].map(([stood, value]) => ({ labels: { stood: String(stood) }, value })),
  });
  const batches = new Histogram({
    name: 'pennon_consume_batch_requests',
    help: 'Requests decided in one transaction.',
    buckets: BATCH_BUCKETS,
    registers,
  });
  const batchDurations = new Histogram({
    name: 'pennon_consume_lock_seconds',
    help: 'From the begin of a consume transaction until its locks are held and everything is read, of those that are decided then.',
    buckets: DURATION_BUCKETS,
    registers,
  });
  return {
    requestObserver(route) {
      let counts = routes.get(route);
      if (counts === undefined) {
        counts = new RouteCounts();
        routes.set(route, counts);
      }
      const own = counts;
      return (method, status, seconds) => own.count(method, status, seconds);
    },
    countEvaluation(kind) {
      const known = evaluations.get(kind);
      if (known === undefined) {
        evaluations.set(kind, { count: 1 });
      } else {
        known.count += 1;
      }
    },
    countFallback(feature, policy) {
      const name = `${policy} ${feature}`;
      const known = fallbacks.get(name);
      if (known === undefined) {
        fallbacks.set(name, { feature, policy, count: 1 });
      } else {
        known.count += 1;
      }
    },
    observeConsumeBatch(count, seconds) {
      batches.observe(count);
      batchDurations.observe(seconds);
    },
    countBatchAhead(count, stood) {
      if (stood) batches.observe(count);
      batchesAhead.set(stood, (batchesAhead.get(stood) ?? 0) + 1);
    },
    countNotice(type) {
      notices.set(type, (notices.get(type) ?? 0) + 1);
    },
    countWebhookAttempt(outcome) {
      webhookAttempts.set(outcome, (webhookAttempts.get(outcome) ?? 0) + 1);
    },
    countWouldHaveDenied(count) {
      wouldHaveDenied += count;
    },
    gauge(name, help, read) {
      new Gauge({
        name,
        help,
        registers,
        async collect() {
          this.set((await read()) ?? Number.NaN);
        },
      });
    },
    async render() {
      return { contentType: registry.contentType, text: await registry.metrics() };
    },
  };
}

interface Sample {
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
  /** Where it is not the metric's own. */
  readonly metricName?: string;
}

interface PlainMetric {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'histogram';
  read(): readonly Sample[];
}

/** The library's counters look their labels up with every call, which costs more than a decision; these are read when asked for. */
function registerPlain(registry: Registry, { name, help, type, read }: PlainMetric): void {
  const metric = { name, help, get: async () => ({ name, help, type, values: read() }) };
  // The library's own classes are all that its types know; what it calls is `get`.
  registry.registerMetric(metric as unknown as Metric);
}

/** What one route has answered. */
class RouteCounts {
  readonly #byStatus = new Map<number, Map<string, { count: number }>>();
  readonly #buckets: number[] = new Array(DURATION_BUCKETS.length + 1).fill(0);
  #seconds = 0;

  count(method: string, status: number, seconds: number): void {
    let byMethod = this.#byStatus.get(status);
    if (byMethod === undefined) {
      byMethod = new Map();
      this.#byStatus.set(status, byMethod);
    }
    const known = byMethod.get(method);
    if (known === undefined) {
      byMethod.set(method, { count: 1 });
    } else {
      known.count += 1;
    }
    let bucket = 0;
    while (bucket < DURATION_BUCKETS.length && seconds > (DURATION_BUCKETS[bucket] ?? 0)) bucket += 1;
    this.#buckets[bucket] = (this.#buckets[bucket] ?? 0) + 1;
    this.#seconds += seconds;
  }

  requestSamples(route: string): Sample[] {
    return [...this.#byStatus].flatMap(([status, byMethod]) =>
      [...byMethod].map(([method, { count }]) => ({ labels: { route, method, status }, value: count })),
    );
  }

  durationSamples(route: string): Sample[] {
    const name = 'pennon_http_request_duration_seconds';
    let count = 0;
    const buckets = this.#buckets.map((own, index) => {
      count += own;
      const le = DURATION_BUCKETS[index] ?? '+Inf';
      return { labels: { le, route }, value: count, metricName: `${name}_bucket` };
    });
    if (count === 0) return [];
    return [
      ...buckets,
      { labels: { route }, value: this.#seconds, metricName: `${name}_sum` },
      { labels: { route }, value: count, metricName: `${name}_count` },
    ];
  }
}
