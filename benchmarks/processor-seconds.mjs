import { readdirSync, readFileSync } from 'node:fs';

/** Processor time so far, in seconds: of a server, of its database, and of this client. A busy machine stretches the clock, not these. */
export function processorSeconds(server) {
  const processes = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const [, parent, ...rest] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
        const [ticks, ofEnded] = [9, 11].map((first) => Number(rest[first]) + Number(rest[first + 1]));
        return [{ pid: Number(pid), parent: Number(parent), ticks, ofEnded }];
      } catch {
        return [];
      }
    });
  const own = { server: 0, database: 0 };
  const postmasters = new Set(processes.filter(({ parent }) => parent === server.pid).map(({ pid }) => pid));
  for (const { pid, parent, ticks, ofEnded } of processes) {
    if (pid === server.pid) own.server += ticks / 100;
    // A connection of the database that was closed has become time of ended children.
    else if (postmasters.has(pid)) own.database += (ticks + ofEnded) / 100;
    else if (postmasters.has(parent)) own.database += ticks / 100;
  }
  const { user, system } = process.cpuUsage();
  return { ...own, client: (user + system) / 1e6 };
}
