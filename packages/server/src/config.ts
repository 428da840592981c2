import { isIP } from 'node:net';
import { resolve } from 'node:path';
import { suggestName } from '@pennon/engine/cel/suggest';
import { KEY_PATTERN, LIMITS } from '@pennon/engine/model/limits';
import { parseNetwork } from './outbound/address-classes.js';
import { FIXED_KEY_PATTERN } from './service/keys/key-text.js';
import { Secret } from './service/secret.js';
import { STANDARD_USAGE_MONTHS } from './service/usage-retention.js';

export const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Everything that can be set from outside. Nothing else of the server reads the environment. */
export interface Config {
  readonly host: string;
  readonly port: number;
  /** Absolute. Holds the embedded database, generated keys and what a start with the database away needs. */
  readonly dataDirectory: string;
  /** `null`: the embedded database. */
  readonly databaseUrl: Secret | null;
  readonly adminKey: Secret | null;
  readonly serverKey: Secret | null;
  readonly clientKey: Secret | null;
  /** Whether a fresh installation gets the example catalog. */
  readonly example: boolean;
  /** The product that a key for all products means; `null`: the example's, else the only one. */
  readonly product: string | null;
  readonly logLevel: LogLevel;
  /** How many whole months usage records are kept; idempotency needs two. */
  readonly usageMonths: number;
  /** How many whole months the history of usage by the hour and closed periods are kept. */
  readonly historyMonths: number;
  /** How many customers stay in memory; of users, teams and instances as many each. */
  readonly customersInMemory: number;
  /** Addresses and networks of proxies whose `X-Forwarded-For` is believed; empty: nobody's. */
  readonly trustedProxies: readonly string[];
  /** Addresses and networks that webhooks may reach besides the public internet. */
  readonly webhookNetworks: readonly string[];
  /** Whether a person reads along, who is better served by sentences than by lines of JSON. */
  readonly terminal: boolean;
}

/** Every setting that is wrong, each in a sentence of its own. */
export class ConfigError extends Error {
  readonly faults: readonly string[];

  constructor(faults: readonly string[]) {
    super(faults.join('\n'));
    this.name = 'ConfigError';
    this.faults = faults;
  }
}

const KNOWN = [
  'PENNON_DATA_DIR',
  'PENNON_ADMIN_KEY',
  'PENNON_SERVER_KEY',
  'PENNON_CLIENT_KEY',
  'PENNON_EXAMPLE',
  'PENNON_PRODUCT',
  'PENNON_LOG_LEVEL',
  'PENNON_USAGE_MONTHS',
  'PENNON_HISTORY_MONTHS',
  'PENNON_CUSTOMERS_IN_MEMORY',
  'PENNON_TRUST_PROXY',
  'PENNON_WEBHOOK_NETWORKS',
  // Read by the command, not by the server; set for both it is no mistake.
  'PENNON_URL',
] as const;

/** Reads the settings; throws a ConfigError that names every fault at once, never showing the value of a secret. */
export function readConfig(
  environment: Readonly<Record<string, string | undefined>> = process.env,
  workingDirectory: string = process.cwd(),
  terminal: boolean = process.stderr.isTTY === true,
): Config {
  const faults: string[] = [];
  const reader = new SettingsReader(environment, faults);
  const usageMonths = reader.usageMonths('PENNON_USAGE_MONTHS', STANDARD_USAGE_MONTHS);
  const config: Config = {
    host: reader.text('HOST') ?? '127.0.0.1',
    port: reader.port('PORT', 8080),
    dataDirectory: resolve(workingDirectory, reader.text('PENNON_DATA_DIR') ?? '.pennon'),
    databaseUrl: reader.databaseUrl('DATABASE_URL'),
    adminKey: reader.key('PENNON_ADMIN_KEY'),
    serverKey: reader.key('PENNON_SERVER_KEY'),
    clientKey: reader.key('PENNON_CLIENT_KEY'),
    example: reader.onOrOff('PENNON_EXAMPLE', true),
    product: reader.productKey('PENNON_PRODUCT'),
    logLevel: reader.logLevel('PENNON_LOG_LEVEL', terminal ? 'warn' : 'info'),
    usageMonths,
    historyMonths: reader.usageMonths('PENNON_HISTORY_MONTHS', usageMonths),
    customersInMemory: reader.customersInMemory('PENNON_CUSTOMERS_IN_MEMORY'),
    trustedProxies: reader.proxies('PENNON_TRUST_PROXY'),
    webhookNetworks: reader.networks('PENNON_WEBHOOK_NETWORKS'),
    terminal,
  };
  refuseSameKeys(config, faults);
  refuseMisspelt(environment, faults);
  if (faults.length > 0) {
    throw new ConfigError(faults);
  }
  return config;
}

class SettingsReader {
  private readonly environment: Readonly<Record<string, string | undefined>>;
  private readonly faults: string[];

  constructor(environment: Readonly<Record<string, string | undefined>>, faults: string[]) {
    this.environment = environment;
    this.faults = faults;
  }

  /** An empty setting is one that is not set, as shells and compose files write it. */
  text(name: string): string | null {
    const value = this.environment[name]?.trim();
    return value === undefined || value === '' ? null : value;
  }

  port(name: string, standard: number): number {
    const value = this.text(name);
    if (value === null) {
      return standard;
    }
    const port = /^\d{1,5}$/.test(value) ? Number(value) : Number.NaN;
    if (!(port <= 65_535)) {
      this.faults.push(
        `\`${name}\` must be a port from 0 to 65535 (0: any free one); it is \`${value.slice(0, 40)}\`.`,
      );
    }
    return port;
  }

  databaseUrl(name: string): Secret | null {
    const value = this.text(name);
    if (value === null) {
      return null;
    }
    if (!/^postgres(ql)?:\/\//.test(value) || !URL.canParse(value)) {
      // The value holds a password, so it is not shown.
      this.faults.push(`\`${name}\` must look like \`postgres://user:password@host:5432/database\`.`);
    }
    return new Secret(value);
  }

  key(name: string): Secret | null {
    const value = this.text(name);
    if (value === null) {
      return null;
    }
    if (!FIXED_KEY_PATTERN.test(value)) {
      this.faults.push(
        `\`${name}\` must have 32 to 256 characters of A–Z, a–z, 0–9, \`_\` and \`-\`; it has ${value.length}. Make one with \`openssl rand -hex 32\`.`,
      );
    }
    return new Secret(value);
  }

  onOrOff(name: string, standard: boolean): boolean {
    const value = this.text(name)?.toLowerCase() ?? null;
    if (value !== null && value !== 'on' && value !== 'off') {
      this.faults.push(`\`${name}\` must be \`on\` or \`off\`; it is \`${value.slice(0, 40)}\`.`);
    }
    return value === null ? standard : value === 'on';
  }

  productKey(name: string): string | null {
    const value = this.text(name);
    if (value !== null && !KEY_PATTERN.test(value)) {
      this.faults.push(`\`${name}\` must be the key of a product; \`${value.slice(0, 40)}\` cannot be one.`);
    }
    return value;
  }

  customersInMemory(name: string): number {
    const value = this.text(name);
    const standard = LIMITS.customersInMemory.value;
    if (value === null) return standard;
    const least = LIMITS.customersInMemoryLeast.value;
    const most = LIMITS.customersInMemoryMost.value;
    const count = /^\d{1,9}$/.test(value) ? Number(value) : Number.NaN;
    if (!(count >= least && count <= most)) {
      this.faults.push(
        `\`${name}\` must be a whole number from ${least} to ${most}; it is \`${value.slice(0, 40)}\`. ${standard} is the standard.`,
      );
    }
    return count;
  }

  proxies(name: string): readonly string[] {
    const list = (this.text(name) ?? '').split(',').map((part) => part.trim());
    const proxies = list.filter((part) => part !== '');
    const wrong = proxies.filter((proxy) => !isNetwork(proxy));
    if (wrong.length > 0) {
      this.faults.push(
        `\`${name}\` must be addresses and networks with commas between, such as \`10.0.0.0/8, fd00::/8\`, or \`loopback\`, \`linklocal\`, \`uniquelocal\`; \`${wrong[0]?.slice(0, 40)}\` is none. A count of proxies cannot say whose word is believed.`,
      );
    }
    return proxies;
  }

  networks(name: string): readonly string[] {
    const list = (this.text(name) ?? '').split(',').map((part) => part.trim());
    const networks = list.filter((part) => part !== '');
    const wrong = networks.filter((network) => parseNetwork(network) === null);
    if (wrong.length > 0) {
      this.faults.push(
        `\`${name}\` must be addresses and networks with commas between, such as \`10.0.0.0/8, fd00::/8\`, without bits below the prefix; \`${wrong[0]?.slice(0, 40)}\` is none.`,
      );
    }
    return networks;
  }

  usageMonths(name: string, standard: number): number {
    const value = this.text(name);
    if (value === null) {
      return standard;
    }
    const least = LIMITS.usageMonthsLeast.value;
    const most = LIMITS.usageMonthsMost.value;
    const months = /^\d{1,4}$/.test(value) ? Number(value) : Number.NaN;
    if (!(months >= least && months <= most)) {
      this.faults.push(
        `\`${name}\` must be a number of months from ${least} to ${most}; it is \`${value.slice(0, 40)}\`.`,
      );
    }
    return months;
  }

  logLevel(name: string, standard: LogLevel): LogLevel {
    const value = this.text(name);
    const level = LOG_LEVELS.find((known) => known === value);
    if (value !== null && level === undefined) {
      this.faults.push(
        `\`${name}\` must be one of ${LOG_LEVELS.join(', ')}; it is \`${value.slice(0, 40)}\`.`,
      );
    }
    return level ?? standard;
  }
}

const NAMED_NETWORKS: ReadonlySet<string> = new Set(['loopback', 'linklocal', 'uniquelocal']);

function isNetwork(text: string): boolean {
  if (NAMED_NETWORKS.has(text)) return true;
  const [address = '', bits, ...more] = text.split('/');
  const family = isIP(address);
  if (family === 0 || more.length > 0) return false;
  // Of everybody's word nobody's is worth anything: a network of no bits is a slip.
  return bits === undefined || (/^[1-9]\d{0,2}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128));
}

/** The same text as admin and as client key would make every browser an administrator. */
function refuseSameKeys(config: Config, faults: string[]): void {
  const keys = [config.adminKey, config.serverKey, config.clientKey].flatMap((key) =>
    key === null ? [] : [key.reveal()],
  );
  if (new Set(keys).size < keys.length) {
    faults.push(
      '`PENNON_ADMIN_KEY`, `PENNON_SERVER_KEY` and `PENNON_CLIENT_KEY` must differ from each other.',
    );
  }
}

/** A misspelt setting that is passed over in silence would start a server that nobody asked for. */
function refuseMisspelt(environment: Readonly<Record<string, string | undefined>>, faults: string[]): void {
  for (const name of Object.keys(environment)) {
    const meant =
      name.startsWith('PENNON_') && !KNOWN.some((known) => known === name)
        ? suggestName(name, KNOWN)
        : undefined;
    if (meant !== undefined) {
      faults.push(`\`${name}\` is not a setting. Did you mean \`${meant}\`?`);
    }
  }
}
