import { createHash } from 'node:crypto';
import { readdir, readFile, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { ITEM_KINDS, type ItemKind } from '@pennon/engine/model/catalog';
import { runInSlices } from '../service/run-in-slices.js';
import { writeFileDurably } from './write-file-durably.js';

/** What a process needs in order to serve one product in one environment with the database away (law 1). */
export interface SavedSnapshot {
  readonly productId: string;
  readonly environmentId: string;
  readonly environmentKey: string;
  readonly revision: number;
  readonly effectiveHash: string;
  /** When the database was asked for it. */
  readonly readAtMilliseconds: number;
  /** Walked once. */
  readonly items: Iterable<SavedItem>;
  readonly itemCount: number;
}

export interface SavedItem {
  readonly kind: ItemKind;
  readonly key: string;
  readonly version: number;
  readonly fromRevision: number;
  readonly position: number;
  readonly hash: string;
  readonly text: string;
}

/** so many good ones are kept of each product and environment. */
const KEPT = 5;
const FORMAT = 1;
const NAME = /^([0-9a-f-]{36})\.([0-9a-f-]{36})\.(\d{16})\.snapshot$/;

export interface SnapshotFiles {
  /** Durable when it resolves: written beside, synced, renamed. */
  save(snapshot: SavedSnapshot): Promise<void>;
  /** The newest intact one of each product and environment; damaged ones are reported and passed over. */
  readAll(): Promise<readonly SavedSnapshot[]>;
}

export function createSnapshotFiles(
  folder: string,
  onProblem: (problem: string, error: unknown) => void,
): SnapshotFiles {
  async function names(): Promise<readonly { name: string; pair: string }[]> {
    const all = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') onProblem('the folder of saved snapshots cannot be read', error);
      return [];
    });
    const found = all.flatMap((name) => {
      const match = NAME.exec(name);
      return match === null ? [] : [{ name, pair: `${match[1]}.${match[2]}` }];
    });
    return found.sort((left, right) => (left.name < right.name ? 1 : -1));
  }

  async function prune(pair: string): Promise<void> {
    const own = (await names()).filter((file) => file.pair === pair);
    for (const file of own.slice(KEPT)) await unlink(join(folder, file.name)).catch(() => undefined);
  }

  return {
    async save(snapshot): Promise<void> {
      const pair = `${snapshot.productId}.${snapshot.environmentId}`;
      const name = `${pair}.${String(snapshot.revision).padStart(16, '0')}.snapshot`;
      await writeFileDurably(join(folder, name), await runInSlices(encode(snapshot)));
      await prune(pair);
    },

    async readAll(): Promise<readonly SavedSnapshot[]> {
      const newest = new Map<string, SavedSnapshot>();
      for (const file of await names()) {
        if (newest.has(file.pair)) continue;
        try {
          newest.set(file.pair, await read(join(folder, file.name)));
        } catch (error) {
          onProblem(`the saved snapshot \`${file.name}\` is damaged; the one before it is used`, error);
        }
      }
      return [...newest.values()];
    },
  };
}

const CHUNK_CHARACTERS = 16 * 1024;

function* encode(snapshot: SavedSnapshot): Generator<void, readonly Buffer[]> {
  const { items, itemCount, ...header } = snapshot;
  const digest = createHash('sha256');
  const chunks: Buffer[] = [];
  let pending = `${JSON.stringify({ format: FORMAT, ...header, items: itemCount })}\n`;
  const flush = (): void => {
    const bytes = Buffer.from(pending, 'utf8');
    digest.update(bytes);
    chunks.push(bytes);
    pending = '';
  };
  for (const item of items) {
    const fields = [
      item.kind,
      item.key,
      item.version,
      item.fromRevision,
      item.position,
      item.hash,
      item.text,
    ];
    pending += `${JSON.stringify(fields)}\n`;
    if (pending.length >= CHUNK_CHARACTERS) {
      flush();
      yield;
    }
  }
  flush();
  chunks.push(Buffer.from(`${JSON.stringify({ sha256: digest.digest('hex') })}\n`, 'utf8'));
  return chunks;
}

const KINDS: ReadonlySet<unknown> = new Set(ITEM_KINDS);

async function read(path: string): Promise<SavedSnapshot> {
  const [bytes, { mtimeMs }] = await Promise.all([readFile(path), stat(path)]);
  return decode(bytes, Math.floor(mtimeMs));
}

/** The first releases did not write down when they read; their files say when they were written, which was right after. */
function decode(bytes: Buffer, writtenAtMilliseconds: number): SavedSnapshot {
  const end = bytes.lastIndexOf(0x0a, bytes.length - 2) + 1;
  const footer = JSON.parse(bytes.subarray(end).toString('utf8')) as { readonly sha256?: unknown };
  const digest = createHash('sha256').update(bytes.subarray(0, end)).digest('hex');
  if (footer.sha256 !== digest) throw new Error('The checksum does not match.');
  const lines = bytes.subarray(0, end).toString('utf8').split('\n');
  const header = JSON.parse(lines[0] ?? '') as Omit<
    SavedSnapshot,
    'items' | 'itemCount' | 'readAtMilliseconds'
  > & {
    readonly format: number;
    readonly readAtMilliseconds?: number;
    readonly items: number;
  };
  if (header.format !== FORMAT) throw new Error(`The format \`${header.format}\` is not known.`);
  const items = lines.slice(1, -1).map(decodeItem);
  if (items.length !== header.items) throw new Error('Items are missing.');
  const { productId, environmentId, environmentKey, revision, effectiveHash } = header;
  return {
    productId,
    environmentId,
    environmentKey,
    revision,
    effectiveHash,
    readAtMilliseconds: header.readAtMilliseconds ?? writtenAtMilliseconds,
    items,
    itemCount: items.length,
  };
}

function decodeItem(line: string): SavedItem {
  const fields = JSON.parse(line) as readonly unknown[];
  const [kind, key, version, fromRevision, position, hash, text] = fields;
  if (!KINDS.has(kind) || typeof key !== 'string' || typeof text !== 'string' || typeof hash !== 'string') {
    throw new Error('An item is not of this format.');
  }
  return {
    kind: kind as ItemKind,
    key,
    version: Number(version),
    fromRevision: Number(fromRevision),
    position: Number(position),
    hash,
    text,
  };
}
