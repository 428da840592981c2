import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { composeServer, type Parts, type ServerSettings } from '@pennon/server/compose';
import type { LogLevel } from '@pennon/server/config';
import { createLog } from '@pennon/server/log';
import { createProduct } from '@pennon/server/service/products/create-product';
import { publish } from '@pennon/server/service/publish';
import { createPublishingThread } from '@pennon/server/service/publishing-thread';
import { Secret } from '@pennon/server/service/secret';
import { systemContext } from '@pennon/server/service/seed';
import { ServiceError } from '@pennon/server/service/service-error';
import { callHttp } from './http-call.js';
import { createMigratedDatabase } from './test-database.js';

export interface TestServerOptions {
  /** YAML of the catalog to begin with; its product is `product`. */
  readonly catalog?: string;
  /** Default `test`. */
  readonly product?: string;
  /** A database that is there already: a second process beside the first. Else an own one, dropped at the end. */
  readonly databaseUrl?: string;
  /** Where the process keeps what it needs with the database away. Default: a folder of its own, removed at the end; `null`: none. */
  readonly dataDirectory?: string | null;
  readonly keys?: { readonly admin: string; readonly server: string; readonly client: string };
  /** Lines of the log as they are written; default: nothing is logged. */
  readonly onLogLine?: (line: string) => void;
  readonly logLevel?: LogLevel;
  /** Default true: an answer that its schema does not describe is a 500. */
  readonly checkResponses?: boolean;
  /** How long a cold look-up of a customer may take. Default 5 s: a machine busy with tests is not the thing tested. */
  readonly customerDeadlineMilliseconds?: number;
  readonly trustedProxies?: readonly string[];
  /** Default: loopback, where tests listen. */
  readonly webhookNetworks?: readonly string[];
  /** A server that speaks Stripe's API. */
  readonly stripeServer?: ServerSettings['stripeServer'];
}

export interface TestServer {
  /** `http://127.0.0.1:port`, without a slash at the end. */
  readonly url: string;
  readonly adminKey: string;
  readonly serverKey: string;
  readonly clientKey: string;
  /** The key of the product, and of the environment that server and client key belong to. */
  readonly product: string;
  readonly environment: string;
  readonly databaseUrl: string;
  readonly dataDirectory: string | null;
  /** The insides of the process, for what cannot be asked over HTTP. */
  readonly parts: Parts;
  /** Publishes a catalog to all environments that are not protected; resolves to the revision that is served now. */
  publish(yaml: string): Promise<number>;
  /** A call with the admin key unless `headers` brings another; `body` goes out as JSON. */
  request(method: string, path: string, options?: TestRequest): Promise<TestResponse>;
  stop(): Promise<void>;
}

export interface TestRequest {
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** Instead of the admin key; `null`: no credential. */
  readonly key?: string | null;
}

export interface TestResponse {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The body as JSON; `null` where there is none. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every shape.
  readonly body: any;
}

/** Starting a thread costs more than most of what is asked of it, so the servers of a test's process share one. */
export const publishingThread = createPublishingThread();

/** A whole server in this process, on a free port of 127.0.0.1, with a database of its own. Takes about 0.3 s. */
export async function startTestServer(options: TestServerOptions = {}): Promise<TestServer> {
  const database = options.databaseUrl === undefined ? await createMigratedDatabase() : null;
  const databaseUrl = options.databaseUrl ?? database?.url ?? '';
  const ownFolder =
    options.dataDirectory === undefined ? await mkdtemp(join(tmpdir(), 'pennon-server-')) : null;
  const dataDirectory = options.dataDirectory ?? ownFolder;
  const keys = options.keys ?? { admin: randomKey(), server: randomKey(), client: randomKey() };
  const product = options.product ?? 'test';
  const server = await composeServer({
    databaseUrl: new Secret(databaseUrl),
    dataDirectory,
    fixedKeys: {
      admin: new Secret(keys.admin),
      server: new Secret(keys.server),
      client: new Secret(keys.client),
    },
    preferredProducts: [product],
    version: '0.0.0-test',
    log: testLog(options),
    checkResponses: options.checkResponses ?? true,
    // Whoever brings a database has another server on it, and two of those share nothing but the database.
    ...(database === null ? {} : { publishingThread }),
    customerDeadlineMilliseconds: options.customerDeadlineMilliseconds ?? 5000,
    trustedProxies: options.trustedProxies ?? [],
    webhookNetworks: options.webhookNetworks ?? ['127.0.0.1'],
    ...(options.stripeServer === undefined ? {} : { stripeServer: options.stripeServer }),
  });
  await server.open();
  if (server.parts.installation.source() === 'database') {
    await ensureProduct(server.parts, product);
  }
  const url = await server.app.listen({ host: '127.0.0.1', port: 0 });

  async function stop(): Promise<void> {
    await server.close();
    await database?.drop();
    if (ownFolder !== null) await rm(ownFolder, { recursive: true, force: true });
  }

  const testServer: TestServer = {
    url,
    adminKey: keys.admin,
    serverKey: keys.server,
    clientKey: keys.client,
    product,
    environment: 'production',
    databaseUrl,
    dataDirectory,
    parts: server.parts,
    publish: (yaml) => publishYaml(server.parts, product, yaml),
    request: (method, path, request = {}) => call(url, keys.admin, method, path, request),
    stop,
  };
  if (options.catalog !== undefined) {
    await testServer.publish(options.catalog).catch(async (error: unknown) => {
      await stop();
      throw error;
    });
  }
  return testServer;
}

function randomKey(): string {
  return randomBytes(24).toString('hex');
}

function testLog({ onLogLine, logLevel }: TestServerOptions) {
  return onLogLine === undefined ? createLog('silent') : createLog(logLevel ?? 'debug', { write: onLogLine });
}

async function ensureProduct(parts: Parts, key: string): Promise<void> {
  if (parts.directory.product(key) === null) {
    const reason = 'The product of a test.';
    await createProduct(parts.management, systemContext(reason), { key, name: key, reason });
  }
}

async function publishYaml(parts: Parts, productKey: string, yaml: string): Promise<number> {
  const product = parts.directory.product(productKey);
  if (product === null) throw new Error(`The product \`${productKey}\` does not exist.`);
  const result = await publish(parts.publishing, systemContext('A catalog of a test.'), {
    product,
    edit: { type: 'document', files: [{ name: 'catalog.yaml', text: yaml }], base: null, prune: true },
    environments: null,
    dryRun: false,
  }).catch((error: unknown) => {
    throw error instanceof ServiceError
      ? new Error(`${error.message}\n${describeItems(error)}`, { cause: error })
      : error;
  });
  return result.revision;
}

function describeItems(error: ServiceError): string {
  return error.items
    .map((item) => `  line ${item.line ?? '?'}, column ${item.column ?? '?'}: ${item.code} ${item.message}`)
    .join('\n');
}

async function call(
  url: string,
  adminKey: string,
  method: string,
  path: string,
  request: TestRequest,
): Promise<TestResponse> {
  const key = request.key === undefined ? adminKey : request.key;
  const { status, headers, text } = await callHttp(
    method,
    `${url}${path}`,
    {
      ...(key === null ? {} : { authorization: `Bearer ${key}` }),
      ...(request.body === undefined ? {} : { 'content-type': 'application/json' }),
      ...request.headers,
    },
    request.body === undefined || typeof request.body === 'string'
      ? request.body
      : JSON.stringify(request.body),
  );
  return { status, headers, text, body: asJson(text) };
}

function asJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
