import { randomUUID } from 'node:crypto';
import { chmod, link, open, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { KeyCredential } from './service/credential.js';
import type { FixedKeys } from './service/keys/fixed-keys.js';
import { FIXED_KEY_PATTERN, generateKey } from './service/keys/key-text.js';
import { Secret } from './service/secret.js';
import { makeFolders } from './store/make-folders.js';
import { writeFileDurably } from './store/write-file-durably.js';

type KeyKind = KeyCredential['kind'];
const KINDS: readonly KeyKind[] = ['admin', 'server', 'client'];

export type KeysFileErrorCode =
  /** The file is no JSON object of keys. */
  | 'DAMAGED'
  /** Others may read the file, and this account may not change that. */
  | 'OPEN_TO_OTHERS'
  /** The file cannot be read or written; the cause is the system's error. */
  | 'NOT_ACCESSIBLE';

/** The message is a sentence for the person at the terminal; it never holds a key. */
export class KeysFileError extends Error {
  override readonly name = 'KeysFileError';
  readonly code: KeysFileErrorCode;

  constructor(code: KeysFileErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}

export interface KeysFileOptions {
  /** The data directory; the file in it is `keys.json`. */
  readonly dataDirectory: string;
  /** Keys from the settings. They win, and are never written. */
  readonly fixed: Readonly<Record<KeyKind, Secret | null>>;
  /** One line for the operator, without keys. */
  readonly log: (line: string) => void;
}

export interface LoadedKeys {
  readonly keys: FixedKeys;
  /** The kinds made by this very start: shown once, then only the file has them. */
  readonly generated: readonly KeyKind[];
  readonly path: string;
}

type StoredKeys = Partial<Record<KeyKind, string>>;

/**
 * The keys of this installation: from the settings, else from `keys.json`, else made now and kept there, readable for its owner only. The
 * file is never half-written, and never replaced when it cannot be understood: the keys in it may be in use.
 */
export async function loadOrCreateKeys(options: KeysFileOptions): Promise<LoadedKeys> {
  const path = join(options.dataDirectory, 'keys.json');
  const wanted = KINDS.filter((kind) => options.fixed[kind] === null);
  if (wanted.length === 0) return { keys: pick(options.fixed, {}), generated: [], path };
  try {
    makeFolders(options.dataDirectory);
    for (;;) {
      const stored = await readKeys(path, options.log);
      const generated = wanted.filter((kind) => stored?.[kind] === undefined);
      if (generated.length === 0) return { keys: pick(options.fixed, stored ?? {}), generated, path };
      const complete: StoredKeys = { ...stored };
      for (const kind of generated) complete[kind] = generateKey(kind);
      const text = `${JSON.stringify(complete, null, 2)}\n`;
      if (stored !== null) await writeFileDurably(path, [text]);
      else if (!(await createFile(path, text))) continue;
      return { keys: pick(options.fixed, complete), generated, path };
    }
  } catch (error) {
    throw error instanceof KeysFileError ? error : notAccessible(path, error);
  }
}

function pick(fixed: KeysFileOptions['fixed'], stored: StoredKeys): FixedKeys {
  const one = (kind: KeyKind): Secret => fixed[kind] ?? new Secret(stored[kind] ?? '');
  return { admin: one('admin'), server: one('server'), client: one('client') };
}

/** False when another process was first, whose keys are then ours too: a link, unlike a rename, never replaces. */
async function createFile(path: string, text: string): Promise<boolean> {
  const whole = `${path}.${randomUUID()}.new`;
  await writeFileDurably(whole, [text]);
  try {
    await link(whole, path);
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  } finally {
    await unlink(whole);
  }
}

async function readKeys(path: string, log: (line: string) => void): Promise<StoredKeys | null> {
  const file = await open(path, 'r').catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT') return null;
    throw error;
  });
  if (file === null) return null;
  try {
    const { mode } = await file.stat();
    if (process.platform !== 'win32' && (mode & 0o077) !== 0) await tighten(path, mode, log);
    return parseKeys(path, await file.readFile('utf8'));
  } finally {
    await file.close();
  }
}

async function tighten(path: string, mode: number, log: (line: string) => void): Promise<void> {
  const had = (mode & 0o777).toString(8).padStart(4, '0');
  try {
    await chmod(path, 0o600);
  } catch (error) {
    throw new KeysFileError(
      'OPEN_TO_OTHERS',
      `Other accounts may read or change the keys in \`${path}\` (its mode is ${had}), and this account may not forbid it. Run ` +
        `\`chmod 600 ${path}\` as its owner and start again.`,
      error,
    );
  }
  log(
    `The mode of \`${path}\` was ${had}; it is 0600 now. If other accounts of this machine are not trusted, make new keys: ` +
      'remove the file and start again.',
  );
}

function parseKeys(path: string, text: string): StoredKeys {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // The parser's own message would quote the text, and with it a key.
    throw damaged(path, 'is not JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw damaged(path, 'is not a JSON object');
  const keys: StoredKeys = {};
  for (const [member, key] of Object.entries(value)) {
    const kind = KINDS.find((known) => known === member);
    if (kind === undefined) throw damaged(path, `has a member \`${member}\` that is no kind of key`);
    if (typeof key !== 'string' || !FIXED_KEY_PATTERN.test(key)) {
      throw damaged(path, `holds a \`${kind}\` key that is not 32 to 256 of \`A-Z a-z 0-9 _ -\``);
    }
    keys[kind] = key;
  }
  return keys;
}

function damaged(path: string, what: string): KeysFileError {
  return new KeysFileError(
    'DAMAGED',
    `The file \`${path}\` ${what}, so the keys in it cannot be used. Repair it, or remove it and start again: then new keys are ` +
      'made, and whoever has the old ones is locked out.',
  );
}

function notAccessible(path: string, error: unknown): KeysFileError {
  const why: Record<string, string> = {
    EACCES: 'this account may not',
    EPERM: 'this account may not',
    EROFS: 'the disk is read-only',
    ENOSPC: 'the disk is full',
  };
  const code = codeOf(error) ?? '';
  return new KeysFileError(
    'NOT_ACCESSIBLE',
    `The keys cannot be read from or kept in \`${path}\` (${why[code] ?? String(error)}). Correct that, set \`PENNON_DATA_DIR\` to ` +
      'another folder, or give all of `PENNON_ADMIN_KEY`, `PENNON_SERVER_KEY` and `PENNON_CLIENT_KEY`.',
    error,
  );
}

function codeOf(error: unknown): string | null {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : null;
}
