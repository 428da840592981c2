import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { launchBrowser } from '@pennon/testkit/browser';
import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import { build } from 'esbuild';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { PageResult } from './openfeature-browser-page.js';
import { customer, customerToken, RUNTIME_CATALOG, warm } from './runtime-support.js';

let server: TestServer;
let pages: Server;
let browser: Browser;
let origin: string;

beforeAll(async () => {
  const bundle = await build({
    entryPoints: [fileURLToPath(new URL('./openfeature-browser-page.ts', import.meta.url))],
    bundle: true,
    write: false,
    format: 'iife',
    platform: 'browser',
    target: 'es2022',
  });
  const script = bundle.outputFiles[0]?.text ?? '';
  pages = createServer((request, response) => {
    const isScript = request.url === '/page.js';
    response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html');
    response.end(isScript ? script : '<!doctype html><title>A page</title><script src="/page.js"></script>');
  });
  await new Promise<void>((resolve) => pages.listen(0, '127.0.0.1', resolve));
  origin = `http://127.0.0.1:${(pages.address() as AddressInfo).port}`;
  server = await startTestServer({ catalog: RUNTIME_CATALOG });
  await customer(server, 'acme', 'pro');
  await warm(server, 'acme');
  browser = await launchBrowser();
}, 120_000);
afterAll(async () => {
  await browser.close();
  pages.close();
  await server.stop();
});

/** The page lives on another origin than the server, as in a customer's application. */
async function onPage(
  headers: readonly [string, string][],
  context: Record<string, string>,
): Promise<PageResult> {
  const page: Page = await browser.newPage();
  try {
    await page.goto(origin);
    return await page.evaluate((input) => window.runPage(input), {
      url: server.url,
      headers: [...headers],
      context,
    });
  } finally {
    await page.close();
  }
}

describe('the published web provider in a browser, from another origin (K-1)', () => {
  it('K-2 reads every visible flag with a client key; CORS and the exposed ETag let it', async () => {
    const result = await onPage([['Authorization', `Bearer ${server.clientKey}`]], {
      targetingKey: 'visitor-1',
    });
    expect(result.error).toBeNull();
    expect(result.values).toEqual({
      boolean: true,
      string: 'Hi',
      integer: 50,
      float: 1,
      object: { background: 'black', sizes: [1, 2] },
      killed: false,
      coded: 'mine',
      entitlement: false,
      gated: false,
    });
    expect(result.details).toEqual({
      missing: 'FLAG_NOT_FOUND',
      hidden: 'FLAG_NOT_FOUND',
      mismatch: 'TYPE_MISMATCH',
      rollout: 'SPLIT',
    });
    expect(result.etag).toMatch(/^"\d+\.\d+\.[0-9a-f]{32}"$/);
    expect(result.statusOfSecondCall).toBe(304);
  });

  it('learns what a customer has only with a token that its backend signed', async () => {
    const headers: readonly [string, string][] = [['Authorization', `Bearer ${server.clientKey}`]];
    const forged = await onPage(headers, { targetingKey: 'acme', customer: 'acme' });
    expect(forged.values).toMatchObject({ entitlement: false, gated: false });
    const token = await customerToken(server, 'acme');
    const proven = await onPage([...headers, ['Pennon-Customer-Token', token]], {
      targetingKey: 'visitor-1',
    });
    expect(proven.error).toBeNull();
    expect(proven.values).toMatchObject({ entitlement: true, gated: true });
    expect(proven.details).toMatchObject({ hidden: 'FLAG_NOT_FOUND' });
  });

  it('is told that it is unauthorised, and serves the defaults of the code', async () => {
    const result = await onPage([['Authorization', `Bearer ${'x'.repeat(48)}`]], {
      targetingKey: 'visitor-1',
    });
    expect(result.error).not.toBeNull();
    expect(result.values).toMatchObject({ boolean: false, string: 'none', killed: true });
  });
});
