import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { isPidAlive } from '../src/store/embedded/process-identity.js';
import { socketDirectory } from '../src/store/embedded/settings.js';
import { startEmbeddedDatabase } from '../src/store/embedded/start-embedded-database.js';
import { isRoot, makeFolder, query } from './embedded-support.js';

describe('the embedded database, started and stopped', () => {
  it('starts in an empty directory with the promised settings, and durably unless told otherwise', async () => {
    const directory = join(makeFolder(), 'deep', 'postgres');
    const database = await startEmbeddedDatabase({ directory });
    const [settings] = await query(
      database.url,
      `select current_setting('server_version_num')::int / 10000 as major, current_setting('fsync') as fsync,
              current_setting('synchronous_commit') as commit, current_setting('listen_addresses') as addresses,
              current_setting('dynamic_shared_memory_type') as memory, current_setting('password_encryption') as passwords,
              pg_encoding_to_char(encoding) as encoding, datcollate as collation, current_database() as name
         from pg_database where datname = current_database()`,
    );
    expect(settings).toEqual({
      major: 18,
      fsync: 'on',
      commit: 'on',
      addresses: '127.0.0.1',
      memory: 'mmap',
      passwords: 'scram-sha-256',
      encoding: 'UTF8',
      collation: 'C',
      name: 'pennon',
    });
    expect(statSync(join(directory, 'password')).mode & 0o777).toBe(0o600);
    expect(statSync(join(directory, 'postgres.log')).mode & 0o777).toBe(0o600);
    await database.stop();
    expect(await database.exited).toEqual({ exitCode: 0, signal: null, expected: true });
    expect(isPidAlive(database.pid)).toBe(false);
  });

  it('asks everyone for the password, over TCP and over its socket', async () => {
    const database = await startEmbeddedDatabase({ directory: join(makeFolder(), 'postgres'), fast: true });
    const url = new URL(database.url);
    url.password = 'guessed';
    await expect(query(url.href, 'select 1')).rejects.toMatchObject({ code: '28P01' });
    url.search = '';
    await expect(query(url.href, 'select 1')).rejects.toMatchObject({ code: '28P01' });
    await database.stop();
  });

  it.skipIf(process.platform === 'win32')(
    'is reached over a socket among its data, which nobody else may enter, or over TCP by the same address',
    async () => {
      const folder = `${makeFolder()}/with "quotes", a comma`;
      const database = await startEmbeddedDatabase({ directory: folder, fast: true });
      const url = new URL(database.url);
      const socket = url.searchParams.get('host') ?? '';
      expect(statSync(socket).mode & 0o777).toBe(0o700);
      const asked = 'select inet_client_addr() as address';
      expect(await query(url.href, asked)).toEqual([{ address: null }]);
      url.search = '';
      expect(await query(url.href, asked)).toEqual([{ address: '127.0.0.1' }]);
      await database.stop();
      expect(readdirSync(socket).filter((name) => name.startsWith('.s.'))).toEqual([]);
    },
  );

  it('has no socket where its path would be too long', () => {
    expect(socketDirectory('/data/pennon/postgres/data', 'linux')).toBe('/data/pennon/postgres/data');
    expect(socketDirectory(`/${'ü'.repeat(44)}`, 'linux')).toBeNull();
    expect(socketDirectory('/data', 'win32')).toBeNull();
  });

  it('runs in a process group of its own, so that Ctrl-C does not reach it before us', async () => {
    const database = await startEmbeddedDatabase({ directory: join(makeFolder(), 'postgres'), fast: true });
    if (process.platform === 'linux') {
      const status = readFileSync(`/proc/${database.pid}/stat`, 'utf8');
      const processGroup = Number(status.slice(status.lastIndexOf(')') + 2).split(' ')[2]);
      expect(processGroup).toBe(database.pid);
    }
    await database.stop();
  });

  it.runIf(isRoot)('as root runs under another account, with nothing of our environment', async () => {
    const database = await startEmbeddedDatabase({ directory: join(makeFolder(), 'postgres'), fast: true });
    const status = readFileSync(`/proc/${database.pid}/status`, 'utf8');
    expect(status).toMatch(/^Uid:\t65534\t65534/m);
    expect(status).toMatch(/^Groups:\s*$/m);
    const environment = readFileSync(`/proc/${database.pid}/environ`, 'utf8');
    expect(environment).toContain('LC_ALL=C');
    expect(environment).not.toContain('HOME=');
    await database.stop();
  });

  it('keeps the data from one start to the next, and stopping twice is stopping once', async () => {
    const directory = join(makeFolder(), 'postgres');
    const first = await startEmbeddedDatabase({ directory, fast: true });
    await query(first.url, 'create table kept as select 42 as answer');
    await Promise.all([first.stop(), first.stop()]);
    await first.stop();
    const second = await startEmbeddedDatabase({ directory, fast: true });
    expect(await query(second.url, 'select answer from kept')).toEqual([{ answer: 42 }]);
    await second.stop();
  });

  it('comes back under the port it had, when that is free', async () => {
    const directory = join(makeFolder(), 'postgres');
    const first = await startEmbeddedDatabase({ directory, fast: true });
    await first.stop();
    const second = await startEmbeddedDatabase({ directory, fast: true, preferredPort: first.port });
    expect(second.url).toBe(first.url);
    const other = await startEmbeddedDatabase({
      directory: join(makeFolder(), 'postgres'),
      fast: true,
      preferredPort: first.port,
    });
    expect(other.port).not.toBe(first.port);
    await Promise.all([second.stop(), other.stop()]);
  });

  it('starts beside a `postmaster.pid` whose number has gone to a stranger', async () => {
    const directory = join(makeFolder(), 'postgres');
    const first = await startEmbeddedDatabase({ directory, fast: true });
    const left = readFileSync(join(directory, 'data', 'postmaster.pid'), 'utf8');
    await first.stop();
    writeFileSync(join(directory, 'data', 'postmaster.pid'), left.replace(/^\d+/, String(process.pid)));
    const second = await startEmbeddedDatabase({ directory, fast: true });
    await second.stop();
    rmSync(directory, { recursive: true });
  });
});
