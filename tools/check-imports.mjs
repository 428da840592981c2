import { existsSync, readdirSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import { cruise } from 'dependency-cruiser';
import config from '../.dependency-cruiser.mjs';

/**
 * Holds the packages below `root` against the import table. `missed` names the sources that the tool did not see: it checks nothing,
 * and complains of nothing, where it cannot parse or find (under a compiler that it does not know, for example).
 *
 * @param {string} root
 * @returns {Promise<{ violations: { rule: string, from: string, to: string }[], modules: number, missed: string[] }>}
 */
export async function checkImports(root) {
  const folders = readdirSync(join(root, 'packages'))
    .flatMap((name) => [`packages/${name}/src`, `packages/${name}/test`])
    .filter((folder) => existsSync(join(root, folder)));
  const sources = folders.flatMap((folder) => [...typescriptFiles(join(root, folder))]);
  const { forbidden, options } = config;
  const { output } = await cruise(folders, {
    ...options,
    baseDir: root,
    validate: true,
    ruleSet: { forbidden },
  });
  if (typeof output === 'string')
    throw new Error('The import check answered a text where it should answer an object.');
  const seen = new Set(output.modules.map((module) => module.source));
  return {
    violations: output.summary.violations.map(({ rule, from, to }) => ({ rule: rule.name, from, to })),
    modules: sources.length,
    missed: sources
      .map((path) => relative(root, path).split(sep).join('/'))
      .filter((name) => !seen.has(name)),
  };
}

function* typescriptFiles(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* typescriptFiles(path);
    else if (/(?<!\.d)\.tsx?$/.test(entry.name)) yield path;
  }
}

/** What each rule means, for the person who broke it. */
export function explainRule(name) {
  return config.forbidden.find((rule) => rule.name === name)?.comment ?? '';
}
