import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['packages/*/src/**/*.test.ts', 'packages/*/test/**/*.test.ts'],
    // One PostgreSQL for the run; see `createTestDatabase` of the testkit.
    globalSetup: ['packages/testkit/src/global-setup.ts'],
    // What is built is loaded as Node loads it. Transforming it once more for each file of tests took a quarter of the run.
    server: { deps: { external: [/\/packages\/[^/]+\/dist\//] } },
    // Nothing that a test imports keeps anything that another would notice, so files run one after the other in one process, and
    // what the server is made of is loaded once in each.
    isolate: false,
    // The reference machine has two cores.
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
});
