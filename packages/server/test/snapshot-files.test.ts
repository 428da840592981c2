import { createHash } from 'node:crypto';
import { readdir, readFile, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createSnapshotFiles, type SavedSnapshot } from '@pennon/server/store/snapshot-files';
import { describe, expect, it, onTestFinished } from 'vitest';
import { temporaryFolder } from './publish-support.js';

const SNAPSHOT: SavedSnapshot = {
  productId: '0190a000-0000-7000-8000-000000000001',
  environmentId: '0190a000-0000-7000-8000-0000000000a1',
  environmentKey: 'production',
  revision: 3,
  effectiveHash: 'hash',
  readAtMilliseconds: 1_750_000_000_123,
  items: [
    {
      kind: 'flag',
      key: 'menu',
      version: 0,
      fromRevision: 1,
      position: 0,
      hash: 'h',
      text: '{"key":"menu"}',
    },
  ],
  itemCount: 1,
};

async function saved() {
  const folder = await temporaryFolder();
  onTestFinished(() => folder.remove());
  const problems: string[] = [];
  const files = createSnapshotFiles(folder.path, (problem) => problems.push(problem));
  await files.save(SNAPSHOT);
  const [name] = await readdir(folder.path);
  return { files, problems, path: join(folder.path, name ?? '') };
}

describe('a snapshot on disk', () => {
  it('says when the database was asked for it, whenever it is read', async () => {
    const { files, path } = await saved();
    // A copy of the folder, or a backup of it, is younger than what it holds.
    await utimes(path, new Date(), new Date());
    expect(await files.readAll()).toEqual([SNAPSHOT]);
  });

  it('of a release that did not write that down is as old as its file', async () => {
    const { files, problems, path } = await saved();
    const lines = (await readFile(path, 'utf8')).split('\n');
    const { readAtMilliseconds, ...header } = JSON.parse(lines[0] ?? '');
    expect(readAtMilliseconds).toBe(SNAPSHOT.readAtMilliseconds);
    const body = [JSON.stringify(header), ...lines.slice(1, -2), ''].join('\n');
    const sha256 = createHash('sha256').update(body).digest('hex');
    await writeFile(path, `${body}${JSON.stringify({ sha256 })}\n`);
    await utimes(path, new Date(1_760_000_000_000), new Date(1_760_000_000_000));
    expect(await files.readAll()).toEqual([{ ...SNAPSHOT, readAtMilliseconds: 1_760_000_000_000 }]);
    expect(problems).toEqual([]);
  });
});
