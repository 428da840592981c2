import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';

interface ImportCheck {
  checkImports(root: string): Promise<{
    violations: { rule: string; from: string; to: string }[];
    modules: number;
    missed: string[];
  }>;
}
interface ImportTable {
  importTable: Record<string, { imports: string[]; typesOnly?: string[]; nodeModules: boolean }>;
  storeWithoutAdapters: string[];
}
interface Purity {
  findImpurities(root: string): { violations: string[]; seen: number };
}

const root = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))));
// The tools are plain JavaScript, because they run before anything is built; so their shapes are said here.
const { checkImports } = (await import(join(root, 'tools/check-imports.mjs'))) as ImportCheck;
const { importTable, storeWithoutAdapters } = (await import(
  join(root, 'tools/import-table.mjs')
)) as ImportTable;
const { findImpurities } = (await import(join(root, 'tools/purity.mjs'))) as Purity;
const packages = Object.keys(importTable);

let folder = '';
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A tree in which every package of the table exists, built, with a module `model/thing` and a module `other/thing`. */
function plantTree(files: Record<string, string>): string {
  folder = mkdtempSync(join(tmpdir(), 'pennon-imports-'));
  const write = (path: string, text: string) => {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  };
  mkdirSync(join(folder, 'node_modules/@pennon'), { recursive: true });
  for (const name of packages) {
    const exports = { './*': { types: './dist/*.d.ts', default: './dist/*.js' } };
    write(
      `packages/${name}/package.json`,
      JSON.stringify({ name: `@pennon/${name}`, type: 'module', exports }),
    );
    for (const module of ['model/thing', 'other/thing', 'commands/start', 'store/thing']) {
      write(`packages/${name}/dist/${module}.js`, 'export const thing = 1;\n');
      write(`packages/${name}/src/${module}.ts`, 'export const thing = 1;\nexport type Thing = number;\n');
    }
    symlinkSync(join(folder, `packages/${name}`), join(folder, `node_modules/@pennon/${name}`));
  }
  for (const [path, text] of Object.entries(files)) write(path, text);
  return folder;
}

const use = (specifier: string) => `import { thing } from '${specifier}';\nexport const used = thing;\n`;
const useType = (specifier: string) =>
  `import type { Thing } from '${specifier}';\nexport type Used = Thing;\n`;

/** The files with a violation, each with its rules. */
async function violationsOf(files: Record<string, string>): Promise<Record<string, string[]>> {
  const { violations, missed } = await checkImports(plantTree(files));
  expect(missed).toEqual([]);
  const found: Record<string, string[]> = {};
  for (const { from, rule } of violations) found[from] = [...(found[from] ?? []), rule].sort();
  return found;
}

describe('the import table', () => {
  it('fails on a planted violation of every row, and on nothing that a row allows', async () => {
    const files: Record<string, string> = {};
    const expected: Record<string, string[]> = {};
    for (const [importer, row] of Object.entries(importTable)) {
      for (const imported of packages) {
        if (imported === importer) continue;
        for (const part of ['model', 'other']) {
          const allowed = row.imports.some((path) => path === imported || path === `${imported}/${part}`);
          const typesOnly = row.typesOnly?.includes(imported) === true;
          const specifier = `@pennon/${imported}/${part}/thing`;
          const [asValue, asType] = [
            `packages/${importer}/src/planted/${imported}-${part}.ts`,
            `packages/${importer}/src/planted/${imported}-${part}-type.ts`,
          ];
          files[asValue] = use(specifier);
          files[asType] = useType(specifier);
          const rules = [
            ...(allowed ? [] : [`${importer}-imports-only-its-row`]),
            ...(imported === 'testkit' ? ['testkit-is-for-tests'] : []),
            ...(importer === 'cli' && imported === 'server' ? ['cli-starts-the-server-in-one-file'] : []),
          ].sort();
          const valueRules = [...rules, ...(typesOnly ? [`${importer}-imports-types-only`] : [])].sort();
          if (valueRules.length > 0) expected[asValue] = valueRules;
          if (rules.length > 0) expected[asType] = rules;
        }
      }
    }
    expect(Object.keys(expected).length).toBeGreaterThan(200);
    expect(await violationsOf(files)).toEqual(expected);
  });

  it('sees through relative paths into another package', async () => {
    expect(
      await violationsOf({ 'packages/engine/src/planted.ts': use('../../server/src/other/thing.js') }),
    ).toEqual({ 'packages/engine/src/planted.ts': ['engine-imports-only-its-row'] });
  });

  it("keeps Node's modules out of what must run without Node", async () => {
    const planted = (name: string) => `packages/${name}/src/planted.ts`;
    const text = `import { readFileSync } from 'node:fs';\nexport const read = readFileSync;\n`;
    const found = await violationsOf(Object.fromEntries(packages.map((name) => [planted(name), text])));
    const without = packages.filter((name) => importTable[name]?.nodeModules === false);
    expect(without).toContain('engine');
    expect(found).toEqual(
      Object.fromEntries(without.map((name) => [planted(name), [`${name}-without-node`]])),
    );
  });

  it('lets tests import what they need, the testkit included', async () => {
    const text = `import 'node:fs';\n${use('@pennon/testkit/other/thing')}`;
    expect(
      await violationsOf({
        'packages/engine/src/planted.test.ts': text,
        'packages/engine/test/planted.ts': text,
      }),
    ).toEqual({});
  });

  it('lets one file of the command line start the server', async () => {
    expect(
      await violationsOf({
        'packages/cli/src/commands/start.ts': use('@pennon/server/other/thing'),
        'packages/cli/src/commands/apply.ts': use('@pennon/server/other/thing'),
      }),
    ).toEqual({ 'packages/cli/src/commands/apply.ts': ['cli-starts-the-server-in-one-file'] });
  });

  it('lets the composition root alone import adapters; types and shapes are free', async () => {
    const shapes = Object.fromEntries(
      storeWithoutAdapters.flatMap((name) => [
        [`packages/server/src/store/${name}.ts`, 'export const thing = 1;\n'],
        [`packages/server/src/service/uses-${name.replaceAll('/', '-')}.ts`, use(`../store/${name}.js`)],
      ]),
    );
    const rule = ['adapters-are-constructed-in-one-file'];
    expect(
      await violationsOf({
        ...shapes,
        'packages/server/src/compose.ts': use('./store/thing.js'),
        'packages/server/src/main.ts': use('./store/thing.js'),
        'packages/server/src/readiness.ts': use('./store/thing.js'),
        'packages/server/src/service/planted.ts': use('../store/thing.js'),
        'packages/server/src/http/planted.ts': use('../store/thing.js'),
        'packages/server/src/service/typed.ts': useType('../store/thing.js'),
        'packages/server/src/service/planted.test.ts': use('../store/thing.js'),
        'packages/server/src/store/other.ts': use('../http/planted.js'),
      }),
    ).toEqual({
      'packages/server/src/readiness.ts': rule,
      'packages/server/src/service/planted.ts': rule,
      'packages/server/src/http/planted.ts': rule,
      'packages/server/src/store/other.ts': ['store-serves-from-below'],
    });
  });

  it('fails on a circle of modules, and not on one of types', async () => {
    const found = await violationsOf({
      'packages/engine/src/a.ts': `${use('./b.js')}export const thing = 1;\n`,
      'packages/engine/src/b.ts': `${use('./a.js')}export const thing = 1;\n`,
      'packages/engine/src/c.ts': `${useType('./d.js')}export type Thing = 1;\n`,
      'packages/engine/src/d.ts': `${useType('./c.js')}export type Thing = 1;\n`,
    });
    // A circle is told once, from where it was entered.
    expect(found).toEqual({ 'packages/engine/src/a.ts': ['no-circles'] });
  });

  it('fails on an import that leads nowhere', async () => {
    expect(await violationsOf({ 'packages/engine/src/planted.ts': use('./not-there.js') })).toEqual({
      'packages/engine/src/planted.ts': ['everything-resolves'],
    });
  });
});

describe('the purity of the text', () => {
  it.each([
    ['packages/engine/src/planted.ts', 'export const now = Date.now();', 'engine-is-pure'],
    ['packages/engine/src/planted.ts', 'export const now = new Date();', 'engine-is-pure'],
    ['packages/engine/src/planted.ts', 'export const any = Math.random();', 'engine-is-pure'],
    ['packages/engine/src/planted.ts', "console.log('x');", 'engine-is-pure'],
    ['packages/engine/src/planted.ts', "export const f = new Function('return 1');", 'engine-is-pure'],
    [
      'packages/server/src/service/planted.ts',
      'export const port = process.env.PORT;',
      'environment-is-read-in-config',
    ],
    ['packages/server/src/service/planted.ts', 'const { env } = process;', 'environment-is-read-in-config'],
    [
      'packages/server/src/service/planted.ts',
      "import { env } from 'node:process';",
      'environment-is-read-in-config',
    ],
  ])('%s: %s', (path, text, rule) => {
    const { violations, seen } = findImpurities(plantTree({ [path]: `${text}\n` }));
    expect(seen).toBeGreaterThan(packages.length);
    expect(violations).toHaveLength(1);
    expect(violations[0]).toContain(`${path}:1 ${rule}`);
  });

  it('leaves the one file that may, comments and tests alone', () => {
    const { violations } = findImpurities(
      plantTree({
        'packages/server/src/config.ts': 'export const port = process.env.PORT;\n',
        'packages/engine/src/planted.ts':
          '/** Not Date.now(). */\nexport const a = 1; // nor Math.random()\n',
        'packages/engine/src/planted.test.ts': 'export const now = Date.now();\n',
        'packages/cli/src/planted.ts': 'export const now = Date.now();\n',
      }),
    );
    expect(violations).toEqual([]);
  });

  it('holds for the real tree', () => {
    const { violations, seen } = findImpurities(root);
    expect(violations).toEqual([]);
    expect(seen).toBeGreaterThan(100);
  });
});
