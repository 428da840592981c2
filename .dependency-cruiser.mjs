import { composers, importTable, serverStarter, storeWithoutAdapters } from './tools/import-table.mjs';

const packages = Object.keys(importTable);
const literally = (text) => text.replaceAll(/[.\-/]/g, '[$&]');
const either = (names) => `(?:${names.map(literally).join('|')})`;

/** Code that ships; tests may import what they like. */
const shipped = (name) => ({ path: `^packages/${name}/src/`, pathNot: ['[.]test[.]tsx?$'] });

/** Another package is reached through what it has built. */
const builtOrSource = (path) => {
  const [name, ...folders] = path.split('/');
  return `^packages/${name}/(?:src|dist)/${folders.map((folder) => `${folder}/`).join('')}`;
};

const rulesOfRow = ([name, { imports, typesOnly = [], nodeModules }]) => [
  {
    name: `${name}-imports-only-its-row`,
    comment: `The import table lets \`${name}\` import ${imports.map((path) => `\`${path}\``).join(', ') || 'nothing of ours'}.`,
    severity: 'error',
    from: shipped(name),
    to: {
      path: `^packages/${either(packages)}/`,
      pathNot: [`^packages/${name}/`, ...imports.map(builtOrSource)],
    },
  },
  ...(typesOnly.length === 0
    ? []
    : [
        {
          name: `${name}-imports-types-only`,
          comment: `\`${name}\` takes only types from ${typesOnly.join(', ')}; no code of theirs may reach it.`,
          severity: 'error',
          from: shipped(name),
          to: { path: typesOnly.map(builtOrSource), dependencyTypesNot: ['type-only'] },
        },
      ]),
  ...(nodeModules
    ? []
    : [
        {
          name: `${name}-without-node`,
          comment: `\`${name}\` runs where there is no Node, or is pure: it imports none of its modules.`,
          severity: 'error',
          from: shipped(name),
          to: { dependencyTypes: ['core'] },
        },
      ]),
];

/** @type {import('dependency-cruiser').IConfiguration} */
export default {
  forbidden: [
    ...Object.entries(importTable).flatMap(rulesOfRow),
    {
      name: 'cli-starts-the-server-in-one-file',
      comment: `Only \`${serverStarter}\` may import the server; every other command speaks to it over HTTP.`,
      severity: 'error',
      from: { path: '^packages/cli/src/', pathNot: ['[.]test[.]ts$', `^${literally(serverStarter)}$`] },
      to: { path: builtOrSource('server') },
    },
    {
      name: 'adapters-are-constructed-in-one-file',
      comment: `Adapters are constructed in ${composers.join(' and ')}; the others say in \`service/ports.ts\` what they need. Types are free.`,
      severity: 'error',
      from: {
        path: '^packages/server/src/',
        pathNot: ['[.]test[.]ts$', `^${either(composers)}$`, '^packages/server/src/store/'],
      },
      to: {
        path: '^packages/server/src/store/',
        pathNot: [`^packages/server/src/store/${either(storeWithoutAdapters)}[.]ts$`],
        dependencyTypesNot: ['type-only'],
      },
    },
    {
      name: 'store-serves-from-below',
      comment:
        'The store knows the shapes of the services, never HTTP or the way the server is put together.',
      severity: 'error',
      from: { path: '^packages/server/src/store/', pathNot: ['[.]test[.]ts$'] },
      to: { path: '^packages/server/src/(?:http/|compose[.]ts|main[.]ts|config[.]ts)' },
    },
    {
      name: 'testkit-is-for-tests',
      comment: 'Code that ships never imports the testkit.',
      severity: 'error',
      from: { path: '^packages/[^/]+/src/', pathNot: ['[.]test[.]tsx?$', '^packages/testkit/'] },
      to: { path: builtOrSource('testkit') },
    },
    {
      name: 'no-circles',
      comment:
        'Modules that import each other in a circle can be neither understood nor initialised one at a time.',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'everything-resolves',
      comment:
        'An import that leads nowhere is checked against no rule. Is everything built (`tsc -b`) and installed?',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
  ],
  options: {
    exclude: { path: ['[.]d[.]ts$', '/(?:coverage|[.]cache)/'] },
    doNotFollow: { path: ['node_modules', '^packages/[^/]+/dist/'] },
    // Types count too: a type of the server in the engine is a wrong arrow as much as a call.
    tsPreCompilationDeps: true,
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default'],
    },
    builtInModules: { add: ['node:test', 'node:sqlite'] },
  },
};
