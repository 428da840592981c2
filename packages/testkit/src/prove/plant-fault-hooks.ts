import { readFile } from 'node:fs/promises';
import type { LoadHook, ResolveHook } from 'node:module';
import { fileURLToPath } from 'node:url';
import { reachOf } from './fault-reach.js';
import { PLANTED_FAULTS } from './planted-faults.js';

/*
 * Hooks of Node's module loader. What is imported with `?fault=NAME` is loaded anew, with those that it imports and that the fault
 * reaches, and in one of those files a few words are other ones. Nothing of this is in what users run: the built files have no switch.
 */

const QUERY = /[?&]fault=([\w-]+)/;
const OURS = /^file:.*\/packages\/((?:engine|protocol|server|testkit)\/dist\/[^?]*)$/;
const PACKAGES = fileURLToPath(new URL('../../../', import.meta.url));

const reaches = new Map<string, ReadonlySet<string>>();

function isReached(name: string, file: string): boolean {
  let reach = reaches.get(name);
  if (reach === undefined) {
    const fault = PLANTED_FAULTS.find((planted) => planted.name === name);
    reach = fault === undefined ? new Set() : reachOf(PACKAGES, fault.file);
    reaches.set(name, reach);
  }
  return reach.has(file);
}

export const resolve: ResolveHook = async (specifier, context, next) => {
  const resolved = await next(specifier, context);
  const fault = context.parentURL === undefined ? null : QUERY.exec(context.parentURL);
  const file = OURS.exec(resolved.url)?.[1];
  const name = fault?.[1];
  if (name === undefined || file === undefined || !isReached(name, file)) return resolved;
  return { ...resolved, url: `${resolved.url}?fault=${name}` };
};

export const load: LoadHook = async (url, context, next) => {
  const name = QUERY.exec(url)?.[1];
  const fault = PLANTED_FAULTS.find((planted) => planted.name === name);
  const path = url.replace(/\?.*$/, '');
  if (fault === undefined || !path.endsWith(`/packages/${fault.file}`)) {
    return next(url, context);
  }
  let source = await readFile(fileURLToPath(path), 'utf8');
  for (const [find, replace] of fault.edits) {
    const parts = source.split(find);
    if (parts.length !== 2) {
      throw new Error(
        `The fault \`${fault.name}\` cannot be planted: \`${find}\` stands ${parts.length - 1} times in ${fault.file}. Put into planted-faults.ts or planted-store-faults.ts what stands there now.`,
      );
    }
    source = parts.join(replace);
  }
  return { format: 'module', source, shortCircuit: true };
};
