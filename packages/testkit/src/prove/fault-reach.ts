import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';

/* Which built files a fault reaches: the one that it is planted in, and all that import it, however far from it. Others need no copy. */

const PACKAGES = ['engine', 'protocol', 'server', 'testkit'];
const IMPORTS = /(?:\bfrom|\bimport)\s*\(?\s*'((?:\.|@pennon\/)[^']+)'/g;

/** By file, which ones import it; paths below `packages/`. */
function importersIn(root: string): ReadonlyMap<string, readonly string[]> {
  const importers = new Map<string, string[]>();
  for (const name of PACKAGES) {
    const dist = join(root, name, 'dist');
    for (const path of readdirSync(dist, { recursive: true, encoding: 'utf8' })) {
      if (!path.endsWith('.js')) continue;
      const file = join(dist, path);
      for (const [, specifier = ''] of readFileSync(file, 'utf8').matchAll(IMPORTS)) {
        const imported = relative(root, fileOf(root, file, specifier));
        importers.set(imported, [...(importers.get(imported) ?? []), relative(root, file)]);
      }
    }
  }
  return importers;
}

function fileOf(root: string, importer: string, specifier: string): string {
  if (specifier.startsWith('.')) return resolve(dirname(importer), specifier);
  const [, name = '', ...rest] = specifier.split('/');
  return `${join(root, name, 'dist', ...rest)}.js`;
}

let known: ReadonlyMap<string, readonly string[]> | null = null;

/** @param root the folder `packages`. */
export function reachOf(root: string, file: string): ReadonlySet<string> {
  known ??= importersIn(root);
  const reached = new Set([file]);
  // A set is walked while it grows.
  for (const one of reached) for (const importer of known.get(one) ?? []) reached.add(importer);
  return reached;
}
