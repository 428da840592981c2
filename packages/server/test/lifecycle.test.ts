import { type ChildProcess, spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { isPidAlive } from '../src/store/embedded/process-identity.js';

const lifecycleModule = import.meta.resolve('@pennon/server/lifecycle');
const repository = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))));

interface Watched {
  readonly child: ChildProcess;
  text(): string;
  /** Resolves when that text has been said. */
  said(text: string): Promise<void>;
  /** Exit code, or the signal's name, once everything that it wrote has been read. */
  readonly ended: Promise<number | NodeJS.Signals | null>;
}

function watch(child: ChildProcess): Watched {
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (part: string) => {
      text += part;
    });
  }
  onTestFinished(() => void child.kill('SIGKILL'));
  return {
    child,
    text: () => text,
    said: (wanted) => expect.poll(() => text, { timeout: 60_000, interval: 10 }).toContain(wanted),
    ended: new Promise((resolve) => child.on('close', (code, signal) => resolve(code ?? signal))),
  };
}

/** A small program around the lifecycle: it says when it is up, when its drain begins, and when that is done. */
const program = (options: string, drain = 'await sleep(300);') => `
  import { runUntilStopped } from ${JSON.stringify(lifecycleModule)};
  import { setTimeout as sleep } from 'node:timers/promises';
  const keepAlive = setInterval(() => {}, 60_000);
  process.exit(await runUntilStopped({
    start: async () => { console.log('running ' + process.pid); },
    stop: async () => { console.log('drain begins'); ${drain} console.log('drain done'); clearInterval(keepAlive); },
    log: (line) => console.log(line),
    parentPollMilliseconds: 20,
    ${options}
  }));`;

const run = (script: string) =>
  watch(
    spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'pipe'] }),
  );

const count = (text: string, wanted: string) => text.split(wanted).length - 1;

describe('runUntilStopped', () => {
  it.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)('drains on %s and ends with 0', async (signal) => {
    const server = run(program(''));
    await server.said('running ');
    server.child.kill(signal);
    expect(await server.ended).toBe(0);
    expect(server.text()).toContain(`Stopping: ${signal}.`);
    expect(server.text()).toContain('drain done');
  });

  it('drains once, however many signals come', async () => {
    const server = run(program(''));
    await server.said('running ');
    for (const signal of ['SIGINT', 'SIGINT', 'SIGTERM', 'SIGINT'] as const) {
      server.child.kill(signal);
      await sleep(50);
    }
    expect(await server.ended).toBe(0);
    expect(count(server.text(), 'drain begins')).toBe(1);
    expect(count(server.text(), 'drain done')).toBe(1);
  });

  it('stops what has come up when a signal comes during the start', async () => {
    const server = run(
      program("start: async () => { console.log('coming'); await sleep(400); console.log('running '); },"),
    );
    await server.said('coming');
    server.child.kill('SIGTERM');
    expect(await server.ended).toBe(0);
    expect(server.text()).toMatch(/coming[\s\S]*running[\s\S]*drain begins[\s\S]*drain done/);
  });

  it('gives up a drain that does not end, with 1', async () => {
    const server = run(program('drainMilliseconds: 200,', 'await new Promise(() => {});'));
    await server.said('running ');
    server.child.kill('SIGTERM');
    expect(await server.ended).toBe(1);
    expect(server.text()).toContain('took longer than 0.2 s');
  });

  it('ends with 1 and says why when the drain fails', async () => {
    const server = run(program('', "throw new Error('the disk is gone');"));
    await server.said('running ');
    server.child.kill('SIGTERM');
    expect(await server.ended).toBe(1);
    expect(server.text()).toContain('Stopping failed: Error: the disk is gone');
  });

  it('drains what came up when the start fails, and passes the failure on', async () => {
    const server = run(program("start: async () => { throw new Error('port taken'); },"));
    expect(await server.ended).toBe(1);
    expect(server.text()).toContain('drain done');
    expect(server.text()).toContain('Error: port taken');
  });

  it('drains when the process that started it is killed, also behind a shell', async () => {
    for (const launch of [
      `spawn(process.execPath, args, { stdio: 'inherit' })`,
      // The shell lives on, because it has something to do afterwards.
      `spawn('sh', ['-c', '"$0" "$@"; echo shell done', process.execPath, ...args], { stdio: 'inherit' })`,
    ]) {
      const script = `
        import { spawn } from 'node:child_process';
        const args = ['--input-type=module', '-e', ${JSON.stringify(program('parentPid: Number(process.argv[1]),'))}, String(process.pid)];
        ${launch};`;
      const parent = run(script);
      await parent.said('running ');
      const pid = Number(/running (\d+)/.exec(parent.text())?.[1]);
      parent.child.kill('SIGKILL');
      await parent.said('drain done');
      expect(parent.text()).toContain('Stopping: the process that started this one has ended.');
      await expect.poll(() => isPidAlive(pid)).toBe(false);
    }
  });

  it('finishes its drain when nobody reads its output any more', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'pennon-lifecycle-'));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const proof = join(folder, 'drained');
    const server = run(
      program(
        '',
        `for (let i = 0; i < 100; i++) console.log('x'.repeat(1000)); await sleep(100);
         (await import('node:fs')).writeFileSync(${JSON.stringify(proof)}, 'yes');`,
      ),
    );
    await server.said('running ');
    server.child.stdout?.destroy();
    server.child.stderr?.destroy();
    server.child.kill('SIGTERM');
    expect(await server.ended).toBe(0);
    expect(readFileSync(proof, 'utf8')).toBe('yes');
  });
});

/** A clone in which the server is the small program above; npm, its script and the tools are the real ones. */
function plantClone(): string {
  const folder = mkdtempSync(join(tmpdir(), 'pennon-start-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const write = (path: string, text: string) => {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  };
  cpSync(join(repository, 'tools'), join(folder, 'tools'), { recursive: true });
  const { scripts } = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8')) as {
    scripts: { start: string };
  };
  const manifest = { name: 'planted', version: '1.0.0', private: true, scripts: { start: scripts.start } };
  writeFileSync(join(folder, 'package.json'), JSON.stringify(manifest));
  mkdirSync(join(folder, 'node_modules'));
  symlinkSync(join(repository, 'node_modules/typescript'), join(folder, 'node_modules/typescript'));
  const lockfile = {
    name: 'planted',
    version: '1.0.0',
    lockfileVersion: 3,
    requires: true,
    packages: { '': { name: 'planted', version: '1.0.0' } },
  };
  write('package-lock.json', JSON.stringify(lockfile));
  write('node_modules/.package-lock.json', JSON.stringify(lockfile));
  write('packages/server/package.json', '{ "type": "module" }');
  write(
    'packages/server/tsconfig.json',
    JSON.stringify({
      compilerOptions: {
        target: 'es2023',
        module: 'nodenext',
        composite: true,
        rootDir: 'src',
        outDir: 'dist',
        tsBuildInfoFile: 'dist/.tsbuildinfo',
        types: [],
        noCheck: true,
      },
      include: ['src'],
    }),
  );
  write(
    'packages/server/src/main.ts',
    `import { runUntilStopped } from ${JSON.stringify(lifecycleModule)};
     export async function main(options) {
       const keepAlive = setInterval(() => {}, 60_000);
       return runUntilStopped({
         ...options,
         start: async () => { console.log('running ' + process.pid); },
         stop: async () => {
           console.log('drain begins');
           await new Promise((resolve) => setTimeout(resolve, 300));
           console.log('drain done');
           clearInterval(keepAlive);
         },
         log: (line) => console.log(line),
       });
     }\n`,
  );
  return folder;
}

const npmStart = (folder: string) =>
  watch(spawn('npm', ['start'], { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'], detached: true }));

// Compiling takes its time on a machine that is busy with other tests.
describe('npm start', { timeout: 120_000 }, () => {
  it('builds once, runs, and drains once on Ctrl-C, which reaches npm and the server alike', async () => {
    const folder = plantClone();
    const first = npmStart(folder);
    await first.said('running ');
    expect(first.text()).toContain('Building');
    process.kill(-(first.child.pid ?? 0), 'SIGINT');
    expect(await first.ended).toBe(0);
    expect(count(first.text(), 'drain begins')).toBe(1);
    expect(count(first.text(), 'drain done')).toBe(1);

    const second = npmStart(folder);
    await second.said('running ');
    expect(second.text()).not.toContain('Building');
    // npm waits for the drain, because no shell stands between that would end first.
    second.child.kill('SIGTERM');
    expect(await second.ended).toBe(0);
    expect(count(second.text(), 'drain done')).toBe(1);
  });

  it('drains when npm is killed', async () => {
    const server = npmStart(plantClone());
    await server.said('running ');
    const pid = Number(/running (\d+)/.exec(server.text())?.[1]);
    server.child.kill('SIGKILL');
    await server.said('drain done');
    await expect.poll(() => isPidAlive(pid)).toBe(false);
  });

  it('installs what is not installed, and builds only what is not built', async () => {
    const folder = plantClone();
    const first = npmStart(folder);
    await first.said('running ');
    first.child.kill('SIGTERM');
    await first.ended;
    rmSync(join(folder, 'node_modules'), { recursive: true });
    const second = npmStart(folder);
    await second.said('running ');
    expect(second.text()).toContain('Installing packages (npm ci)');
    expect(second.text()).not.toContain('Building');
    second.child.kill('SIGTERM');
    await second.ended;
  });

  it('says what to do when the sources do not compile', async () => {
    const folder = plantClone();
    writeFileSync(join(folder, 'packages/server/src/main.ts'), 'export const = ;\n');
    const server = npmStart(folder);
    expect(await server.ended).toBe(1);
    expect(server.text()).toContain('The sources do not compile');
  });
});

describe('the Node that starts it', async () => {
  const { requireNode, endOfLifeWarning } = (await import(join(repository, 'tools/install.mjs'))) as {
    requireNode(version: string): void;
    endOfLifeWarning(version: string, now: Date): string;
  };

  it('is refused when it is too old, with where to get another', () => {
    for (const version of ['18.20.4', '20.19.9', '16.0.0']) {
      expect(() => requireNode(version)).toThrow(/needs Node 20\.20 or newer.*nodejs\.org/);
    }
    for (const version of ['20.20.0', '20.20.2', '22.0.0', '26.1.0']) requireNode(version);
  });

  it('is warned about when it gets no fixes any more, and not a day sooner', () => {
    expect(endOfLifeWarning('20.20.2', new Date('2026-11-22T00:00:00Z'))).toContain('on 2026-04-30');
    expect(endOfLifeWarning('22.23.4', new Date('2027-04-30T12:00:00Z'))).toBe('');
    expect(endOfLifeWarning('22.23.4', new Date('2027-05-01T12:00:00Z'))).toContain('no security fixes');
    expect(endOfLifeWarning('24.22.1', new Date('2026-11-22T00:00:00Z'))).toBe('');
    expect(endOfLifeWarning('21.7.3', new Date('2026-11-22T00:00:00Z'))).toContain('no security fixes');
    expect(endOfLifeWarning('30.0.0', new Date('2026-11-22T00:00:00Z'))).toBe('');
  });
});
