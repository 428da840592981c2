import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import module from 'node:module';
import { basename, join } from 'node:path';
import { env, exit, platform, ppid, stderr } from 'node:process';
import { pathToFileURL } from 'node:url';
import { buildIfNeeded, endOfLifeWarning, installIfNeeded, Refusal, requireNode, root } from './install.mjs';

// What `npm start` runs: install if needed, build if needed, run. Only Node's own modules are imported, since nothing else is there yet.

/** The shells that npm may put between itself and its scripts. */
const shells = /^-?(?:sh|dash|bash|ash|zsh|ksh|busybox)$/;

/** The number of the npm that started us; undefined when started by hand, where the end of a parent (`nohup`) means nothing. */
function npmPid() {
  if (env.npm_lifecycle_event === undefined || platform === 'win32') return undefined;
  try {
    const { name, parent } = describeProcess(ppid);
    return shells.test(name) ? parent : ppid;
  } catch {
    return ppid;
  }
}

/** Name and parent of a process. A slim Linux has no `ps`, the others have no `/proc`. */
function describeProcess(pid) {
  if (platform === 'linux') {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const end = text.lastIndexOf(')');
    return {
      name: text.slice(text.indexOf('(') + 1, end),
      parent: Number(text.slice(end + 2).split(' ')[1]),
    };
  }
  const line = execFileSync('ps', ['-o', 'ppid=,comm=', '-p', String(pid)], { encoding: 'utf8' }).trim();
  const [, parent, command] = /^(\d+)\s+(.+)$/.exec(line);
  return { name: basename(command), parent: Number(parent) };
}

try {
  requireNode();
  const parentPid = npmPid();
  const warning = endOfLifeWarning();
  if (warning !== '') stderr.write(`${warning}\n`);
  installIfNeeded();
  buildIfNeeded();
  // Node 22.1 and newer keep what was compiled for the next start. Not in the folder for temporary files, where others may write.
  module.enableCompileCache?.(join(root, 'node_modules/.cache/pennon-start'));
  const { main } = await import(pathToFileURL(join(root, 'packages/server/dist/main.js')).href);
  exit(await main(parentPid === undefined ? {} : { parentPid }));
} catch (error) {
  stderr.write(`${error instanceof Refusal ? error.message : (error?.stack ?? error)}\n`);
  exit(1);
}
