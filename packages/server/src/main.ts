import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { composeServer, EXAMPLE_PRODUCT, type PennonServer } from './compose.js';
import { type Config, readConfig } from './config.js';
import { greeting } from './greeting.js';
import { type LoadedKeys, loadOrCreateKeys } from './keys-file.js';
import { runUntilStopped } from './lifecycle.js';
import { loadFirstProduct } from './load-example.js';
import { createLog } from './log.js';
import { refuseTakenPort } from './refuse-taken-port.js';
import { Secret } from './service/secret.js';
import { sentenceOf } from './start-failure.js';
import { type KeptDatabase, keepEmbeddedDatabase } from './store/embedded/keep-embedded-database.js';
import { watchUncaught } from './uncaught.js';

export interface MainOptions {
  /** The process that started us; when it dies, we drain. */
  readonly parentPid?: number;
}

/** What `npm start` and `pennon start` run: a whole installation in one process, until it is told to stop. Answers the exit code. */
export async function main(options: MainOptions = {}): Promise<number> {
  try {
    const run = new Run(readConfig(), await readVersion());
    return await run.untilStopped(options);
  } catch (error) {
    process.stderr.write(`${sentenceOf(error)}\n`);
    return 1;
  }
}

/** What one start brings up, so that a stop in the middle ends exactly that. */
class Run {
  private readonly config: Config;
  private readonly version: string;
  private readonly log: ReturnType<typeof createLog>;
  private database: KeptDatabase | null = null;
  private server: PennonServer | null = null;

  constructor(config: Config, version: string) {
    this.config = config;
    this.version = version;
    this.log = createLog(config.logLevel);
  }

  async untilStopped({ parentPid }: MainOptions): Promise<number> {
    let failed = false;
    const endWatch = watchUncaught(this.log, () => {
      failed = true;
      process.kill(process.pid, 'SIGTERM');
    });
    try {
      const exitCode = await runUntilStopped({
        start: () => this.start(),
        stop: () => this.stop(),
        log: (line) => this.say('info', line),
        ...(parentPid === undefined ? {} : { parentPid }),
      });
      return failed ? 1 : exitCode;
    } finally {
      endWatch();
    }
  }

  private async start(): Promise<void> {
    const { config, log } = this;
    await refuseTakenPort(config.host, config.port);
    const keys = await loadOrCreateKeys({
      dataDirectory: config.dataDirectory,
      fixed: { admin: config.adminKey, server: config.serverKey, client: config.clientKey },
      log: (line) => this.say('warn', line),
    });
    this.server = await composeServer({
      databaseUrl: await this.databaseUrl(),
      dataDirectory: config.dataDirectory,
      fixedKeys: keys.keys,
      preferredProducts: [...(config.product === null ? [] : [config.product]), EXAMPLE_PRODUCT, 'default'],
      version: this.version,
      usageMonths: config.usageMonths,
      historyMonths: config.historyMonths,
      customersInMemory: config.customersInMemory,
      trustedProxies: config.trustedProxies,
      webhookNetworks: config.webhookNetworks,
      log,
    });
    await this.server.open();
    const hasExample = await this.firstProduct(this.server);
    await this.server.app.listen({ host: config.host, port: config.port });
    this.greet(this.server, keys, hasExample);
  }

  private async databaseUrl(): Promise<Secret> {
    const { config, log } = this;
    if (config.databaseUrl !== null) {
      return config.databaseUrl;
    }
    this.database = await keepEmbeddedDatabase({
      directory: join(config.dataDirectory, 'postgres'),
      log: (line) => this.say('warn', line),
      onAddressChange: () => {
        log.fatal('the embedded database came back under another port; start again to use it');
        process.kill(process.pid, 'SIGTERM');
      },
    });
    return new Secret(this.database.url());
  }

  /** With the database away there is nothing to load into; what is on disk is served. */
  private async firstProduct(server: PennonServer): Promise<boolean> {
    if (server.parts.installation.source() !== 'database') {
      return server.parts.directory.product(EXAMPLE_PRODUCT) !== null;
    }
    const { example, product } = this.config;
    try {
      return await loadFirstProduct(server.parts, { example, product });
    } catch (error) {
      // A server without its example is still the server that was asked for.
      this.log.error({ err: error }, 'the example could not be loaded; the server starts without it');
      return false;
    }
  }

  private greet(server: PennonServer, keys: LoadedKeys, hasExample: boolean): void {
    const { config, version } = this;
    const address = server.app.server.address();
    const port = typeof address === 'object' && address !== null ? address.port : config.port;
    const host = config.host.includes(':') ? `[${config.host}]` : config.host;
    const url = `http://${host}:${port}`;
    process.stdout.write(greeting({ url, version, config, keys, hasExample }));
  }

  /** One line for whoever runs this: a plain sentence at a terminal, a line of the log elsewhere. */
  private say(level: 'info' | 'warn', line: string): void {
    if (this.config.terminal) process.stderr.write(`${line}\n`);
    else this.log[level](line);
  }

  private async stop(): Promise<void> {
    this.server?.drain();
    await this.server?.close();
    await this.database?.stop();
  }
}

async function readVersion(): Promise<string> {
  const text = await readFile(new URL('../package.json', import.meta.url), 'utf8');
  const { version } = JSON.parse(text) as { readonly version?: string };
  return version ?? 'unknown';
}
