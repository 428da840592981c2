import { readdirSync, readFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';

/**
 * What no import shows: a global that breaks a law. Patterns over the text, so that nothing has to be compiled; comments and strings
 * may trip over them, which is then put in other words.
 *
 * @type {readonly { name: string, in: RegExp, notIn?: RegExp, pattern: RegExp, why: string }[]}
 */
const rules = [
  {
    name: 'engine-is-pure',
    in: /^packages\/engine\/src\//,
    pattern:
      /\bDate\.now\b|\bnew Date\(\)|\bMath\.random\b|\bTemporal\.Now\b|\bperformance\.now\b|\bconsole\.|\bprocess\.|\bglobalThis\b|\bcrypto\.|\bsetTimeout\b|\bfetch\(|\bnew Function\b|\beval\(/,
    why: 'The engine has no clock, no randomness, no I/O and makes no code: it is given what it needs.',
  },
  {
    name: 'environment-is-read-in-config',
    in: /^packages\/(?:server|engine|protocol)\/src\//,
    notIn: /^packages\/server\/src\/config\.ts$/,
    pattern:
      /\bprocess\s*(?:\?\.|\.)\s*env\b|\bprocess\s*\[|\benv\b[^;]*\}\s*=\s*process\b|from 'node:process'/,
    why: '`packages/server/src/config.ts` alone reads the environment, so that every setting is found in one place.',
  },
];

/** Answers one line per violation, `path:line rule: why`. `seen` counts the files that were read. */
export function findImpurities(root) {
  const violations = [];
  let seen = 0;
  for (const path of sourceFiles(join(root, 'packages'))) {
    const name = relative(root, path).split(sep).join('/');
    if (/\.test\.tsx?$/.test(name)) continue;
    seen += 1;
    const lines = readFileSync(path, 'utf8').split('\n');
    for (const rule of rules) {
      if (!rule.in.test(name) || rule.notIn?.test(name)) continue;
      lines.forEach((line, index) => {
        if (rule.pattern.test(withoutComment(line)))
          violations.push(`${name}:${index + 1} ${rule.name}: ${rule.why}`);
      });
    }
  }
  return { violations, seen };
}

function withoutComment(line) {
  return /^\s*(?:\*|\/\/|\/\*)/.test(line) ? '' : line.replace(/\s\/\/ .*$/, '');
}

function* sourceFiles(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      if (!['node_modules', 'dist', 'test'].includes(entry.name)) yield* sourceFiles(path);
    } else if (/\/src\/.*\.tsx?$/.test(path.split(sep).join('/'))) {
      yield path;
    }
  }
}
