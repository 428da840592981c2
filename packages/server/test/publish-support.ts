import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Snapshot } from '@pennon/engine/snapshot/snapshot';
import { createCatalogWorkshop } from '@pennon/server/service/catalog-workshop';
import { createDatabaseClock } from '@pennon/server/service/clock';
import type { ChangeContext } from '@pennon/server/service/credential';
import { createDirectory } from '@pennon/server/service/directory';
import { newId } from '@pennon/server/service/new-id';
import type { AuditTrail, ChangeFeed } from '@pennon/server/service/ports';
import { type PublishInput, publish } from '@pennon/server/service/publish';
import type { CatalogEdit } from '@pennon/server/service/publish-plan';
import type { PublishingThread } from '@pennon/server/service/publishing-thread';
import { createSnapshots } from '@pennon/server/service/snapshots';
import { createAuditTrail } from '@pennon/server/store/audit-trail';
import { createCatalogSource } from '@pennon/server/store/catalog-source';
import { createChangeFeed } from '@pennon/server/store/change-feed';
import { openDatabase } from '@pennon/server/store/database';
import { readDatabaseTime } from '@pennon/server/store/database-time';
import { createSnapshotFiles } from '@pennon/server/store/snapshot-files';

export const PRODUCT = { id: '0190a000-0000-7000-8000-000000000001', key: 'saleshub' };
export const PRODUCTION = { id: '0190a000-0000-7000-8000-0000000000a1', key: 'production' };
export const DEVELOPMENT = { id: '0190a000-0000-7000-8000-0000000000a2', key: 'development' };
export const GUARDED = { id: '0190a000-0000-7000-8000-0000000000a3', key: 'guarded' };

export function change(reason = 'a test'): ChangeContext {
  return { actor: { kind: 'admin-key', id: 'key-1', onBehalfOf: null }, requestId: newId(), reason };
}

/** Into a database with the schema: one product, two open environments and a protected one. */
export async function prepare(url: string): Promise<void> {
  const database = openDatabase({ connectionString: url, maxConnections: 1 });
  const now = new Date();
  await database.kysely
    .insertInto('product')
    .values({ ...PRODUCT, name: 'Sales Hub', head_revision: 0, version: 1, created_at: now })
    .execute();
  for (const environment of [PRODUCTION, DEVELOPMENT, GUARDED]) {
    const guarded = environment === GUARDED;
    await database.kysely
      .insertInto('environment')
      .values({ ...environment, name: environment.key, protected: guarded, version: 1, created_at: now })
      .execute();
  }
  await database.close();
}

export interface ProcessOptions {
  readonly dataDirectory?: string;
  readonly notify?: boolean;
  /** For a process that is alone on its database. */
  readonly sharedThread?: PublishingThread;
  readonly audit?: (audit: AuditTrail) => AuditTrail;
  readonly feed?: (feed: ChangeFeed) => ChangeFeed;
}

/** What one server process holds of publishing, without HTTP: two of them on one database are two processes to each other. */
export async function startProcess(url: string, options: ProcessOptions = {}) {
  const problems: string[] = [];
  const onProblem = (problem: string) => problems.push(problem);
  const database = openDatabase({ connectionString: url, onConnectionLost: () => undefined });
  const clock = createDatabaseClock({ readDatabaseTime: () => readDatabaseTime(database.kysely) });
  const listenConnectionString = options.notify === false ? null : url;
  const feed = createChangeFeed({ database, clock, listenConnectionString, onProblem });
  const folder = options.dataDirectory ?? null;
  const directory = createDirectory({
    database: database.kysely,
    file: folder === null ? null : join(folder, 'directory.json'),
    preferredProducts: [],
    onProblem,
  });
  const files = folder === null ? null : createSnapshotFiles(join(folder, 'snapshots'), onProblem);
  const source = createCatalogSource(database.kysely);
  const snapshots = createSnapshots({ source, directory, feed, files, now: clock.now, onProblem });
  const sharedThread = options.sharedThread;
  const workshop = createCatalogWorkshop({
    connectionString: url,
    ...(sharedThread === undefined ? {} : { sharedThread }),
  });
  const baseAudit = createAuditTrail({ clock });
  const audit = options.audit?.(baseAudit) ?? baseAudit;
  const publishing = {
    database: database.kysely,
    workshop,
    audit,
    feed: options.feed?.(feed) ?? feed,
    clock,
    directory,
  };
  await directory.loadFromDisk();
  const servedFromDisk = await snapshots.startFromDisk();
  await feed.start();
  const connected = await directory.load().then(
    () => true,
    () => false,
  );
  if (connected) {
    await clock.refresh();
    await snapshots.loadAll();
  }
  return {
    database,
    clock,
    directory,
    feed,
    snapshots,
    workshop,
    publishing,
    problems,
    servedFromDisk,
    connected,
    apply: (text: string, input: Partial<DocumentInput> = {}) =>
      publish(publishing, change(), documentInput(text, input)),
    edit: (edit: CatalogEdit) =>
      publish(publishing, change(), { product: PRODUCT, edit, environments: null, dryRun: false }),
    current: (environment = PRODUCTION): Snapshot | null => snapshots.current(PRODUCT.id, environment.id),
    async stop() {
      await feed.stop();
      await snapshots.stop();
      await workshop.stop();
      await database.close();
    },
  };
}

export type RunningProcess = Awaited<ReturnType<typeof startProcess>>;

interface DocumentInput {
  readonly base: number | null;
  readonly prune: boolean;
  readonly dryRun: boolean;
  readonly environments: readonly string[] | null;
}

function documentInput(text: string, input: Partial<DocumentInput>): PublishInput {
  return {
    product: PRODUCT,
    edit: {
      type: 'document',
      files: [{ name: 'catalog.yaml', text }],
      base: input.base ?? null,
      prune: input.prune ?? false,
    },
    environments: input.environments ?? null,
    dryRun: input.dryRun ?? false,
  };
}

export async function temporaryFolder(): Promise<{ path: string; remove(): Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'pennon-publish-'));
  return { path, remove: () => rm(path, { recursive: true, force: true }) };
}

export async function eventually(holds: () => boolean, milliseconds: number): Promise<number> {
  const started = performance.now();
  while (!holds()) {
    if (performance.now() - started > milliseconds) throw new Error(`Not within ${milliseconds} ms.`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return performance.now() - started;
}

/** The JSON of a boolean flag whose default says whether it is on. */
export function flagText(key: string, on: boolean, more: Readonly<Record<string, unknown>> = {}): string {
  const owner = 'w@example.com';
  const flag = {
    key,
    type: 'boolean',
    category: 'release',
    owner,
    purpose: key,
    removal: 'Soon',
    default: on,
  };
  return JSON.stringify({ ...flag, ...more });
}
