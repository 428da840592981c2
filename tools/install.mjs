import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { env, execPath, platform, stdout, versions } from 'node:process';
import { fileURLToPath } from 'node:url';

/** The folder of the clone. */
export const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** A fault whose message is all that the person at the terminal needs. */
export class Refusal extends Error {}

/** The oldest Node that everything here is tested on. */
const oldest = [20, 20];

/** Last day of maintenance by the release schedule of Node, by major. Odd majors never are maintained for long. */
const endOfLife = { 20: '2026-04-30', 22: '2027-04-30', 24: '2028-04-30', 26: '2029-04-30' };

/** Refuses a Node that is too old. */
export function requireNode(version = versions.node) {
  const [major, minor] = version.split('.').map(Number);
  if (major > oldest[0] || (major === oldest[0] && minor >= oldest[1])) return;
  throw new Refusal(
    `Pennon needs Node ${oldest.join('.')} or newer, this is Node ${version}. Install a maintained release from ` +
      'https://nodejs.org (the one marked LTS) and run the same command again.',
  );
}

/** The warning about a Node that gets no security fixes any more; empty for one that does. */
export function endOfLifeWarning(version = versions.node, now = new Date()) {
  const major = Number(version.split('.')[0]);
  const last = endOfLife[major] ?? (major % 2 === 1 || major < 20 ? 'some time ago' : null);
  if (last === null || (/^\d/.test(last) && now <= new Date(`${last}T23:59:59Z`))) return '';
  return (
    `Warning: Node ${version} gets no security fixes any more (its line ended ${/^\d/.test(last) ? `on ${last}` : last}). ` +
    'Pennon works on it; for anything but a trial run a maintained release from https://nodejs.org.'
  );
}

/** Installs what the lockfile says, unless that is what is installed. */
export function installIfNeeded() {
  if (isInstalled()) return;
  stdout.write('Installing packages (npm ci) …\n');
  const { status, error } = runNpm(['ci', '--no-audit', '--no-fund']);
  if (status === 0) return;
  throw new Refusal(
    `\`npm ci\` failed${error ? ` (${error.message})` : ''}; its output above says why. Without a network the packages must be ` +
      'installed before: `npm ci` where there is one, then copy the whole folder.',
  );
}

/**
 * npm writes a lockfile of its own into `node_modules` when it has finished, so the two are compared. Times of files do not survive
 * copying, and a stamp of ours would not know of what was installed by hand. Optional packages of other platforms are not there.
 */
function isInstalled() {
  const installed = readPackages(join(root, 'node_modules', '.package-lock.json'));
  if (installed === null) return false;
  return Object.entries(readPackages(join(root, 'package-lock.json')) ?? {}).every(([path, wanted]) => {
    if (!path.includes('node_modules/') || wanted.link === true) return true;
    const found = installed[path];
    return found === undefined
      ? wanted.optional === true || wanted.devOptional === true
      : found.version === wanted.version;
  });
}

function readPackages(lockfile) {
  try {
    return JSON.parse(readFileSync(lockfile, 'utf8')).packages ?? {};
  } catch {
    return null;
  }
}

function runNpm(argumentList) {
  // Started by npm, its own script is known; else the one on the path. Windows knows it as a command file.
  const script = env.npm_execpath;
  return script?.endsWith('.js')
    ? spawnSync(execPath, [script, ...argumentList], { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] })
    : spawnSync(platform === 'win32' ? 'npm.cmd' : 'npm', argumentList, {
        cwd: root,
        stdio: ['ignore', 'inherit', 'inherit'],
        shell: platform === 'win32',
      });
}

/** Compiles, unless what is compiled is newer than every source. */
export function buildIfNeeded() {
  if (isBuilt()) return;
  stdout.write('Building (tsc -b) …\n');
  const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const projects = packageFolders().filter((folder) => existsSync(join(folder, 'tsconfig.json')));
  const { status } = spawnSync(execPath, [compiler, '-b', ...projects], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  if (status !== 0) throw new Refusal('The sources do not compile; the messages above say where.');
}

/** Each package is compared with its own build information, which the compiler writes last. */
function isBuilt() {
  return packageFolders().every((folder) => {
    const built = statSync(join(folder, 'dist', '.tsbuildinfo'), { throwIfNoEntry: false });
    return built !== undefined && newestIn(join(folder, 'src')) <= built.mtimeMs;
  });
}

function packageFolders() {
  return readdirSync(join(root, 'packages'))
    .map((name) => join(root, 'packages', name))
    .filter((folder) => existsSync(join(folder, 'src')));
}

function newestIn(folder) {
  let newest = 0;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    newest = Math.max(newest, entry.isDirectory() ? newestIn(path) : statSync(path).mtimeMs);
  }
  return newest;
}
