import { join } from 'node:path';
import type { FastifyBaseLogger } from 'fastify';
import type { App } from './http/app.js';
import type { CatalogServices } from './http/catalog-bodies.js';
import { createApp } from './http/create-app.js';
import { collectOpenApi } from './http/openapi.js';
import { createPrometheusMetrics } from './http/prometheus-metrics.js';
import { measureParts } from './measure-parts.js';
import { allowedNetworks } from './outbound/address-classes.js';
import { createHostResolver } from './outbound/resolve-host.js';
import { createHookSender } from './outbound/send-hook.js';
import { readinessOf } from './readiness.js';
import { registerRoutes } from './register-routes.js';
import { BILLING_ADAPTERS } from './service/billing/billing-adapters.js';
import { createInboxWorker } from './service/billing/inbox-worker.js';
import { createReconciling } from './service/billing/reconcile-stripe.js';
import type { StripeClientOptions } from './service/billing/stripe/stripe-client.js';
import { createStripeClients } from './service/billing/stripe/stripe-clients.js';
import { createCatalogWorkshop } from './service/catalog-workshop.js';
import { createDatabaseClock } from './service/clock.js';
import type { ConsumeDependencies } from './service/consume-input.js';
import { createConsumption } from './service/consumption.js';
import type { SearchServices } from './service/contracts/list-customers.js';
import { createPlanMoveRunner } from './service/contracts/plan-move-runner.js';
import { createCustomerStates } from './service/customer-states.js';
import { createDirectory } from './service/directory.js';
import { createAnswerForgetting } from './service/forget-answers.js';
import { createHoldSweeper } from './service/hold-sweeper.js';
import { createHookJobs } from './service/hooks/hook-jobs.js';
import { createAuthenticator } from './service/keys/authenticator.js';
import type { FixedKeys } from './service/keys/fixed-keys.js';
import { KeyRing } from './service/keys/key-ring.js';
import { createKeyRingLoader } from './service/keys/key-ring-loader.js';
import { measuredAccounts, measuredUsage } from './service/measured-stores.js';
import { createInstallation } from './service/open-installation.js';
import { createPeriodSweeper } from './service/period-sweeper.js';
import type { PublishingThread } from './service/publishing-thread.js';
import { createRecentPreparations } from './service/recent-preparations.js';
import { createCustomerRegistration } from './service/register-customer.js';
import { createRememberedAnswers } from './service/remembered-answers.js';
import { createSchemaWatch } from './service/schema-watch.js';
import type { Secret } from './service/secret.js';
import { seedInstallation } from './service/seed.js';
import { createSnapshots } from './service/snapshots.js';
import { createStoreAway } from './service/store-away/store-away.js';
import { createRecording } from './service/usage/recording.js';
import { createUsageKeeper } from './service/usage/usage-keeper.js';
import { STANDARD_USAGE_MONTHS } from './service/usage-retention.js';
import { isLostRace, openAccounts } from './store/accounts.js';
import { createAuditTrail } from './store/audit-trail.js';
import { createCatalogSource } from './store/catalog-source.js';
import { createChangeFeed } from './store/change-feed.js';
import { createCustomerFactsStore } from './store/customer-facts.js';
import { LOOKUP_SESSION, openDatabase } from './store/database.js';
import { isDatabaseStarting, isDatabaseUnavailable } from './store/database-error.js';
import { readDatabaseTime } from './store/database-time.js';
import { createJournalFiles } from './store/journal-files.js';
import { migrate, readSchemaDifference } from './store/migrate.js';
import { createReservationReads } from './store/reservation-reads.js';
import { createSnapshotFiles } from './store/snapshot-files.js';
import { createStoreProbe } from './store/store-probe.js';
import { createSubjectSearch, SEARCH_SESSION } from './store/subject-search.js';
import { createUsagePartitions } from './store/usage-partitions.js';
import { isLostRecord, openUsageStore } from './store/usage-store.js';

/** The name of the product that `examples/saleshub` makes. */
export const EXAMPLE_PRODUCT = 'saleshub';

export interface ServerSettings {
  readonly databaseUrl: Secret;
  /** `null`: nothing is kept on disk, so the process cannot start with the database away. */
  readonly dataDirectory: string | null;
  readonly fixedKeys: FixedKeys;
  /** Keys of the product that is meant when nothing is named, the most wanted first. */
  readonly preferredProducts: readonly string[];
  readonly version: string;
  readonly log: FastifyBaseLogger;
  /** Tests: an answer that its schema does not describe becomes a 500. */
  readonly checkResponses?: boolean;
  /** How many whole months usage records are kept; default 13. */
  readonly usageMonths?: number;
  /** How many whole months the history of usage is kept; default as many as its records. */
  readonly historyMonths?: number;
  /** How long a cold look-up of a customer may take; default 50 ms. */
  readonly customerDeadlineMilliseconds?: number;
  /** How many customers (and users, teams, instances, of each as many) stay in memory; default `LIMITS.customersInMemory`. */
  readonly customersInMemory?: number;
  /** Tests: one thread for every server of the process; default is one of its own, which ends with it. */
  readonly publishingThread?: PublishingThread;
  /** Addresses and networks of proxies whose `X-Forwarded-For` says who asks; default none. */
  readonly trustedProxies?: readonly string[];
  /** Addresses and networks that webhooks may reach besides the public internet; default none. */
  readonly webhookNetworks?: readonly string[];
  /** Tests: another server that speaks Stripe's API. */
  readonly stripeServer?: StripeClientOptions['server'];
}

/** What the parts of one process are made of; `main.ts` and the tests reach the use-cases through it. */
export type Parts = ReturnType<typeof composeParts>;

export interface PennonServer {
  readonly app: App;
  readonly parts: Parts;
  /** Makes the process able to answer; then `app.listen` may be called. */
  open(): Promise<void>;
  /** `/readyz` fails from now on, so that balancers look elsewhere. */
  drain(): void;
  /** Answers what is under way, then ends everything that this process holds. May be called again. */
  close(): Promise<void>;
}

/** INVARIANT: the only function that constructs adapters, so that a reader sees in one place what stands behind each port. */
function composeParts(settings: ServerSettings) {
  const { log } = settings;
  const connectionString = settings.databaseUrl.reveal();
  const onProblem = (problem: string, error: unknown): void => log.warn({ err: error }, problem);
  const onConnectionLost = (error: Error): void =>
    log.warn({ err: error }, 'a connection to the database was lost');
  const fileIn = (name: string): string | null =>
    settings.dataDirectory === null ? null : join(settings.dataDirectory, name);

  const metrics = createPrometheusMetrics();
  const database = openDatabase({ connectionString, onConnectionLost });
  const clock = createDatabaseClock({ readDatabaseTime: () => readDatabaseTime(database.kysely) });
  const audit = createAuditTrail({ clock });
  const feed = createChangeFeed({ database, clock, listenConnectionString: connectionString, onProblem });
  const directory = createDirectory({
    database: database.kysely,
    file: fileIn('directory.json'),
    preferredProducts: settings.preferredProducts,
    onProblem,
  });
  const ring = new KeyRing();
  const keys = createKeyRingLoader({
    ring,
    database: database.kysely,
    directory,
    fixedKeys: settings.fixedKeys,
    file: fileIn('key-ring.json'),
    onProblem,
  });
  // Products and environments first: whatever hears of a change after this finds them.
  feed.subscribe(async ({ kind }) => {
    if (kind === 'directory') await directory.load();
    if (kind === 'directory' || kind === 'keys') await keys.load();
  });
  feed.subscribeToReset(async () => {
    await directory.load();
    await keys.load();
  });

  const snapshotFolder = fileIn('snapshots');
  const snapshots = createSnapshots({
    source: createCatalogSource(database.kysely),
    directory,
    feed,
    files: snapshotFolder === null ? null : createSnapshotFiles(snapshotFolder, onProblem),
    now: clock.now,
    onProblem,
  });
  // Connections of their own that stay open: a cold look-up has 50 ms, for neither a handshake nor a queue behind changes.
  const customerReads = openDatabase({
    connectionString,
    applicationName: 'pennon customers',
    maxConnections: 8,
    statementTimeoutMilliseconds: 2000,
    idleTimeoutMilliseconds: 0,
    sessionStatements: LOOKUP_SESSION,
    onConnectionLost,
  });
  const { customerDeadlineMilliseconds, customersInMemory } = settings;
  const customers = createCustomerStates({
    store: createCustomerFactsStore(customerReads.pool),
    changes: feed,
    ...(customersInMemory === undefined ? {} : { maxCustomers: customersInMemory }),
    ...(customerDeadlineMilliseconds === undefined
      ? {}
      : { deadlineMilliseconds: customerDeadlineMilliseconds }),
    isAway: isDatabaseUnavailable,
    onUnreadable: (error) => log.warn({ err: error }, 'the state of a customer could not be read'),
  });
  const accounts = openAccounts({ connectionString, onConnectionLost });
  const lanes = createConsumption({
    accounts: measuredAccounts(accounts, metrics),
    snapshots,
    customers,
    isLostRace,
  });
  /** The instant up to which every committed change is known to this process. */
  function knownUntil(): number {
    const heard = feed.knownUntil();
    if (heard !== null) return heard;
    const loaded = snapshots.report().map((snapshot) => snapshot.readAtMilliseconds);
    return loaded.length === 0 ? 0 : Math.min(...loaded);
  }
  const journalFolder = fileIn('journal');
  const storeAway = createStoreAway({
    lanes,
    journal: journalFolder === null ? null : createJournalFiles({ root: journalFolder, onProblem }),
    evaluation: { directory, snapshots, customers, clock, knownUntil },
    balances: accounts,
    probe: createStoreProbe(connectionString),
    isUnavailable: isDatabaseUnavailable,
    onAnswered: (feature, policy) => metrics.countFallback(feature, policy),
    onAway: (error) =>
      log.warn({ err: error }, 'consumes do not reach the database; features with onStoreAway are answered'),
    onBack: (awayMilliseconds, waiting) =>
      log.warn({ awayMilliseconds, waiting }, 'consumes reach the database again; what waits is counted now'),
    onCounted: (count) => log.info({ count }, 'answers without the database were counted in it'),
    onProblem,
  });
  const holdSweeper = createHoldSweeper({ database: database.kysely, accounts, clock, onProblem });
  const usage = measuredUsage(openUsageStore({ connectionString, onConnectionLost }), metrics);
  const recorder = createRecording({
    usage,
    snapshots,
    customers,
    mayRunAgain: (error) => isLostRecord(error) || isDatabaseUnavailable(error),
  });
  const recordMonths = settings.usageMonths ?? STANDARD_USAGE_MONTHS;
  const historyMonths = settings.historyMonths ?? recordMonths;
  const partitions = createUsagePartitions({
    pool: database.pool,
    clock,
    months: { records: recordMonths, history: historyMonths },
    onProblem,
  });
  const usageKeeper = createUsageKeeper({ database: database.kysely, clock, historyMonths, onProblem });
  const answers = createRememberedAnswers({ database: database.kysely, clock });
  const forgetting = createAnswerForgetting(answers, onProblem);
  const workshop = createCatalogWorkshop({
    connectionString,
    ...(settings.publishingThread === undefined ? {} : { sharedThread: settings.publishingThread }),
  });
  const authenticator = createAuthenticator({ ring, directory, clock });

  const searches = openDatabase({
    connectionString,
    applicationName: 'pennon search',
    maxConnections: 4,
    statementTimeoutMilliseconds: 2000,
    sessionStatements: SEARCH_SESSION,
    onConnectionLost,
  });
  const management: SearchServices = {
    database: database.kysely,
    search: createSubjectSearch(searches.pool),
    directory,
    audit,
    changes: feed,
    clock,
  };
  const planMoveServices = {
    ...management,
    snapshots,
    // Pages of many customers: not on the connections that a cold look-up waits for.
    facts: createCustomerFactsStore(database.pool),
  };
  const stripeClientOf = createStripeClients(settings.stripeServer);
  const billingInbox = createInboxWorker({
    ...management,
    adapters: BILLING_ADAPTERS,
    stripeClientOf,
    onProblem,
  });
  const billingReconciling = createReconciling({ ...management, stripeClientOf, onProblem });
  const planMoves = createPlanMoveRunner({ services: planMoveServices, onProblem });
  const { webhookNetworks = [] } = settings;
  const hookPolicy = { allowed: allowedNetworks(webhookNetworks), allowsAny: webhookNetworks.length > 0 };
  const hookSender = createHookSender({ policy: hookPolicy, resolve: createHostResolver() });
  const userAgent = `Pennon/${settings.version}`;
  const hookJobs = createHookJobs({
    services: planMoveServices,
    sender: hookSender,
    userAgent,
    onAttempt: (outcome) => metrics.countWebhookAttempt(outcome),
    onProblem,
  });
  const publishing: CatalogServices = {
    database: database.kysely,
    workshop,
    audit,
    feed,
    clock,
    directory,
  };
  const installation = createInstallation({
    migrate: () => migrate(connectionString),
    seed: () => seedInstallation(management),
    clock,
    directory,
    keys,
    snapshots,
    feed,
    isUnavailable: isDatabaseUnavailable,
    isStarting: isDatabaseStarting,
    onProblem,
  });
  const consuming: ConsumeDependencies = {
    directory,
    snapshots,
    customers,
    clock,
    knownUntil,
    balances: accounts,
    batcher: storeAway.consumption,
    recent: createRecentPreparations(snapshots),
    reservations: createReservationReads(database.kysely),
    registerCustomer: createCustomerRegistration(management, customers),
  };
  const periodSweeper = createPeriodSweeper({
    database: database.kysely,
    // Never from a journal: what is opened by the clock waits until the store is back.
    consume: { ...consuming, batcher: { ...lanes, toldBefore: () => null } },
    onProblem,
  });
  const schema = createSchemaWatch({ read: () => readSchemaDifference(database), onProblem });
  return {
    metrics,
    database,
    schema,
    clock,
    audit,
    feed,
    directory,
    ring,
    keys,
    snapshots,
    customers,
    customerReads,
    searches,
    accounts,
    consumption: storeAway.consumption,
    storeAway,
    usage,
    recorder,
    recent: consuming.recent,
    consuming,
    partitions,
    usageKeeper,
    holdSweeper,
    billingInbox,
    billingReconciling,
    periodSweeper,
    answers,
    forgetting,
    workshop,
    authenticator,
    management,
    publishing,
    installation,
    planMoveServices,
    planMoves,
    hookJobs,
    hookServices: { ...management, policy: hookPolicy, sender: hookSender, userAgent, jobs: hookJobs },
    knownUntil,
  };
}

/** Puts one process together. Nothing is opened or listened to before `open`. */
export async function composeServer(settings: ServerSettings): Promise<PennonServer> {
  const parts = composeParts(settings);
  let draining = false;
  const app = createApp({
    authenticator: parts.authenticator,
    directory: parts.directory,
    metrics: parts.metrics,
    log: settings.log,
    isUnavailable: isDatabaseUnavailable,
    memory: { answers: parts.answers, database: parts.database.kysely },
    checkResponses: settings.checkResponses ?? false,
    trustedProxies: settings.trustedProxies ?? [],
  });
  await collectOpenApi(app, settings.version);
  registerRoutes(app, parts, () => readinessOf(parts, draining));
  measureParts(parts);
  let closing: Promise<void> | null = null;
  return {
    app,
    parts,
    async open() {
      await parts.installation.open();
      parts.schema.start();
      await parts.customers.warmUp();
      const partitioned = parts.partitions.start();
      // With the database away nothing is written, and nothing waits for it.
      if (parts.installation.source() === 'database') await partitioned;
      parts.planMoves.start();
      parts.usageKeeper.start();
      parts.holdSweeper.start();
      parts.billingInbox.start();
      parts.billingReconciling.start();
      parts.periodSweeper.start();
      parts.hookJobs.start();
      parts.forgetting.start();
      await parts.storeAway.start();
    },
    drain() {
      draining = true;
    },
    close() {
      draining = true;
      closing ??= closeAll(app, parts);
      return closing;
    },
  };
}

/** Requests first, then what they may still write, then what they read. */
async function closeAll(app: App, parts: Parts): Promise<void> {
  parts.installation.close();
  await app.close();
  parts.clock.stop();
  parts.schema.stop();
  parts.partitions.stop();
  parts.forgetting.stop();
  parts.customers.stop();
  await parts.planMoves.stop();
  await parts.usageKeeper.stop();
  await Promise.all([parts.billingInbox.stop(), parts.billingReconciling.stop()]);
  await Promise.all([parts.holdSweeper.stop(), parts.periodSweeper.stop(), parts.hookJobs.stop()]);
  await parts.storeAway.stop();
  await Promise.all([parts.consumption.drain(), parts.recorder.drain()]);
  await parts.storeAway.close();
  await Promise.allSettled([parts.workshop.stop(), parts.accounts.close(), parts.usage.close()]);
  await Promise.allSettled([parts.feed.stop(), parts.snapshots.stop()]);
  await Promise.allSettled([parts.customerReads.close(), parts.searches.close(), parts.database.close()]);
}
