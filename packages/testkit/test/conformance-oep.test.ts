import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestServer, type TestServer } from '../src/test-server.js';

/* The conformance suite of OEP, run as its README says: as commands of their own, against an address. */

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

interface Run {
  readonly code: number;
  readonly output: string;
}

/** A script of the root's package.json, without npm. */
async function script(name: string, words: readonly string[]): Promise<Run> {
  const { scripts } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8'));
  const [program, file, ...more] = String(scripts[name]).split(' ');
  expect(program).toBe('node');
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [join(ROOT, file ?? ''), ...more, ...words],
      { cwd: ROOT, maxBuffer: 16 * 1024 * 1024, timeout: 120_000 },
      (error, stdout, stderr) =>
        resolve({
          code: typeof error?.code === 'number' ? error.code : error === null ? 0 : 1,
          output: `${stdout}${stderr}`,
        }),
    );
  });
}

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

describe('the conformance suite of OEP', () => {
  it('K-13 passes on this server, loaded by the command that the README names', async () => {
    const loaded = await script('conformance:oep:load', ['--url', server.url, '--key', server.adminKey]);
    expect(loaded.code, loaded.output).toBe(0);
    const key = / --key (\S+)/.exec(loaded.output)?.[1] ?? '';
    const again = await script('conformance:oep:load', ['--url', server.url, '--key', server.adminKey]);
    expect(again.code, again.output).toBe(0);
    const run = await script('conformance:oep', [
      ...['--url', server.url, '--key', key, '--client-key', server.clientKey],
    ]);
    expect(run.output).toMatch(/\d+ passed, 0 failed, \d+ skipped\n$/);
    expect(run.code, run.output).toBe(0);
    // What is skipped is what the server says that it has not, and never more than that.
    const { capabilities } = (await server.request('GET', '/oep/v1/configuration')).body;
    const skipped = [...run.output.matchAll(/ {2}skip {2}.* \((.*)\)\n/g)].map(([, why]) => why ?? '');
    const lacking = (why: string) => capabilities[/`(\w+)`/.exec(why)?.[1] ?? ''] === false;
    expect(skipped.filter((why) => why !== 'no --burst was given' && !lacking(why))).toEqual([]);
    expect(run.output).toContain('pass  ends by the clock');
  }, 180_000);

  it('fails on a server that does something wrong, whatever it is, and passes on one that does not', async () => {
    const proof = await script('prove:oep-suite', []);
    expect(proof.output).toMatch(/\n([5-9]\d|\d{3}) faults planted, 0 problems\n$/);
    expect(proof.code, proof.output).toBe(0);
  }, 180_000);

  it('ends with 1 where nothing answers, where the fixture is missing, and where a case fails', async () => {
    const nobody = await script('conformance:oep', ['--url', 'http://127.0.0.1:9', '--key', 'x']);
    expect(nobody.code).toBe(1);
    // A server key of a product without the fixture: what is asked about is not there.
    const words = ['--url', server.url, '--key', server.serverKey, '--product', server.product];
    const without = await script('conformance:oep', words);
    expect(without.output).toContain('has no `on`, `off`');
    expect(without.output).not.toContain('fail');
    expect(without.code).toBe(1);
    const loaded = await script('conformance:oep:load', ['--url', server.url, '--key', server.adminKey]);
    const key = / --key (\S+)/.exec(loaded.output)?.[1] ?? '';
    // A key that may consume, said to be one for browsers.
    const failing = ['--url', server.url, '--key', key, '--client-key', key, '--only', 'browsers'];
    const failed = await script('conformance:oep', failing);
    expect(failed.output).toContain('fail  a key for browsers consumes nothing');
    expect(failed.output).toMatch(/\n0 passed, 1 failed, 0 skipped\n$/);
    expect(failed.code).toBe(1);
    const none = await script('conformance:oep', [
      '--url',
      server.url,
      '--key',
      key,
      '--only',
      'no such case',
    ]);
    expect([none.code, none.output]).toEqual([1, expect.stringContaining('No case holds `no such case`.')]);
  }, 60_000);

  it('names every feature that the server must have', async () => {
    const fixture = JSON.parse(await readFile(join(ROOT, 'conformance/oep/fixture.json'), 'utf8'));
    const readme = await readFile(join(ROOT, 'conformance/oep/README.md'), 'utf8');
    for (const { key } of fixture.features) expect(readme).toContain(`| \`${key}\` |`);
  });
});
