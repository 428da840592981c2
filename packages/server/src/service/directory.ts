import { readFile } from 'node:fs/promises';
import type { Kysely } from 'kysely';
import type { Tables } from '../store/tables.js';
import { writeFileDurably } from '../store/write-file-durably.js';
import type { Directory, EnvironmentRecord, ProductRecord } from './ports.js';

export interface DirectoryEnvironment extends EnvironmentRecord {
  /** Publishing does not move it unless it is named. */
  readonly protected: boolean;
}

export interface LoadedDirectory extends Directory {
  environment(idOrKey: string): DirectoryEnvironment | null;
  products(): readonly ProductRecord[];
  environments(): readonly DirectoryEnvironment[];
  /** Reads everything again from the database; rejects when it is away, and what was known stays. */
  load(): Promise<void>;
  /** From the file of an earlier run, for a start with the database away; `false` when there is none. */
  loadFromDisk(): Promise<boolean>;
}

export interface DirectoryOptions {
  readonly database: Kysely<Tables>;
  /** `null`: nothing is kept on disk. */
  readonly file: string | null;
  /** Keys of the product that is meant when nothing is named, the most wanted first. */
  readonly preferredProducts: readonly string[];
  readonly onProblem?: (problem: string, error: unknown) => void;
}

interface Contents {
  readonly products: readonly ProductRecord[];
  readonly environments: readonly DirectoryEnvironment[];
}

/** Products and environments: few rows, asked for by every request, so they are all in memory and on disk. */
export function createDirectory(options: DirectoryOptions): LoadedDirectory {
  let contents: Contents = { products: [], environments: [] };
  let products = new Map<string, ProductRecord>();
  let environments = new Map<string, DirectoryEnvironment>();
  let saved = '';

  function take(next: Contents): void {
    contents = next;
    products = indexed(next.products);
    environments = indexed(next.environments);
  }

  async function save(): Promise<void> {
    const text = JSON.stringify(contents);
    if (options.file === null || text === saved) return;
    try {
      await writeFileDurably(options.file, [text]);
      saved = text;
    } catch (error) {
      options.onProblem?.('the directory of products and environments cannot be kept on disk', error);
    }
  }

  return {
    product: (idOrKey) => products.get(idOrKey) ?? null,
    environment: (idOrKey) => environments.get(idOrKey) ?? null,
    products: () => contents.products,
    environments: () => contents.environments,
    defaultProduct(): ProductRecord | null {
      const [only, another] = contents.products;
      if (only !== undefined && another === undefined) return only;
      for (const key of options.preferredProducts) {
        const found = products.get(key);
        if (found !== undefined) return found;
      }
      return null;
    },
    async load(): Promise<void> {
      const [productRows, environmentRows] = await Promise.all([
        options.database.selectFrom('product').select(['id', 'key']).orderBy('key').execute(),
        options.database
          .selectFrom('environment')
          .select(['id', 'key', 'protected'])
          .orderBy('key')
          .execute(),
      ]);
      take({ products: productRows, environments: environmentRows });
      await save();
    },
    async loadFromDisk(): Promise<boolean> {
      if (options.file === null) return false;
      try {
        take(fromFile(JSON.parse(await readFile(options.file, 'utf8'))));
        return true;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
          options.onProblem?.('the saved directory of products and environments cannot be read', error);
        }
        return false;
      }
    },
  };
}

/** By id and by key. INVARIANT: a key that looks like another's id never shadows it, so ids are entered last. */
function indexed<Entry extends { readonly id: string; readonly key: string }>(
  entries: readonly Entry[],
): Map<string, Entry> {
  const index = new Map<string, Entry>();
  for (const entry of entries) index.set(entry.key, entry);
  for (const entry of entries) index.set(entry.id, entry);
  return index;
}

function fromFile(value: unknown): Contents {
  const { products, environments } = (value ?? {}) as { products?: unknown; environments?: unknown };
  if (!Array.isArray(products) || !Array.isArray(environments)) throw new TypeError('The file is damaged.');
  return {
    products: products.map((entry) => ({ id: text(entry, 'id'), key: text(entry, 'key') })),
    environments: environments.map((entry) => ({
      id: text(entry, 'id'),
      key: text(entry, 'key'),
      protected: (entry as { protected?: unknown }).protected === true,
    })),
  };
}

function text(entry: unknown, member: string): string {
  const value: unknown = (entry as Record<string, unknown> | null)?.[member];
  if (typeof value !== 'string') throw new TypeError('The file is damaged.');
  return value;
}
