import type { Config } from './config.js';
import type { LoadedKeys } from './keys-file.js';

const SETTING_OF_KIND = {
  admin: 'PENNON_ADMIN_KEY',
  server: 'PENNON_SERVER_KEY',
  client: 'PENNON_CLIENT_KEY',
} as const;
type KeyKind = keyof typeof SETTING_OF_KIND;
const KINDS: readonly KeyKind[] = ['admin', 'server', 'client'];

/** Spending makes a customer known, so this is none that the README or the examples go on to create. */
const TRIED_CUSTOMER = 'newcomer';

/** What a person at the terminal wants to know: the address, where the keys are (new ones are shown this once), what to try. */
export function greeting(facts: {
  readonly url: string;
  readonly version: string;
  readonly config: Config;
  readonly keys: LoadedKeys;
  readonly hasExample: boolean;
}): string {
  const { url, config, keys } = facts;
  const lines = [
    '',
    `Pennon ${facts.version} is running at ${url}  (API description: ${url}/docs)`,
    `Database: ${config.databaseUrl === null ? 'embedded PostgreSQL' : 'DATABASE_URL'}. Data: ${config.dataDirectory}`,
    ...keyLines(config, keys),
    '',
    'Try it:',
    ...commands(facts).map((command) => `  ${command}`),
    '',
    'Ctrl-C stops it.',
    '',
  ];
  return lines.join('\n');
}

function keyLines(config: Config, keys: LoadedKeys): readonly string[] {
  const lines: string[] = [];
  const fromSettings = KINDS.filter((kind) => settingOf(config, kind));
  if (fromSettings.length > 0) {
    lines.push(`Keys from the settings: ${fromSettings.map((kind) => SETTING_OF_KIND[kind]).join(', ')}.`);
  }
  if (fromSettings.length < KINDS.length) {
    lines.push(`Keys are kept in ${keys.path}`);
  }
  if (keys.generated.length > 0) {
    lines.push('These were made just now and are shown this once:');
    lines.push(...keys.generated.map((kind) => `  ${kind.padEnd(6)}  ${keys.keys[kind].reveal()}`));
  }
  return lines;
}

function settingOf(config: Config, kind: KeyKind): boolean {
  const setting = { admin: config.adminKey, server: config.serverKey, client: config.clientKey }[kind];
  return setting !== null;
}

function commands(facts: {
  readonly url: string;
  readonly config: Config;
  readonly keys: LoadedKeys;
  readonly hasExample: boolean;
}): readonly string[] {
  const { url } = facts;
  const server = `-H "Authorization: Bearer ${keyExpression(facts, 'server')}"`;
  const admin = `-H "Authorization: Bearer ${keyExpression(facts, 'admin')}"`;
  const json = "-H 'Content-Type: application/json'";
  if (!facts.hasExample) {
    return [
      `curl -s ${url}/readyz`,
      `curl -s ${admin} ${url}/api/v1/products`,
      `curl -s -X POST ${server} ${json} -d '{"context":{"targetingKey":"${TRIED_CUSTOMER}"}}' ${url}/ofrep/v1/evaluate/flags`,
    ];
  }
  return [
    `curl -s -X POST ${server} ${json} -d '{"context":{"targetingKey":"${TRIED_CUSTOMER}"}}' ${url}/ofrep/v1/evaluate/flags/advanced-analytics-v2-ui`,
    `curl -s -X POST ${server} ${json} -H "Idempotency-Key: $(date +%s)" -d '{"context":{"targetingKey":"${TRIED_CUSTOMER}"},"key":"calling-minutes","amount":1}' ${url}/oep/v1/consume`,
    `curl -s ${admin} ${url}/api/v1/products/saleshub/plans/pro@1`,
  ];
}

/** What a shell puts in place of the key, so that no key has to be copied. */
function keyExpression(facts: { readonly config: Config; readonly keys: LoadedKeys }, kind: KeyKind): string {
  return settingOf(facts.config, kind)
    ? `$${SETTING_OF_KIND[kind]}`
    : `$(node -p 'require(process.argv[1]).${kind}' ${shellQuoted(facts.keys.path)})`;
}

function shellQuoted(text: string): string {
  return /^[A-Za-z0-9_./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
