import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  closeSync,
  cpSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { findBinaries, program } from '../src/store/embedded/binaries.js';
import { prepareHome } from '../src/store/embedded/home.js';
import { keepEmbeddedDatabase } from '../src/store/embedded/keep-embedded-database.js';
import { accountForDatabase, firstClosedFolder } from '../src/store/embedded/run-as.js';
import { startEmbeddedDatabase } from '../src/store/embedded/start-embedded-database.js';
import { endDatabaseIn, isRoot, makeFolder, mountMemoryDisk, query } from './embedded-support.js';

async function refusal(directory: string): Promise<{ code: unknown; message: string }> {
  const started = await startEmbeddedDatabase({ directory, fast: true }).then(
    async (database) => {
      await database.stop();
      throw new Error('It started, and should not have.');
    },
    (error: unknown) => error,
  );
  if (!(started instanceof Error)) throw new Error('Something else than an error was thrown.');
  return { code: 'code' in started ? started.code : undefined, message: started.message };
}

/** A directory with a database in it that is not running. */
async function directoryWithData(): Promise<string> {
  const directory = join(makeFolder(), 'postgres');
  const database = await startEmbeddedDatabase({ directory, fast: true });
  await query(database.url, 'create table kept as select 42 as answer');
  await database.stop();
  return directory;
}

describe('the embedded database refuses, and says what to do', () => {
  it('data of another major version, and changes nothing', async () => {
    const directory = await directoryWithData();
    const versionFile = join(directory, 'data', 'PG_VERSION');
    writeFileSync(versionFile, '17\n');
    const { code, message } = await refusal(directory);
    expect(code).toBe('OTHER_MAJOR');
    expect(message).toMatch(/PostgreSQL 17.*`pg_dump` of PostgreSQL 17.*`DATABASE_URL`/s);
    writeFileSync(versionFile, '18\n');
    const database = await startEmbeddedDatabase({ directory, fast: true });
    expect(await query(database.url, 'select answer from kept')).toEqual([{ answer: 42 }]);
    await database.stop();
  });

  it('a directory whose data have gone, where an empty database would pass for the old one', async () => {
    const directory = await directoryWithData();
    rmSync(join(directory, 'data'), { recursive: true });
    const { code, message } = await refusal(directory);
    expect(code).toBe('DATA_MISSING');
    expect(message).toContain(`\`${join(directory, 'data')}\``);
    expect(existsSync(join(directory, 'data'))).toBe(false);
  });

  it('data whose password has gone', async () => {
    const directory = await directoryWithData();
    rmSync(join(directory, 'password'));
    const { code, message } = await refusal(directory);
    expect(code).toBe('PASSWORD_LOST');
    expect(message).toContain(`\`${join(directory, 'password')}\``);
  });

  it('data that are damaged, with the end of the log', async () => {
    const directory = await directoryWithData();
    rmSync(join(directory, 'data', 'global', 'pg_control'));
    const { code, message } = await refusal(directory);
    expect(code).toBe('DID_NOT_START');
    expect(message).toContain('pg_control');
    expect(message).toContain('postgres.log');
  });

  it('a platform without binaries', () => {
    for (const platform of ['freebsd-x64', 'linux-s390x', 'win32-arm64', 'linux-ppc64']) {
      expect(() => findBinaries(platform)).toThrowError(
        expect.objectContaining({ code: 'NO_BINARY', message: expect.stringContaining('`DATABASE_URL`') }),
      );
    }
  });

  it('a directory on a disk that is mounted read-only', async (context) => {
    const folder = makeFolder();
    const cannot = mountMemoryDisk(folder, 'ro,mode=755');
    if (cannot !== null) return context.skip(cannot);
    const { code, message } = await refusal(join(folder, 'postgres'));
    expect(code).toBe('READ_ONLY');
    expect(message).toContain('`PENNON_DATA_DIR`');
  });

  it.skipIf(isRoot)('a directory that this account may not write', async () => {
    const folder = makeFolder();
    chmodSync(folder, 0o555);
    onTestFinished(() => chmodSync(folder, 0o755));
    expect((await refusal(join(folder, 'postgres'))).code).toBe('READ_ONLY');
  });

  it.runIf(isRoot)('an account without a name, as containers with a free user number have it', () => {
    const folder = makeFolder();
    chownSync(folder, 54_321, 54_321);
    expect(refusalAsOrdinaryUser(join(folder, 'postgres'))).toMatch(
      /^ACCOUNT_UNKNOWN .*uid 54321.*`DATABASE_URL`/s,
    );
  });

  it.runIf(isRoot)('as an ordinary user, the data of a start as root', async () => {
    const directory = await directoryWithData();
    // The sentence is reached only by who may write the directory.
    chmodSync(directory, 0o777);
    expect(refusalAsOrdinaryUser(directory)).toMatch(/^WRONG_OWNER .*uid 65534.*started as root/s);
    chmodSync(directory, 0o711);
    expect(refusalAsOrdinaryUser(directory)).toMatch(/^READ_ONLY .*`PENNON_DATA_DIR`/s);
  });
});

/** Runs a start under an account that is neither root nor the one of the data, and answers code and message of its refusal. */
function refusalAsOrdinaryUser(directory: string): string {
  const module = import.meta.resolve('@pennon/server/store/embedded/start-embedded-database');
  const script = `
    import { startEmbeddedDatabase } from ${JSON.stringify(module)};
    await startEmbeddedDatabase({ directory: ${JSON.stringify(directory)}, fast: true })
      .then(() => console.log('started'), (error) => console.log(error.code, error.message));`;
  return execFileSync(process.execPath, ['--input-type=module', '-e', script], {
    uid: 54_321,
    gid: 54_321,
    encoding: 'utf8',
  });
}

describe('the embedded database on a full disk', () => {
  it('refuses before it makes anything, when a new database has no room', async (context) => {
    const folder = makeFolder();
    const cannot = mountMemoryDisk(folder, 'size=40m,mode=755');
    if (cannot !== null) return context.skip(cannot);
    const directory = join(folder, 'postgres');
    const { code, message } = await refusal(directory);
    expect(code).toBe('DISK_FULL');
    expect(message).toContain(`\`${directory}\``);
    expect(readdirSync(directory).filter((name) => name.startsWith('data'))).toEqual([]);
  });

  it('refuses when not a byte can be written', async (context) => {
    const folder = makeFolder();
    const cannot = mountMemoryDisk(folder, 'size=1m,mode=755');
    if (cannot !== null) return context.skip(cannot);
    fill(join(folder, 'filler'));
    expect((await refusal(join(folder, 'postgres'))).code).toBe('DISK_FULL');
  });

  it('ends when its log has no room, says so, and comes back by itself with all that was acknowledged', async (context) => {
    const folder = makeFolder();
    const cannot = mountMemoryDisk(folder, 'size=160m,mode=755');
    if (cannot !== null) return context.skip(cannot);
    const lines: string[] = [];
    const directory = join(folder, 'postgres');
    const kept = await keepEmbeddedDatabase({ directory, log: (line) => lines.push(line) });
    await query(kept.url(), 'create table filled (id int, payload text)');
    fill(join(folder, 'filler'));
    const before = kept.pid();
    let acknowledged = 0;
    for (let batch = 1; batch <= 400; batch++) {
      const statement = `insert into filled select ${batch}, repeat('x', 1000) from generate_series(1, 100)`;
      const written = await query(kept.url(), statement).then(
        () => true,
        () => false,
      );
      if (!written) break;
      acknowledged = batch;
    }
    rmSync(join(folder, 'filler'));
    await expect
      .poll(() => query(kept.url(), 'select 1 as one').catch(() => null), { timeout: 25_000 })
      .toEqual([{ one: 1 }]);
    const [row] = await query(kept.url(), 'select coalesce(max(id), 0)::int as last from filled');
    expect(row?.last).toBeGreaterThanOrEqual(acknowledged);
    expect(acknowledged).toBeLessThan(400);
    if (kept.pid() !== before) expect(lines.join('\n')).toContain('it is started again');
    await kept.stop();
  });

  it('says it of a database that has data', async (context) => {
    const folder = makeFolder();
    const cannot = mountMemoryDisk(folder, 'size=160m,mode=755');
    if (cannot !== null) return context.skip(cannot);
    const directory = join(folder, 'postgres');
    const database = await startEmbeddedDatabase({ directory, fast: true });
    await database.stop();
    fill(join(folder, 'filler'));
    expect((await refusal(directory)).code).toBe('DISK_FULL');
    rmSync(join(folder, 'filler'));
    const again = await startEmbeddedDatabase({ directory, fast: true });
    await again.stop();
  });
});

/** Writes a file until the disk has no byte left. */
function fill(path: string): void {
  const file = openSync(path, 'w');
  try {
    for (let size = 1024 * 1024; size >= 1; ) {
      try {
        writeSync(file, Buffer.alloc(size));
      } catch {
        size = Math.floor(size / 2);
      }
    }
  } finally {
    closeSync(file);
  }
}

describe.runIf(isRoot)('as root, in folders that are closed to others', () => {
  function closedFolder(): string {
    const folder = join(makeFolder(), 'closed');
    mkdirSync(folder, { mode: 0o700 });
    return folder;
  }

  function removeHomeOf(directory: string): string {
    const home = `/var/lib/pennon/${readFileSync(join(directory, 'home-id'), 'utf8').trim()}`;
    onTestFinished(() => {
      endDatabaseIn(directory);
      rmSync(home, { recursive: true, force: true });
    });
    return home;
  }

  it('keeps the data under /var/lib/pennon, and finds them again', async () => {
    const directory = join(closedFolder(), 'postgres');
    const first = await startEmbeddedDatabase({ directory, fast: true });
    const home = removeHomeOf(directory);
    expect(home).toMatch(/\/[0-9a-f]{32}$/);
    expect(statSync(join(home, 'data')).uid).toBe(65534);
    expect(readFileSync(join(home, 'belongs-to'), 'utf8')).toBe(`${directory}\n`);
    expect(readdirSync(directory)).not.toContain('data');
    await query(first.url, 'create table kept as select 42 as answer');
    await first.stop();
    const second = await startEmbeddedDatabase({ directory, fast: true });
    expect(await query(second.url, 'select answer from kept')).toEqual([{ answer: 42 }]);
    await second.stop();

    rmSync(home, { recursive: true });
    const { code, message } = await refusal(directory);
    expect(code).toBe('DATA_MISSING');
    expect(message).toContain(`\`${join(home, 'data')}\``);
  });

  it('runs copies of the binaries, when the installation cannot be reached either', async () => {
    const folder = closedFolder();
    const installed = findBinaries();
    const unreachable = join(folder, 'native');
    cpSync(installed.root, unreachable, { recursive: true, verbatimSymlinks: true });
    const directory = join(folder, 'postgres');
    const home = await prepareHome(directory, { ...installed, root: unreachable });
    const place = removeHomeOf(directory);
    expect(home.binaries.root.startsWith(place)).toBe(true);
    expect(home.dataDirectory).toBe(join(place, 'data'));
    const version = execFileSync(program(home.binaries, 'postgres'), ['--version'], {
      ...home.runAs,
      encoding: 'utf8',
    });
    expect(version).toContain('(PostgreSQL) 18');
  });

  it('keeps the data in a directory that is open, when only the installation is closed', async () => {
    const folder = closedFolder();
    const installed = findBinaries();
    const unreachable = join(folder, 'native');
    cpSync(installed.root, unreachable, { recursive: true, verbatimSymlinks: true });
    const directory = join(makeFolder(), 'postgres');
    const home = await prepareHome(directory, { ...installed, root: unreachable });
    expect(home.dataDirectory).toBe(join(directory, 'data'));
    expect(home.binaries.root.startsWith(directory)).toBe(true);
  });

  it('names the folder that was closed after the data were made', async () => {
    const folder = makeFolder();
    const directory = join(folder, 'postgres');
    const database = await startEmbeddedDatabase({ directory, fast: true });
    await database.stop();
    chmodSync(folder, 0o700);
    const { code, message } = await refusal(directory);
    expect(code).toBe('FOLDER_CLOSED');
    expect(message).toContain(`chmod o+x ${folder}`);
  });

  it('looks at every folder on the way, and at the bits of the right class', () => {
    const folder = makeFolder();
    const account = { uid: 54_321, gid: 54_322 };
    mkdirSync(join(folder, 'a', 'b'), { recursive: true });
    expect(firstClosedFolder(join(folder, 'a', 'b'), account)).toBeNull();
    expect(firstClosedFolder(join(folder, 'a', 'not', 'yet'), account)).toBeNull();
    chmodSync(join(folder, 'a'), 0o750);
    expect(firstClosedFolder(join(folder, 'a', 'b'), account)).toBe(join(folder, 'a'));
    chownSync(join(folder, 'a'), 0, account.gid);
    expect(firstClosedFolder(join(folder, 'a', 'b'), account)).toBeNull();
    chmodSync(join(folder, 'a'), 0o701);
    expect(firstClosedFolder(join(folder, 'a', 'b'), account)).toBe(join(folder, 'a'));
    chownSync(join(folder, 'a'), account.uid, 0);
    chmodSync(join(folder, 'a'), 0o100);
    expect(firstClosedFolder(join(folder, 'a', 'b'), account)).toBeNull();
  });

  it('leaves data that an ordinary user made to that user', () => {
    const folder = makeFolder();
    chownSync(folder, 54_321, 54_322);
    expect(accountForDatabase(folder)).toEqual({ uid: 54_321, gid: 54_322 });
    expect(accountForDatabase(null)).toEqual({ uid: 65534, gid: 65534 });
  });
});
