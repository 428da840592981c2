#!/usr/bin/env -S node --max-semi-space-size=64
// A committed file, because npm links commands at install time and dist/ is built afterwards.
import { existsSync } from 'node:fs';

if (!existsSync(new URL('../dist/main.js', import.meta.url))) {
  process.stderr.write('pennon is not built yet: run `npm run build` first\n');
  process.exit(1);
}
const { main } = await import('../dist/main.js');
process.exitCode = await main(process.argv);
