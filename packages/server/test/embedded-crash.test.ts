import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { describe, expect, it } from 'vitest';
import { keepEmbeddedDatabase } from '../src/store/embedded/keep-embedded-database.js';
import { isPidAlive } from '../src/store/embedded/process-identity.js';
import { startEmbeddedDatabase } from '../src/store/embedded/start-embedded-database.js';
import { ended, makeFolder, query, spawnSupervisor } from './embedded-support.js';

const COMPUTE_FOR_TWO_SECONDS = `
  do $$ declare ends timestamptz := clock_timestamp() + interval '2 seconds';
  begin while clock_timestamp() < ends loop end loop; end $$`;

describe('the embedded database, killed', () => {
  it('says that it ended, and starts again with what was committed', async () => {
    const directory = join(makeFolder(), 'postgres');
    const first = await startEmbeddedDatabase({ directory });
    await query(first.url, 'create table kept as select 42 as answer');
    process.kill(first.pid, 'SIGKILL');
    expect(await first.exited).toEqual({ exitCode: null, signal: 'SIGKILL', expected: false });
    await first.stop();
    const second = await startEmbeddedDatabase({ directory });
    expect(await query(second.url, 'select answer from kept')).toEqual([{ answer: 42 }]);
    await second.stop();
  });

  it('waits for backends that outlive their killed postmaster', async () => {
    const directory = join(makeFolder(), 'postgres');
    const first = await startEmbeddedDatabase({ directory, fast: true });
    const busy = new pg.Client({ connectionString: first.url });
    busy.on('error', () => undefined);
    await busy.connect();
    // A loop that computes never looks whether the postmaster lives; it ends by itself, on a busy machine no later.
    const computing = busy.query(COMPUTE_FOR_TWO_SECONDS).catch(() => undefined);
    await sleep(200);
    process.kill(first.pid, 'SIGKILL');
    await first.exited;
    const second = await startEmbeddedDatabase({ directory, fast: true });
    await computing;
    await query(second.url, 'select 1');
    await second.stop();
    await busy.end().catch(() => undefined);
  });

  it('is started again by its keeper, under the same address', async () => {
    const lines: string[] = [];
    const directory = join(makeFolder(), 'postgres');
    const kept = await keepEmbeddedDatabase({ directory, fast: true, log: (line) => lines.push(line) });
    const [url, pid] = [kept.url(), kept.pid()];
    for (let round = 0; round < 2; round++) {
      const before = kept.pid();
      process.kill(before, 'SIGKILL');
      await expect.poll(() => kept.pid(), { timeout: 10_000 }).not.toBe(before);
      await expect
        .poll(() => query(kept.url(), 'select 1 as one'), { timeout: 10_000 })
        .toEqual([{ one: 1 }]);
      expect(kept.url()).toBe(url);
    }
    expect(kept.pid()).not.toBe(pid);
    expect(lines.join('\n')).toContain('has ended (SIGKILL)');
    await kept.stop();
    expect(isPidAlive(kept.pid())).toBe(false);
  });

  it('keeps nothing running that dies just before it is stopped', async () => {
    const directory = join(makeFolder(), 'postgres');
    const kept = await keepEmbeddedDatabase({ directory, fast: true });
    process.kill(kept.pid(), 'SIGKILL');
    await sleep(130);
    await kept.stop();
    expect(isPidAlive(kept.pid())).toBe(false);
    const next = await startEmbeddedDatabase({ directory, fast: true });
    await next.stop();
  });

  it('holds its lock through the crash of a single backend', async () => {
    const directory = join(makeFolder(), 'postgres');
    const database = await startEmbeddedDatabase({ directory, fast: true });
    const victim = new pg.Client({ connectionString: database.url });
    victim.on('error', () => undefined);
    await victim.connect();
    const { rows } = await victim.query<{ pid: number }>('select pg_backend_pid() as pid');
    process.kill(rows[0]?.pid ?? -1, 'SIGKILL');
    await expect.poll(() => query(database.url, 'select 1 as one').catch(() => null)).toEqual([{ one: 1 }]);
    await expect.poll(() => lockHolders(database.url)).toBe(1);
    expect(isPidAlive(database.pid)).toBe(true);
    await database.stop();
  });
});

describe('the supervisor of the embedded database, killed', () => {
  it('leaves an orphan, which the next start ends and replaces', async () => {
    const directory = join(makeFolder(), 'postgres');
    const supervisor = spawnSupervisor(directory);
    const answer = await supervisor.answer;
    if (!answer.up) throw new Error(answer.message);
    await query(answer.url, 'create table kept as select 42 as answer');
    supervisor.child.kill('SIGKILL');
    await ended(supervisor.child);
    expect(isPidAlive(answer.pid)).toBe(true);

    const lines: string[] = [];
    const database = await startEmbeddedDatabase({ directory, fast: true, log: (line) => lines.push(line) });
    expect(isPidAlive(answer.pid)).toBe(false);
    expect(lines.join('\n')).toContain(`${answer.pid} has lost its supervisor`);
    expect(await query(database.url, 'select answer from kept')).toEqual([{ answer: 42 }]);
    await database.stop();
  });

  it('is followed by exactly one of several that start at once', async () => {
    const directory = join(makeFolder(), 'postgres');
    const supervisor = spawnSupervisor(directory);
    await supervisor.answer;
    supervisor.child.kill('SIGKILL');
    await ended(supervisor.child);
    await exactlyOneWins(directory);
  });
});

describe('two supervisors of one directory', () => {
  it('only one of several that start at once in an empty directory gets it; the others name it', async () => {
    await exactlyOneWins(join(makeFolder(), 'postgres'));
  });

  it('a second start in the same process is refused as well', async () => {
    const directory = join(makeFolder(), 'postgres');
    const first = await startEmbeddedDatabase({ directory, fast: true });
    await expect(startEmbeddedDatabase({ directory, fast: true })).rejects.toMatchObject({
      code: 'ALREADY_RUNNING',
      message: expect.stringContaining(`process ${process.pid}`),
    });
    await query(first.url, 'select 1');
    await first.stop();
  });

  it('the lock alone keeps a second one away, when the note about the first is gone', async () => {
    const directory = join(makeFolder(), 'postgres');
    const supervisor = spawnSupervisor(directory);
    const answer = await supervisor.answer;
    if (!answer.up) throw new Error(answer.message);
    rmSync(join(directory, 'supervisor.json'));
    await expect(startEmbeddedDatabase({ directory, fast: true })).rejects.toMatchObject({
      code: 'ALREADY_RUNNING',
      message: expect.stringContaining(`process ${supervisor.pid}`),
    });
    expect(await query(answer.url, 'select 1 as one')).toEqual([{ one: 1 }]);
  });
});

async function exactlyOneWins(directory: string): Promise<void> {
  const supervisors = Array.from({ length: 4 }, () => spawnSupervisor(directory));
  const answers = await Promise.all(supervisors.map(({ answer }) => answer));
  const winner = supervisors[answers.findIndex(({ up }) => up)];
  expect(answers.filter(({ up }) => up)).toHaveLength(1);
  for (const answer of answers) {
    if (answer.up) continue;
    expect(answer.code).toBe('ALREADY_RUNNING');
    expect(answer.message).toContain(`process ${winner?.pid}`);
  }
  expect(readFileSync(join(directory, 'supervisor.json'), 'utf8')).toContain(`"pid":${winner?.pid},`);
}

async function lockHolders(url: string): Promise<number> {
  const rows = await query(
    url,
    `select count(*)::int as holders from pg_locks where locktype = 'advisory' and granted`,
  ).catch(() => []);
  return Number(rows[0]?.holders ?? 0);
}
