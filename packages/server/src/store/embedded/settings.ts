import { join } from 'node:path';

/** What a caller may choose about the server process. */
export interface ServerSettings {
  readonly port: number;
  readonly maxConnections: number;
  /** For tests only: nothing is forced to disk, a crash of the machine loses the data. */
  readonly fast: boolean;
}

/** The kernel's bound for the path of a socket; macOS has the smaller one. */
const SOCKET_PATH_BYTES = 103;

/**
 * The database's socket lies among its data, a folder that only its own account may enter; beside TCP, because a request over it costs both
 * sides less. `null`: there is none, on Windows and where the path would be too long for the kernel.
 */
export function socketDirectory(dataDirectory: string, platform = process.platform): string | null {
  const longest = join(dataDirectory, '.s.PGSQL.65535');
  return platform === 'win32' || Buffer.byteLength(longest) > SOCKET_PATH_BYTES ? null : dataDirectory;
}

/**
 * Settings go on the command line, which beats every file: the data directory of an older Pennon then runs with those of this one.
 * Memory is small on purpose; who needs more runs a PostgreSQL of his own.
 */
export function serverArguments(dataDirectory: string, settings: ServerSettings): string[] {
  const values: Record<string, string | number> = {
    listen_addresses: '127.0.0.1',
    port: settings.port,
    // A list: a comma, or what quotes, would end the name before its end.
    unix_socket_directories: quotedName(socketDirectory(dataDirectory)),
    password_encryption: 'scram-sha-256',
    max_connections: settings.maxConnections,
    // Every consume looks its key up and puts one in, anywhere in the index of its month: with less, a hot quota of a million a month
    // waits for pages to be read and written out, a quarter slower.
    shared_buffers: '128MB',
    work_mem: '4MB',
    maintenance_work_mem: '32MB',
    max_wal_size: '256MB',
    min_wal_size: '80MB',
    // /dev/shm is 64 MB, or not there at all, in many containers.
    dynamic_shared_memory_type: 'mmap',
    huge_pages: 'off',
    io_method: 'sync',
    jit: 'off',
    max_parallel_workers_per_gather: 0,
    wal_level: 'minimal',
    max_wal_senders: 0,
    timezone: 'UTC',
    log_timezone: 'UTC',
    // Errors of statements are answered to their caller, who logs them; here they would only grow the file.
    log_min_messages: 'log',
    log_checkpoints: 'off',
    ...(settings.fast ? { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' } : {}),
  };
  return [
    '-D',
    dataDirectory,
    ...Object.entries(values).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
  ];
}

function quotedName(path: string | null): string {
  return path === null ? '' : `"${path.replaceAll('"', '""')}"`;
}

/**
 * Nothing of our own environment reaches the database: it holds keys, and it may hold variables that change what PostgreSQL does.
 * Windows programs do not start without the system's own.
 */
export const serverEnvironment: NodeJS.ProcessEnv | undefined =
  process.platform === 'win32' ? undefined : { LC_ALL: 'C', TZ: 'UTC', PATH: '/usr/bin:/bin' };
