import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { Metrics } from '../service/metrics.js';

export interface PrometheusMetrics extends Metrics {
  /** The text that `/metrics` answers. */
  render(): Promise<{ readonly contentType: string; readonly text: string }>;
  /** Reads the value whenever it is asked for. */
  gauge(name: string, help: string, read: () => number | null): void;
}

const DURATION_BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const BATCH_BUCKETS = [1, 2, 4, 8, 16, 32, 64, 128, 256];

/** A registry of its own, so that two servers in one process (tests) do not share counters. */
export function createPrometheusMetrics(): PrometheusMetrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  const requests = new Counter({
    name: 'pennon_http_requests_total',
    help: 'Answered requests by route, method and status.',
    labelNames: ['route', 'method', 'status'],
    registers,
  });
  const durations = new Histogram({
    name: 'pennon_http_request_duration_seconds',
    help: 'From the first byte of a request to the last of its answer.',
    labelNames: ['route'],
    buckets: DURATION_BUCKETS,
    registers,
  });
  const evaluations = new Counter({
    name: 'pennon_evaluations_total',
    help: 'Evaluations by kind of what was asked.',
    labelNames: ['kind'],
    registers,
  });
  const batches = new Histogram({
    name: 'pennon_consume_batch_requests',
    help: 'Requests decided in one transaction.',
    buckets: BATCH_BUCKETS,
    registers,
  });
  const batchDurations = new Histogram({
    name: 'pennon_consume_lock_seconds',
    help: 'From the begin of a consume transaction until its locks are held and everything is read.',
    buckets: DURATION_BUCKETS,
    registers,
  });
  return {
    requestObserver(route) {
      const duration = durations.labels(route);
      const counters = new Map<string, Counter.Internal>();
      return (method, status, seconds) => {
        const known = `${method}${status}`;
        let counter = counters.get(known);
        if (counter === undefined) {
          counter = requests.labels(route, method, String(status));
          counters.set(known, counter);
        }
        counter.inc();
        duration.observe(seconds);
      };
    },
    countEvaluation(kind) {
      evaluations.inc({ kind });
    },
    observeConsumeBatch(count, seconds) {
      batches.observe(count);
      batchDurations.observe(seconds);
    },
    gauge(name, help, read) {
      new Gauge({
        name,
        help,
        registers,
        collect() {
          this.set(read() ?? Number.NaN);
        },
      });
    },
    async render() {
      return { contentType: registry.contentType, text: await registry.metrics() };
    },
  };
}
