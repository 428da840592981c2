#!/usr/bin/env node
import { readFileSync, writeFileSync } from 'node:fs';

/*
 * npm leaves out of the lockfile the optional platform packages that its registry could not show it at that moment, and then
 * `npm ci` refuses the lockfile everywhere. This adds them by name, with the platform read from the name, so that a machine of
 * that platform installs them and every other passes them over. Run it after each change of dependencies.
 */
const PLATFORMS = [
  'aix',
  'android',
  'darwin',
  'freebsd',
  'linux',
  'netbsd',
  'openbsd',
  'openharmony',
  'sunos',
  'win32',
  'windows',
];
const PROCESSORS = [
  'arm64',
  'arm',
  'ia32',
  'loong64',
  'mips64el',
  'ppc64',
  'riscv64',
  's390x',
  'x64',
  'wasm32',
];
const SYSTEM_NAMES = { windows: 'win32' };

const file = new URL('../package-lock.json', import.meta.url);
const lockfile = JSON.parse(readFileSync(file, 'utf8'));
const added = completeLockfile(lockfile);
if (added.length > 0) writeFileSync(file, `${JSON.stringify(lockfile, null, 2)}\n`);
console.log(added.length === 0 ? 'the lockfile is complete' : `added ${added.join(', ')}`);

function completeLockfile({ packages }) {
  const added = [];
  for (const [path, entry] of Object.entries(packages)) {
    for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
      const platform = platformOf(name);
      if (platform === null || Object.keys(packages).some((other) => other.endsWith(`node_modules/${name}`)))
        continue;
      packages[`node_modules/${name}`] = {
        version: version.replace(/^[~^=]/, ''),
        ...platform,
        ...(entry.dev === true || path === '' ? { dev: true } : {}),
        optional: true,
      };
      added.push(name);
    }
  }
  lockfile.packages = Object.fromEntries(
    Object.entries(packages).sort(([left], [right]) => left.localeCompare(right, 'en')),
  );
  return added;
}

function platformOf(name) {
  const words = name.split('/').at(-1).split('-');
  const system = words.find((word) => PLATFORMS.includes(word));
  const processor = words.find((word) => PROCESSORS.includes(word));
  if (system === undefined || processor === undefined) return null;
  const libc = words.some((word) => word.startsWith('musl')) ? { libc: ['musl'] } : {};
  return { cpu: [processor], os: [SYSTEM_NAMES[system] ?? system], ...libc };
}
