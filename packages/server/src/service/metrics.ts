/** What the server counts; prom-client stands behind it. Labels are closed words or keys of the catalog, never keys of users. */
export interface Metrics {
  /** One observer per route, made at registration. `seconds` is the time from the first byte to the last. */
  requestObserver(route: string): (method: string, status: number, seconds: number) => void;
  countEvaluation(kind: string): void;
  /** A consume, or one item of it, that was answered without the store. */
  countFallback(feature: string, policy: string): void;
  /** One transaction of the consume batcher; `seconds` until its locks were held and everything was read. */
  observeConsumeBatch(requests: number, seconds: number): void;
  /** One that was decided before its locks were held, whether everything then stood as expected. Where it did not, another one follows. */
  countBatchAhead(requests: number, stood: boolean): void;
  /** A notice that was committed. */
  countNotice(type: string): void;
  /** A request to a listener: `accepted`, `declined` by its status, `refused` by where it would have gone, `failed`. */
  countWebhookAttempt(outcome: string): void;
  /** What was allowed because it is only observed. */
  countWouldHaveDenied(count: number): void;
}
