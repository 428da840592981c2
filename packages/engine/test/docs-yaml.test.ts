import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { lintCatalog } from '../src/catalog/lint.js';
import { parseCatalog } from '../src/catalog/parse-catalog.js';

/*
 * Whatever the docs show as a catalog is a catalog: every YAML block of the docs, the README files and the examples is
 * parsed and linted. A block that is something else (a workflow, an OpenAPI excerpt) or shows a mistake on purpose says so
 * behind the language: ```yaml not-a-catalog
 */

const root = fileURLToPath(new URL('../../../', import.meta.url));

interface Block {
  readonly name: string;
  readonly text: string;
}

function filesUnder(folder: string, ending: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return entry.name === 'node_modules' ? [] : filesUnder(path, ending);
    return entry.name.endsWith(ending) ? [path] : [];
  });
}

function blocksOf(path: string): Block[] {
  const text = readFileSync(path, 'utf8');
  return [...text.matchAll(/^```ya?ml[ \t]*\n([\s\S]*?)^```/gm)].map((match) => {
    const line = text.slice(0, match.index).split('\n').length + 1;
    return { name: `${relative(root, path)}:${line}`, text: match[1] ?? '' };
  });
}

const markdown = [...filesUnder(join(root, 'docs'), '.md'), ...filesUnder(join(root, 'examples'), '.md')];
const readme = join(root, 'README.md');
const blocks = [...markdown, ...(existsSync(readme) ? [readme] : [])].flatMap(blocksOf);

describe('YAML blocks of the docs', () => {
  it('exist', () => {
    expect(blocks.length).toBeGreaterThanOrEqual(1);
  });

  it.each(blocks)('$name parses and lints', ({ name, text }) => {
    // A block stands alone: what it refers to may be shown elsewhere.
    const { catalog, issues } = parseCatalog([{ name, text }], { partial: true });
    expect(issues).toEqual([]);
    const findings = catalog === null ? [] : lintCatalog(catalog, { now: Date.UTC(2026, 0, 1) });
    expect(findings.filter(({ severity }) => severity === 'error')).toEqual([]);
  });
});

describe('examples', () => {
  const shape = join(root, 'examples', 'kaiten-shape');
  const folders = readdirSync(join(root, 'examples'), { withFileTypes: true }).filter((entry) =>
    entry.isDirectory(),
  );

  it.each(folders.map(({ name }) => name))(
    '%s: its catalog files parse as one, with every reference',
    (folder) => {
      const paths = readdirSync(join(root, 'examples', folder)).filter((name) => /\.ya?ml$/.test(name));
      const files = paths.map((name) => ({
        name,
        text: readFileSync(join(root, 'examples', folder, name), 'utf8'),
      }));
      expect(parseCatalog(files).issues).toEqual([]);
    },
  );

  it('K-11 the short form stands in its own folder', () => {
    expect(filesUnder(shape, '.yaml').length).toBeGreaterThanOrEqual(2);
  });
});
