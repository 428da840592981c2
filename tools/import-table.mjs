/**
 * Who may import whom (the table of CONTRIBUTING.md). One row per package, also for those that are yet to come: a folder then
 * appears with its walls. `.dependency-cruiser.mjs` turns the rows into rules, a test plants a violation of each.
 *
 * `imports`: our packages that it may import, as paths below `packages/`: `engine` (all of it) or `engine/model` (that folder).
 * `typesOnly`: those of them of which it may import types only, so that none of their code reaches it.
 * `nodeModules`: whether it may import Node's own modules; a browser and a pure function have none.
 *
 * @type {Readonly<Record<string, { imports: readonly string[], typesOnly?: readonly string[], nodeModules: boolean }>>}
 */
export const importTable = {
  engine: { imports: [], nodeModules: false },
  protocol: { imports: ['engine/model'], nodeModules: false },
  server: { imports: ['engine', 'protocol'], nodeModules: true },
  'sdk-core': { imports: ['protocol'], typesOnly: ['protocol'], nodeModules: false },
  node: { imports: ['engine', 'sdk-core'], nodeModules: true },
  web: { imports: ['sdk-core'], nodeModules: false },
  react: { imports: ['sdk-core', 'web'], nodeModules: false },
  cli: { imports: ['engine', 'protocol', 'server'], nodeModules: true },
  dashboard: { imports: ['engine', 'protocol'], typesOnly: ['protocol'], nodeModules: false },
  'eslint-plugin': { imports: ['engine'], nodeModules: true },
  'language-server': { imports: ['engine'], nodeModules: true },
  testkit: {
    imports: [
      'engine',
      'protocol',
      'server',
      'sdk-core',
      'node',
      'web',
      'react',
      'cli',
      'dashboard',
      'eslint-plugin',
      'language-server',
    ],
    nodeModules: true,
  },
};

/** The one file of the command line that may start a server in its own process. */
export const serverStarter = 'packages/cli/src/commands/start.ts';

/**
 * The files of the server that construct adapters (pools, files, processes), and so import the store whole: the composition root, the
 * start of a whole installation (the embedded database, migrations), and the worker thread, which has no other root than itself.
 */
export const composers = [
  'packages/server/src/main.ts',
  'packages/server/src/compose.ts',
  'packages/server/src/service/catalog-worker.ts',
];

/**
 * Files of the store that open nothing: shapes of rows, statements over a transaction that the caller brings, conversions. Anyone in
 * the server may import them. A new file is an adapter until it stands here.
 */
export const storeWithoutAdapters = [
  'tables',
  'voucher-tables',
  'billing-tables',
  'billing-rows',
  'inbox-rows',
  'reservation-tables',
  'reservation-sweep',
  'reservation-statements',
  'holder-statements',
  'lease-rows',
  'lot-tables',
  'lot-statements',
  'plan-move-rows',
  'account-pages',
  'usage-forgetting',
  'usage-history',
  'usage-listings',
  'usage-standings',
  'catalog-rows',
  'catalog-reads',
  'catalog-references',
  'grant-lists',
  'bundle-lists',
  'ending-list',
  'member-rows',
  'database-error',
  'instant',
  'audit-reads',
  'outbox-reads',
  'outbox-changes',
  'hook-tables',
  'hook-sequence',
  'hook-deliveries',
  'hook-rows',
  'hook-log',
  'hook-clock',
  'hook-states',
  'ended-periods',
  'erase-recorded',
  'erase-traces',
  'personal-keys',
  'subject-names',
  'remembered-answer-rows',
  'write-file-durably',
  'make-folders',
  'migration-error',
  'voucher-misses',
  'embedded/embedded-database-error',
];
