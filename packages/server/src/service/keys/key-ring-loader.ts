import { readFile } from 'node:fs/promises';
import type { Kysely } from 'kysely';
import { toInstantOrNull } from '../../store/instant.js';
import type { Tables } from '../../store/tables.js';
import { writeFileDurably } from '../../store/write-file-durably.js';
import type { Directory } from '../ports.js';
import { type FixedKeys, toRingKeys } from './fixed-keys.js';
import type { KeyRing, KeyRingContents, RingKey, RingTokenKey } from './key-ring.js';

export interface KeyRingLoaderOptions {
  readonly ring: KeyRing;
  readonly database: Kysely<Tables>;
  readonly directory: Directory;
  readonly fixedKeys: FixedKeys;
  /** `null`: nothing is kept on disk. */
  readonly file: string | null;
  readonly onProblem: (problem: string, error: unknown) => void;
}

/** Fills the ring: from the database, or from what the last run left on disk when the database is away. */
export interface KeyRingLoader {
  /** Reads everything again; rejects when the database is away, and what was known stays. */
  load(): Promise<void>;
  /** `false` when no earlier run left anything: then only the fixed keys are known. */
  loadFromDisk(): Promise<boolean>;
}

export function createKeyRingLoader(options: KeyRingLoaderOptions): KeyRingLoader {
  const { ring } = options;
  let running: Promise<void> | null = null;
  let again = false;

  function take(stored: KeyRingContents): void {
    const productionId = options.directory.environment('production')?.id ?? null;
    const fixed = toRingKeys(options.fixedKeys, productionId);
    // Fixed keys come last: a stored key with the same text would otherwise decide what it may do.
    ring.replace({ keys: [...stored.keys, ...fixed], tokenKeys: stored.tokenKeys });
  }

  async function loadOnce(): Promise<void> {
    const stored = await readStored(options.database);
    take(stored);
    if (options.file !== null) {
      await writeFileDurably(options.file, [JSON.stringify({ format: 1, ...stored })]).catch(
        (error: unknown) => options.onProblem('the key hashes cannot be kept on disk', error),
      );
    }
  }

  return {
    /** Calls that come while one runs share the next one, which starts after they came. */
    load() {
      if (running !== null) {
        again = true;
        return running;
      }
      running = (async () => {
        do {
          again = false;
          await loadOnce();
        } while (again);
      })().finally(() => {
        running = null;
      });
      return running;
    },
    async loadFromDisk() {
      const stored = options.file === null ? null : await readFileContents(options.file, options.onProblem);
      take(stored ?? { keys: [], tokenKeys: [] });
      return stored !== null;
    },
  };
}

async function readStored(database: Kysely<Tables>): Promise<KeyRingContents> {
  const [keys, tokenKeys] = await Promise.all([
    database.selectFrom('api_key').selectAll().where('revoked_at', 'is', null).execute(),
    database.selectFrom('token_key').selectAll().where('revoked_at', 'is', null).execute(),
  ]);
  return {
    keys: keys.map(
      (row): RingKey => ({
        id: row.id,
        kind: row.kind,
        environmentId: row.environment_id,
        productId: row.product_id,
        secretHash: row.secret_hash.toString('hex'),
        expiresAt: toInstantOrNull(row.expires_at),
      }),
    ),
    tokenKeys: tokenKeys.map(
      (row): RingTokenKey => ({
        id: row.id,
        environmentId: row.environment_id,
        productId: row.product_id,
        publicJwk: JSON.parse(row.public_jwk) as Record<string, unknown>,
        retiresAt: toInstantOrNull(row.retires_at),
      }),
    ),
  };
}

async function readFileContents(
  file: string,
  onProblem: KeyRingLoaderOptions['onProblem'],
): Promise<KeyRingContents | null> {
  try {
    const value = JSON.parse(await readFile(file, 'utf8')) as Partial<KeyRingContents>;
    if (!Array.isArray(value.keys) || !Array.isArray(value.tokenKeys)) {
      throw new TypeError('The file is damaged.');
    }
    return { keys: value.keys, tokenKeys: value.tokenKeys };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
      onProblem('the saved key hashes cannot be read', error);
    }
    return null;
  }
}
