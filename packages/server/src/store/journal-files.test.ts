import { type ChildProcess, spawn } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createJournalFiles } from './journal-files.js';

let root: string;
const problems: string[] = [];

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'pennon-journal-'));
  problems.length = 0;
});
afterEach(() => rm(root, { recursive: true, force: true }));

function journal(maximumBytes?: number) {
  return createJournalFiles({
    root: join(root, 'journal'),
    onProblem: (problem) => problems.push(problem),
    ...(maximumBytes === undefined ? {} : { maximumBytes }),
  });
}

async function textsOf(read: ReturnType<typeof journal>): Promise<readonly string[]> {
  return (await read.takeOver()).map(({ text }) => text);
}

async function files(): Promise<readonly string[]> {
  const names = await readdir(join(root, 'journal'), { recursive: true }).catch(() => []);
  return names.filter((name) => name.endsWith('.journal'));
}

describe('the journal on disk', () => {
  it('makes nothing before something is kept, and leaves nothing once all is forgotten', async () => {
    const one = journal();
    expect(await one.takeOver()).toEqual([]);
    expect(await readdir(root)).toEqual([]);
    const places = await Promise.all(['a', 'b', 'c'].map((text) => one.append(text)));
    expect(await files()).toHaveLength(1);
    for (const place of places) one.forget(place);
    await one.close();
    expect(await readdir(join(root, 'journal'))).toEqual([]);
    expect(one.report().bytes).toBe(0);
  });

  it('what a closed one leaves is taken over once, by one', async () => {
    const one = journal();
    await Promise.all(Array.from({ length: 50 }, (_, index) => one.append(`line ${index}`)));
    // While it lives nobody takes it.
    expect(await textsOf(journal())).toEqual([]);
    await one.close();
    const [left, right] = [journal(), journal()];
    const taken = await Promise.all([textsOf(left), textsOf(right)]);
    expect(taken.flat().sort()).toEqual(Array.from({ length: 50 }, (_, index) => `line ${index}`).sort());
    expect(taken.map((texts) => texts.length).sort()).toEqual([0, 50]);
  });

  it('refuses beyond its bound, and takes again what fits once something is forgotten', async () => {
    const one = journal(100);
    const place = await one.append('x'.repeat(50));
    await expect(one.append('y'.repeat(50))).rejects.toThrow(/100 bytes/);
    await expect(one.append('y'.repeat(50))).rejects.toThrow(/100 bytes/);
    expect(problems).toHaveLength(1);
    one.forget(place);
    await one.append('y'.repeat(50));
    await one.close();
    expect(await textsOf(journal())).toEqual(['y'.repeat(50)]);
  });

  it('a folder that cannot be written is told once, and used as soon as it can be', async () => {
    await writeFile(join(root, 'journal'), 'A file where the folder should be.');
    const one = journal();
    await expect(one.append('a')).rejects.toThrow();
    await expect(one.append('b')).rejects.toThrow();
    expect(problems).toHaveLength(1);
    await rm(join(root, 'journal'));
    await one.append('c');
    await one.close();
    expect(await textsOf(journal())).toEqual(['c']);
  });

  it('acknowledges nothing that somebody else took away before: it is kept anew', async () => {
    const one = journal();
    await one.append('before');
    const [folder = ''] = await readdir(join(root, 'journal'));
    // As a process does that takes this one for dead.
    await mkdir(join(root, 'taken'));
    for (const name of await readdir(join(root, 'journal', folder))) {
      await rename(join(root, 'journal', folder, name), join(root, 'taken', name));
    }
    await rm(join(root, 'journal', folder), { recursive: true });
    await one.append('after');
    await one.close();
    expect(await textsOf(journal())).toEqual(['after']);
    const [taken = ''] = (await readdir(join(root, 'taken'))).filter((name) => name.endsWith('.journal'));
    expect(await readFile(join(root, 'taken', taken), 'utf8')).toContain('before');
  });

  it('a torn tail is cut, damage is told and kept aside', async () => {
    const one = journal();
    await one.append('first');
    await one.append('second');
    await one.close();
    const [name = ''] = await files();
    const path = join(root, 'journal', name);
    const bytes = await readFile(path);
    await chmod(path, 0o600);
    await writeFile(path, Buffer.concat([Buffer.from('garbage\n'), bytes, Buffer.from('0000')]));
    const next = journal();
    const taken = await next.takeOver();
    expect(taken.map(({ text }) => text)).toEqual(['first', 'second']);
    expect(problems).toEqual([expect.stringContaining('damaged lines')]);
    for (const { place } of taken) next.forget(place);
    await next.close();
    const left = await readdir(join(root, 'journal'), { recursive: true });
    expect(left.filter((one) => one.endsWith('.damaged'))).toHaveLength(1);
  });
});

/** Each costs a start of Node; more by `PENNON_JOURNAL_KILLS=20`. */
const KILLS = Number(process.env.PENNON_JOURNAL_KILLS ?? 6);
const MODULE = fileURLToPath(import.meta.resolve('@pennon/server/store/journal-files'));
/** Appends without an end and says what is acknowledged; first what it took over. */
const PROGRAM = `
import { createJournalFiles } from ${JSON.stringify(MODULE)};
const [root, round] = process.argv.slice(1);
const journal = createJournalFiles({ root, onProblem: (...told) => console.error(...told) });
for (const { text } of await journal.takeOver()) console.log('took ' + text);
let number = 0;
async function caller() {
  for (;;) {
    const text = round + '.' + ++number;
    await journal.append(text);
    console.log('kept ' + text);
  }
}
for (let index = 0; index < 16; index += 1) void caller();
`;

/** Runs it until so many lines were acknowledged, then `kill -9`. */
async function killedRound(round: number, lines: number): Promise<{ kept: string[]; took: string[] }> {
  const child: ChildProcess = spawn(
    process.execPath,
    ['--input-type=module', '-e', PROGRAM, join(root, 'journal'), String(round)],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  let said = '';
  let count = 0;
  await new Promise<void>((resolve) => {
    child.stdout?.setEncoding('utf8').on('data', (part: string) => {
      said += part;
      count += part.split('kept').length - 1;
      if (count > lines) child.kill('SIGKILL');
    });
    child.on('close', () => resolve());
  });
  const of = (word: string): string[] =>
    said.split('\n').flatMap((line) => (line.startsWith(`${word} `) ? [line.slice(word.length + 1)] : []));
  return { kept: of('kept'), took: of('took') };
}

function expectEach(read: readonly string[], kept: ReadonlySet<string>): void {
  const once = new Set(read);
  expect(read.length).toBe(once.size);
  expect([...kept].filter((text) => !once.has(text))).toEqual([]);
}

describe('a process that is killed', () => {
  it('kill -9 while it writes: the next one has every line that was acknowledged, once', async () => {
    const kept = new Set<string>();
    for (let round = 1; round <= KILLS; round += 1) {
      const next = await killedRound(round, (round * 37) % 100);
      expectEach(next.took, kept);
      for (const text of next.kept) kept.add(text);
    }
    expect(kept.size).toBeGreaterThan(KILLS * 20);
    expectEach(await textsOf(journal()), kept);
  }, 60_000);
});
