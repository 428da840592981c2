import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Files that take the longest, mostly because they start whole programs. None of them is left to run alone at the end. */
const LONGEST =
  /\/(?:start-|embedded-|lifecycle|documents|hostile-input|consume-processes|plan-moves|vouchers-concurrent|publish-freshness|cel-fuzz)[^/]*\.test\.ts$/;

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const isLong = ({ moduleId }: TestSpecification) => LONGEST.test(moduleId);
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))];
  }
}

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
    sequence: { sequencer: LongestFirst },
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
});
