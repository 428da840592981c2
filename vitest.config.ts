import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['packages/*/src/**/*.test.ts', 'packages/*/test/**/*.test.ts'],
    // One PostgreSQL for the run; see `createTestDatabase` of the testkit.
    globalSetup: ['packages/testkit/src/global-setup.ts'],
    // The reference machine has two cores.
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
});
