import { randomUUID } from 'node:crypto';
import { access, type FileHandle, open, readdir, readFile, rename, unlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { LIMITS } from '@pennon/engine/model/limits';
import type { ConsumptionJournal, JournalLine, JournalPlace } from '../service/store-away/journal.js';
import {
  abandonedFolders,
  type JournalFolder,
  makeJournalFolder,
  removeFolder,
  syncFolder,
} from './journal-folder.js';
import { fromJournalBytes, toJournalLine } from './journal-lines.js';

/*
 * The journal as files: a folder of this process, in it files that are only appended to. What many callers append at once is written and
 * synced once. Nothing is on disk, not even the folder, before something is to be kept.
 */

export interface JournalFilesOptions {
  /** Of all processes on this data directory. */
  readonly root: string;
  readonly maximumBytes?: number;
  readonly onProblem: (problem: string, error: unknown) => void;
}

/** A file that has grown beyond goes as soon as what it holds is in the store, however long the store is away afterwards. */
const FILE_BYTES = 4 * 1024 * 1024;
const WRITE_BYTES = 1024 * 1024;
const EXTENSION = '.journal';

interface Waiting {
  readonly line: Buffer;
  readonly resolve: (place: JournalPlace) => void;
  readonly reject: (error: unknown) => void;
}

interface Segment {
  readonly path: string;
  bytes: number;
  /** Lines that somebody waits for. */
  lines: number;
  readonly damaged: boolean;
}

interface Active extends Segment {
  readonly file: FileHandle;
}

export function createJournalFiles(options: JournalFilesOptions): ConsumptionJournal {
  return new JournalFiles(options);
}

class JournalFiles implements ConsumptionJournal {
  readonly #root: string;
  readonly #maximumBytes: number;
  readonly #onProblem: JournalFilesOptions['onProblem'];
  readonly #segments = new Map<JournalPlace, Segment>();
  #folder: JournalFolder | null = null;
  #active: Active | null = null;
  #queue: Waiting[] = [];
  #queuedBytes = 0;
  #working: Promise<void> | null = null;
  #removed: Promise<void> = Promise.resolve();
  #complained = false;
  #closed = false;

  constructor({ root, maximumBytes, onProblem }: JournalFilesOptions) {
    this.#root = root;
    this.#maximumBytes = maximumBytes ?? LIMITS.journalBytes.value;
    this.#onProblem = onProblem;
  }

  append(text: string): Promise<JournalPlace> {
    const line = toJournalLine(text);
    if (this.#closed) return Promise.reject(new Error('The journal is closed.'));
    if (this.report().bytes + this.#queuedBytes + line.length > this.#maximumBytes) {
      const error = new Error(`The journal holds ${this.#maximumBytes} bytes already.`);
      this.#complain(error);
      return Promise.reject(error);
    }
    this.#queuedBytes += line.length;
    return new Promise((resolve, reject) => {
      this.#queue.push({ line, resolve, reject });
      this.#working ??= this.#work();
    });
  }

  /** While one group is written and synced, the next one gathers. */
  async #work(): Promise<void> {
    // What is appended in the same turn of the event loop is one group already.
    await Promise.resolve();
    while (this.#queue.length > 0) {
      const group = this.#takeGroup();
      try {
        const segment = await this.#write(group);
        this.#complained = false;
        for (const { resolve } of group) resolve(segment);
      } catch (error) {
        this.#complain(error);
        for (const { reject } of group) reject(error);
      }
    }
    this.#working = null;
  }

  #takeGroup(): Waiting[] {
    let bytes = 0;
    let count = 0;
    while (count < this.#queue.length && bytes < WRITE_BYTES) {
      bytes += this.#queue[count]?.line.length ?? 0;
      count += 1;
    }
    this.#queuedBytes -= bytes;
    return this.#queue.splice(0, count);
  }

  async #write(group: readonly Waiting[]): Promise<JournalPlace> {
    const bytes = Buffer.concat(group.map(({ line }) => line));
    for (let attempt = 0; ; attempt += 1) {
      const active = this.#active ?? (await this.#openSegment());
      active.lines += group.length;
      try {
        await active.file.writeFile(bytes);
        await active.file.datasync();
      } catch (error) {
        await this.#abandon(active, group.length);
        throw error;
      }
      active.bytes += bytes.length;
      // INVARIANT: nothing is acknowledged that whoever took the file over has not got: it is moved first and read then.
      if (await exists(active.path)) {
        if (active.bytes >= FILE_BYTES) await this.#seal(active);
        return active.path;
      }
      await this.#abandon(active, group.length);
      await this.#leaveFolder();
      if (attempt > 0) throw new Error(`The journal file \`${active.path}\` was taken away.`);
    }
  }

  async #openSegment(): Promise<Active> {
    this.#folder ??= await makeJournalFolder(this.#root);
    const { path: folder } = this.#folder;
    const path = join(folder, `${randomUUID()}${EXTENSION}`);
    const file = await open(path, 'ax', 0o600).catch(async (error: NodeJS.ErrnoException) => {
      // Somebody else took the folder; the next attempt makes another one.
      if (error.code === 'ENOENT') await this.#leaveFolder();
      throw error;
    });
    await syncFolder(folder);
    const active: Active = { path, file, bytes: 0, lines: 0, damaged: false };
    this.#segments.set(path, active);
    this.#active = active;
    return active;
  }

  async #leaveFolder(): Promise<void> {
    const folder = this.#folder;
    this.#folder = null;
    await folder?.leave();
  }

  /** Half a line may stand at its end: nothing is written behind that. */
  async #abandon(active: Active, unanswered: number): Promise<void> {
    await active.file.truncate(active.bytes).catch(() => undefined);
    await this.#seal(active);
    active.lines -= unanswered;
    if (active.lines === 0) await this.#remove(active);
  }

  async #seal(active: Active): Promise<void> {
    if (this.#active === active) this.#active = null;
    await active.file.close().catch(() => undefined);
  }

  forget(place: JournalPlace): void {
    const segment = this.#segments.get(place);
    if (segment === undefined) return;
    segment.lines -= 1;
    if (segment.lines > 0) return;
    this.#segments.delete(place);
    const active = this.#active === segment ? this.#active : null;
    this.#active = active === null ? this.#active : null;
    this.#removed = this.#removed.then(async () => {
      if (active !== null) await this.#seal(active);
      await this.#remove(segment);
    });
  }

  /** A file with damage in it stays, under another name: somebody may want to look at it. */
  async #remove(segment: Segment): Promise<void> {
    this.#segments.delete(segment.path);
    const gone = segment.damaged ? rename(segment.path, `${segment.path}.damaged`) : unlink(segment.path);
    await gone.catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') this.#onProblem('a file of the journal could not be removed', error);
    });
  }

  async takeOver(): Promise<readonly JournalLine[]> {
    const lines: JournalLine[] = [];
    for (const abandoned of await abandonedFolders(this.#root, this.#folder?.path ?? null)) {
      for (const name of await readdir(abandoned).catch((): string[] => [])) {
        if (name.endsWith(EXTENSION)) lines.push(...(await this.#takeFile(join(abandoned, name))));
      }
      await removeFolder(abandoned);
    }
    return lines;
  }

  async #takeFile(from: string): Promise<readonly JournalLine[]> {
    this.#folder ??= await makeJournalFolder(this.#root);
    const path = join(this.#folder.path, basename(from));
    try {
      await rename(from, path);
    } catch (error) {
      // Another process was faster.
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    }
    const bytes = await readFile(path);
    const { texts, damaged } = fromJournalBytes(bytes);
    if (damaged > 0) {
      this.#onProblem(`\`${path}\` has damaged lines; the others are counted`, new Error(`${damaged} lines`));
    }
    const segment: Segment = { path, bytes: bytes.length, lines: texts.length, damaged: damaged > 0 };
    this.#segments.set(path, segment);
    if (texts.length === 0) await this.#remove(segment);
    return texts.map((text) => ({ text, place: path }));
  }

  report(): { readonly bytes: number } {
    let bytes = 0;
    for (const segment of this.#segments.values()) bytes += segment.bytes;
    return { bytes };
  }

  #complain(error: unknown): void {
    if (this.#complained) return;
    this.#complained = true;
    this.#onProblem(
      'the journal of answers without the store cannot be written, so that such consumes are answered 503',
      error,
    );
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#working;
    await this.#removed;
    if (this.#active !== null) await this.#seal(this.#active);
    await this.#leaveFolder();
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
