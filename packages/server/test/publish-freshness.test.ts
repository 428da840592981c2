import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createMigratedDatabase, type TestDatabase } from '@pennon/testkit/test-database';
import { sql } from 'kysely';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  eventually,
  flagText,
  PRODUCT,
  PRODUCTION,
  type ProcessOptions,
  prepare,
  type RunningProcess,
  startProcess,
  temporaryFolder,
} from './publish-support.js';

const AWAY = 'postgres://nobody:nothing@127.0.0.1:1/none';

function flags(...texts: readonly string[]): string {
  return JSON.stringify({ flags: texts.map((text) => JSON.parse(text)) });
}

describe('what other processes see', () => {
  let database: TestDatabase;
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  const running: RunningProcess[] = [];
  beforeEach(async () => {
    database = await createMigratedDatabase();
    folder = await temporaryFolder();
    await prepare(database.url);
  });
  afterEach(async () => {
    for (const one of running.splice(0)) await one.stop();
    await database.drop();
    await folder.remove();
  });

  async function start(options: ProcessOptions = {}, url = database.url): Promise<RunningProcess> {
    const process = await startProcess(url, options);
    running.push(process);
    return process;
  }

  const isOn = (process: RunningProcess, key: string) =>
    process.current()?.flags.get(key)?.fallback.name === 'on';

  it('F-4 a publish reaches another process within a second, with NOTIFY and with every NOTIFY lost', async () => {
    const writer = await start();
    for (const notify of [true, false]) {
      const reader = await start({ notify });
      for (let round = 0; round < 3; round += 1) {
        const on = !isOn(reader, 'a');
        await writer.apply(flags(flagText('a', on)));
        expect(isOn(writer, 'a')).toBe(on);
        await eventually(() => isOn(reader, 'a') === on, 1000);
      }
    }
  });

  it('a consistency token makes another process catch up, or says that it cannot', async () => {
    const writer = await start();
    const reader = await start({ notify: false });
    const { revision } = await writer.apply(flags(flagText('a', true)));
    const snapshot = await reader.snapshots.atLeast(PRODUCT.id, PRODUCTION.id, revision, 1000);
    expect(snapshot.revision).toBe(revision);
    await expect(
      reader.snapshots.atLeast(PRODUCT.id, PRODUCTION.id, revision + 1, 100),
    ).rejects.toMatchObject({
      kind: 'unavailable',
    });
  });

  it('a commit that comes late is not skipped: its transaction was older than one already heard of', async () => {
    const reader = await start({ notify: false });
    const writer = await start({ notify: false });
    await writer.apply(flags(flagText('a', false)));
    await eventually(() => reader.current() !== null, 1500);
    const heard: string[] = [];
    reader.feed.subscribe((notice) => void heard.push(notice.kind));
    let finish: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const slow = writer.database.kysely.transaction().execute(async (transaction) => {
      await writer.feed.write(transaction, { kind: 'environment-customers', environmentId: PRODUCTION.id });
      await gate;
    });
    await writer.apply(flags(flagText('a', true)));
    await eventually(() => isOn(reader, 'a'), 1500);
    expect(heard).not.toContain('environment-customers');
    finish();
    await slow;
    await eventually(() => heard.includes('environment-customers'), 1500);
    expect(heard.filter((kind) => kind === 'environment-customers')).toHaveLength(1);
  });

  it('R-34 an older revision never replaces a newer one, whatever arrives late', async () => {
    const process = await start();
    await process.apply(flags(flagText('a', false)));
    await process.apply(flags(flagText('a', true)));
    expect(process.current()?.revision).toBe(2);
    await sql`update environment_revision set revision = 1`.execute(process.database.kysely);
    await process.feed.publishLocally({
      kind: 'revision',
      productId: PRODUCT.id,
      environmentId: PRODUCTION.id,
      revision: 1,
    });
    await process.snapshots.loadAll();
    await process.snapshots.loadAll();
    expect(process.current()?.revision).toBe(2);
    expect(isOn(process, 'a')).toBe(true);
    const told = process.problems.filter((problem) => problem.includes('restored from a backup'));
    expect(told).toHaveLength(2);
  });

  it('R-35 an empty catalog never replaces one that has items, unless it was published', async () => {
    const process = await start();
    await process.apply(flags(flagText('a', true)));
    const other = await start({ notify: false });
    await sql`delete from catalog_item`.execute(process.database.kysely);
    await sql`update environment_revision set revision = 9, effective_hash = 'another'`.execute(
      process.database.kysely,
    );
    await expect(other.snapshots.loadAll()).rejects.toThrow(/no items at all/);
    expect(other.current()?.flags.has('a')).toBe(true);
  });

  it('R-35 what was published as empty is served as empty', async () => {
    const process = await start();
    await process.apply(flags(flagText('a', true)));
    await process.apply('{}', { prune: true });
    expect(process.current()?.flags.size).toBe(0);
    const other = await start();
    expect(other.current()?.flags.size).toBe(0);
    expect(other.current()?.revision).toBe(2);
  });

  it('R-21 a bad item forced into the database disables only itself', async () => {
    const writer = await start();
    await writer.apply(
      flags(flagText('a', true), flagText('b', true), flagText('c', true), flagText('d', true)),
    );
    const reader = await start();
    const force = (key: string, text: string) =>
      sql`update catalog_item set text = ${text}, hash = encode(sha256(convert_to(${text}, 'UTF8')), 'hex'), from_revision = 2
        where key = ${key}`.execute(writer.database.kysely);
    await force('a', '{"key":"a","type":"boolean","rules":null}');
    await force('b', 'not json');
    await force('c', flagText('c', true, { requires: ['nothing-of-that-name'] }));
    await sql`update environment_revision set revision = 2`.execute(writer.database.kysely);
    await reader.snapshots.loadAll();
    const [report] = reader.snapshots.report().filter(({ environmentId }) => environmentId === PRODUCTION.id);
    expect(report?.revision).toBe(2);
    expect(report?.contained.map(({ key, handling }) => `${key} ${handling}`)).toEqual(
      expect.arrayContaining(['a kept as it was', 'b kept as it was']),
    );
    for (const key of ['a', 'b', 'd']) expect(isOn(reader, key)).toBe(true);
    expect(reader.problems.join('\n')).toContain('`a`');

    const fresh = await start();
    expect([...(fresh.current()?.flags.keys() ?? [])]).toEqual(expect.arrayContaining(['c', 'd']));
    expect(fresh.current()?.flags.has('a')).toBe(false);
    expect(isOn(fresh, 'd')).toBe(true);
  });

  it('R-22 no stored text whatever stops the process or touches the other flags', async () => {
    const writer = await start();
    await writer.apply(flags(flagText('a', true), flagText('z', true)));
    const nasty = [
      '',
      'null',
      '[]',
      '7',
      '"x"',
      '{}',
      '{"key":"a"}',
      '{"key":"z","type":"boolean"}',
      '{"__proto__":1}',
    ];
    const members: readonly unknown[] = [null, {}, [], 1e308, 'x'.repeat(100), true, [[[[]]]]];
    for (const member of ['type', 'rules', 'variants', 'default', 'environments', 'prerequisites', 'seed']) {
      for (const value of members) nasty.push(flagText('a', true, { [member]: value }));
    }
    for (const [index, text] of nasty.entries()) {
      await sql`update catalog_item set text = ${text}, hash = encode(sha256(convert_to(${text}, 'UTF8')), 'hex')
        where key = 'a'`.execute(writer.database.kysely);
      await sql`update environment_revision set revision = ${index + 2}`.execute(writer.database.kysely);
      await sql`update catalog_item set from_revision = ${index + 2} where key = 'a'`.execute(
        writer.database.kysely,
      );
      await writer.snapshots.loadAll();
      expect(writer.current()?.revision, text).toBe(index + 2);
      expect(isOn(writer, 'z'), text).toBe(true);
    }
  });

  it('starts with the database away and serves what it last knew', async () => {
    const before = await start({ dataDirectory: folder.path });
    await before.apply(flags(flagText('a', true)));
    await before.stop();
    running.splice(0);
    const after = await start({ dataDirectory: folder.path }, AWAY);
    expect(after.connected).toBe(false);
    expect(after.servedFromDisk).toBeGreaterThan(0);
    expect(isOn(after, 'a')).toBe(true);
    expect(after.directory.product(PRODUCT.key)?.id).toBe(PRODUCT.id);
    expect(after.snapshots.report().every(({ source }) => source === 'disk')).toBe(true);
  });

  it('R-31 keeps five good snapshots and passes over damaged ones to the newest intact', async () => {
    const before = await start({ dataDirectory: folder.path });
    for (let round = 1; round <= 7; round += 1) {
      await before.apply(flags(flagText('a', round % 2 === 0), flagText(`round-${round}`, true)));
      await before.snapshots.stop();
    }
    await before.stop();
    running.splice(0);
    const saved = join(folder.path, 'snapshots');
    const mine = (await readdir(saved)).filter((name) => name.includes(PRODUCTION.id)).sort();
    expect(mine).toHaveLength(5);
    const newest = join(saved, mine[4] ?? '');
    const bytes = await readFile(newest);
    bytes[Math.floor(bytes.length / 2)] = (bytes[Math.floor(bytes.length / 2)] ?? 0) ^ 1;
    await writeFile(newest, bytes);
    await writeFile(
      join(saved, mine[3] ?? ''),
      (await readFile(join(saved, mine[3] ?? ''))).subarray(0, 200),
    );
    const after = await start({ dataDirectory: folder.path }, AWAY);
    expect(after.current()?.revision).toBe(5);
    expect(after.problems.filter((problem) => problem.includes('damaged'))).toHaveLength(2);
    await after.stop();
    running.splice(0);
    const connected = await start({ dataDirectory: folder.path });
    expect(connected.current()?.revision).toBe(7);
  });

  it('serves on from memory while the disk refuses', async () => {
    const file = join(folder.path, 'a-file');
    await writeFile(file, 'no folder');
    const process = await start({ dataDirectory: file });
    await process.apply(flags(flagText('a', true)));
    await process.snapshots.stop();
    expect(isOn(process, 'a')).toBe(true);
    expect(process.problems.join('\n')).toContain('cannot be kept on disk');
  });
});
