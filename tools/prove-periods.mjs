#!/usr/bin/env node
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { argv, exit, stdout } from 'node:process';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';

/*
 * The long form of the proof of periods: `npm run prove:periods -- [cases] [seed]`. It prints one line, and each fault on a line of its
 * own before it; the same seed asks the same questions.
 */
const root = dirname(dirname(fileURLToPath(import.meta.url)));
const cases = Number(argv[2] ?? 1_000_000);
const seed = Number(argv[3] ?? Date.now() % 2 ** 32);
const folder = join(root, 'node_modules', '.cache', 'pennon');
const file = join(folder, 'period-proof.mjs');

await mkdir(folder, { recursive: true });
const { outputFiles } = await build({
  entryPoints: [join(root, 'packages/engine/test/period-proof.ts')],
  bundle: true,
  format: 'esm',
  platform: 'node',
  packages: 'external',
  write: false,
});
await writeFile(file, outputFiles[0].contents);
const { provePeriods } = await import(pathToFileURL(file).href);

const began = performance.now();
const { checks, series, zones, faults } = provePeriods(cases, seed);
const seconds = ((performance.now() - began) / 1000).toFixed(1);
for (const fault of faults) stdout.write(`${fault}\n`);
stdout.write(
  `periods cases=${checks} series=${series} zones=${zones} faults=${faults.length} seed=${seed} seconds=${seconds}\n`,
);
exit(faults.length === 0 ? 0 : 1);
