import { readFile } from 'node:fs/promises';
import type { LoadHook, ResolveHook } from 'node:module';
import { fileURLToPath } from 'node:url';
import { PLANTED_FAULTS } from './planted-faults.js';

/*
 * Hooks of Node's module loader. What is imported with `?fault=NAME` is loaded anew, with everything of ours that it imports, and in
 * one of those files a few words are other ones. Nothing of this is in what users run: the built files have no switch.
 */

const QUERY = /[?&]fault=([\w-]+)/;
const OURS = /\/packages\/(?:engine|protocol|server|testkit)\/dist\//;

export const resolve: ResolveHook = async (specifier, context, next) => {
  const resolved = await next(specifier, context);
  const fault = context.parentURL === undefined ? null : QUERY.exec(context.parentURL);
  if (fault === null || !OURS.test(resolved.url) || QUERY.test(resolved.url)) {
    return resolved;
  }
  return { ...resolved, url: `${resolved.url}?fault=${fault[1]}` };
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
        `The fault \`${fault.name}\` cannot be planted: \`${find}\` stands ${parts.length - 1} times in ${fault.file}. Put into planted-faults.ts what stands there now.`,
      );
    }
    source = parts.join(replace);
  }
  return { format: 'module', source, shortCircuit: true };
};
