import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BundledServer, bundleServer } from '@pennon/testkit/prove/bundled-server';
import { type ServerProcess, startServerProcess } from '@pennon/testkit/server-process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AwayServers, known, startAwayServers, usedOf } from './store-away-support.js';

/* `kill -9` of a process while its store is away: what it has acknowledged is counted by whoever comes after it, once. */

/** Each costs two starts of a server; more by `PENNON_AWAY_KILLS=20`. */
const KILLS = Number(process.env.PENNON_AWAY_KILLS ?? 2);

let servers: AwayServers;
let folder: string;
let bundled: BundledServer;
beforeAll(async () => {
  servers = await startAwayServers();
  bundled = await bundleServer();
  folder = await mkdtemp(join(tmpdir(), 'pennon-away-'));
}, 60_000);
afterAll(async () => {
  await servers?.stop();
  bundled?.remove();
  await rm(folder, { recursive: true, force: true });
});

function start(): Promise<ServerProcess> {
  return startServerProcess(
    { ...servers.near, databaseUrl: servers.wiredUrl },
    { dataDirectory: folder, main: bundled.main },
  );
}

interface Told {
  readonly status: number;
  readonly reason: string | null;
  readonly consumed: number;
}

async function take(url: string, who: string, key: string): Promise<Told> {
  const response = await fetch(`${url}/oep/v1/consume`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${servers.near.serverKey}`,
      'content-type': 'application/json',
      'idempotency-key': key,
    },
    body: JSON.stringify({ context: { targetingKey: who }, key: 'open-calls', amount: 3 }),
  });
  const body = (await response.json()) as { readonly reason?: string; readonly consumed?: number };
  return { status: response.status, reason: body.reason ?? null, consumed: body.consumed ?? 0 };
}

/** Callers that go on until the process is gone; the keys of those that were answered by it, and of those that were not. */
async function callUntilKilled(victim: ServerProcess, who: string, name: string, answers: number) {
  const answered: string[] = [];
  const asked: string[] = [];
  let gone = false;
  async function caller(number: number): Promise<void> {
    for (let call = 0; !gone; call += 1) {
      const key = `${name}.${number}.${call}`;
      asked.push(key);
      const told = await take(victim.url, who, key).catch(() => null);
      if (told?.status === 200) {
        expect(told).toEqual({ status: 200, reason: 'FALLBACK', consumed: 3 });
        answered.push(key);
      }
    }
  }
  const callers = Array.from({ length: 8 }, (_, number) => caller(number));
  while (answered.length < answers) await new Promise((resolve) => setTimeout(resolve, 2));
  gone = true;
  await victim.kill();
  await Promise.all(callers);
  return { answered, asked };
}

async function waitingIn(url: string): Promise<number> {
  const metrics = await (await fetch(`${url}/metrics`)).text();
  return Number(/^pennon_journal_waiting (\d+)/m.exec(metrics)?.[1] ?? Number.NaN);
}

async function knownTo(url: string, who: string): Promise<void> {
  for (;;) {
    const told = await take(url, who, `warm.${who}.${Math.random()}`);
    if (told.status === 200) return;
  }
}

describe('a process that is killed while its store is away', () => {
  it(`kill -9 ${KILLS} times: whatever it acknowledged is counted once by the next, in an outage or after it`, async () => {
    const { near, wire } = servers;
    for (let round = 1; round <= KILLS; round += 1) {
      wire.goAway(false);
      const who = await known(near);
      const victim = await start();
      await knownTo(victim.url, who);
      const before = await usedOf(near, who, 'open-calls');
      wire.goAway(true);
      const { answered, asked } = await callUntilKilled(victim, who, `round-${round}`, 20 + round * 7);
      // With the store still away in every second round: the journal is read, and repeats get their answers from it.
      const duringOutage = round % 2 === 0;
      wire.goAway(duringOutage);
      const next = await start();
      if (duringOutage) {
        expect(await waitingIn(next.url)).toBeGreaterThanOrEqual(answered.length);
        expect(await take(next.url, who, answered[0] ?? '')).toMatchObject({
          status: 200,
          reason: 'FALLBACK',
        });
        wire.goAway(false);
      }
      while ((await waitingIn(next.url)) > 0) await new Promise((resolve) => setTimeout(resolve, 20));
      const counted = (await usedOf(near, who, 'open-calls')) - before;
      expect(counted % 3).toBe(0);
      expect(counted).toBeGreaterThanOrEqual(answered.length * 3);
      expect(counted).toBeLessThanOrEqual(asked.length * 3);
      for (const key of answered) {
        expect(await take(next.url, who, key)).toEqual({ status: 200, reason: 'FALLBACK', consumed: 3 });
      }
      expect((await usedOf(near, who, 'open-calls')) - before).toBe(counted);
      await next.kill();
    }
  }, 600_000);
});
