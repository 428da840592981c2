import { spawnSync } from 'node:child_process';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CommandBlock, commandBlocks, missingLines, runBlocks } from '../src/document-commands.js';
import { startTestServer, type TestServer } from '../src/test-server.js';

/*
 * What the documents tell a reader to paste is pasted here, block after block in one shell, against a server with the example
 * loaded. Blocks that install or start Pennon itself are tried by the tests of the start.
 */
const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

let server: TestServer;
let folder: string;

beforeAll(async () => {
  const catalog = await readFile(join(ROOT, 'examples/saleshub/catalog.yaml'), 'utf8');
  server = await startTestServer({ product: 'saleshub', catalog });
  folder = await mkdtemp(join(tmpdir(), 'pennon-documents-'));
  const { adminKey, serverKey, clientKey } = server;
  await writeFile(
    join(folder, 'keys.json'),
    JSON.stringify({ admin: adminKey, server: serverKey, client: clientKey }),
  );
  if (spawnSync('curl', ['--version']).error !== undefined) {
    // A machine with only Node has no curl; the stand-in knows the few options that the documents use.
    await writeFile(
      join(folder, 'curl'),
      `#!/bin/sh\nexec node ${JSON.stringify(join(ROOT, 'tools/curl.mjs'))} "$@"\n`,
    );
    await chmod(join(folder, 'curl'), 0o755);
  }
});
afterAll(async () => {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

async function blocksOf(name: string): Promise<readonly CommandBlock[]> {
  const text = await readFile(join(ROOT, name), 'utf8');
  const blocks = commandBlocks(text.replaceAll('./.pennon/keys.json', join(folder, 'keys.json')));
  return blocks.filter((block) => !/^npm (start|test|run)/m.test(block.commands));
}

async function follow(name: string, environment: NodeJS.ProcessEnv): Promise<void> {
  const blocks = await blocksOf(name);
  expect(blocks.length, `${name} has commands`).toBeGreaterThan(0);
  const runs = await runBlocks(blocks, {
    directory: ROOT,
    environment: { ...process.env, PATH: `${folder}:${process.env.PATH}`, TMPDIR: folder, ...environment },
  });
  for (const run of runs) {
    expect(missingLines(run), `${name}:${run.line} printed\n${run.output}`).toEqual([]);
    expect(run.output, `${name}:${run.line}`).not.toMatch(/"status":5\d\d|"status":401/);
  }
}

describe('what the documents tell a reader to paste works', () => {
  const withKeys = (): NodeJS.ProcessEnv => ({
    PENNON_URL: server.url,
    PENNON_PRODUCT: 'saleshub',
    PENNON_ADMIN_KEY: server.adminKey,
    PENNON_SERVER_KEY: server.serverKey,
  });

  it('README.md', async () => {
    const blocks = await blocksOf('README.md');
    expect(blocks.length).toBeGreaterThanOrEqual(4);
    // The page names the default address; everything else stands as it is read.
    const here = blocks.map((block) => ({
      ...block,
      commands: block.commands.replaceAll('http://127.0.0.1:8080', server.url),
    }));
    const runs = await runBlocks(here, {
      directory: ROOT,
      // Nothing of Pennon is set for the reader beforehand.
      environment: { ...process.env, PATH: `${folder}:${process.env.PATH}` },
    });
    const output = runs.map((run) => run.output).join('\n');
    expect(output).toContain('"value":true');
    expect(output).toContain('"allowed":true');
    expect(output).toMatch(/= advanced-analytics-v2-ui: (true|false)/);
    expect(output).not.toMatch(/"status":[45]\d\d/);
  });

  it(
    'P-5 P-8 P-9 C-6 X-12 examples/saleshub/README.md',
    () => follow('examples/saleshub/README.md', withKeys()),
    120_000,
  );

  it('docs/tutorial.md', () => follow('docs/tutorial.md', withKeys()), 60_000);

  it('P-4 P-5 X-12 docs/guides/run-demos.md', () => follow('docs/guides/run-demos.md', withKeys()), 120_000);

  it(
    'C-6 docs/guides/close-an-enterprise-contract.md',
    () => follow('docs/guides/close-an-enterprise-contract.md', withKeys()),
    120_000,
  );

  it('docs/reference/command-line.md', () => follow('docs/reference/command-line.md', withKeys()));

  it('docs/reference/plain-endpoints.md', () => follow('docs/reference/plain-endpoints.md', withKeys()));

  it('C-4 docs/guides/model-a-pricing-page.md', () =>
    follow('docs/guides/model-a-pricing-page.md', { ...withKeys(), PENNON_CLIENT_KEY: server.clientKey }));

  it('docs/reference/oep.md', () => follow('docs/reference/oep.md', withKeys()));

  it('docs/guides/webhooks.md', () => follow('docs/guides/webhooks.md', withKeys()), 60_000);

  it('K-8 docs/guides/hand-out-vouchers.md', () => follow('docs/guides/hand-out-vouchers.md', withKeys()));

  it(
    'K-12 docs/guides/connect-billing.md',
    () => follow('docs/guides/connect-billing.md', withKeys()),
    120_000,
  );

  it('K-5 docs/guides/credits-and-top-ups.md', () =>
    follow('docs/guides/credits-and-top-ups.md', withKeys()));

  it(
    'P-8 docs/guides/change-a-price.md',
    () => follow('docs/guides/change-a-price.md', { ...withKeys(), PENNON_PRODUCT: 'parcels' }),
    120_000,
  );
});
