import { createHmac, randomUUID } from 'node:crypto';
import type { JsonObject, JsonValue } from '@pennon/engine/model/json';
import pg from 'pg';
import { callHttp } from '../../http-call.js';
import { PLAN_OF_PRICE } from './draw-subscription.js';

/* An installation that lives are told to: its catalog, its connection, and what came of them. */

const SECRET = 'whsec_prove_billing_0123456789';
const REASON = 'The proof of billing.';
const ENVIRONMENT = '/api/v1/environments/production';
const governed = { owner: 'team@example.com', purpose: 'A proof.', removal: 'permanent', category: 'limit' };

const PLANS = ['solo', 'team', 'fleet'];
const CATALOG = {
  product: { key: 'test', name: 'Test', defaultPlan: 'free', pastDueGraceDays: 7 },
  features: [
    { key: 'seats', type: 'limit', ...governed },
    { key: 'export', type: 'boolean', ...governed },
    { key: 'calls', type: 'metered', reset: { every: 'month', anchor: 'calendar' }, ...governed },
  ],
  plans: [
    { key: 'free', rank: 0, entitlements: [{ feature: 'seats', value: 1 }] },
    ...PLANS.map((key, index) => ({
      key,
      rank: index + 1,
      entitlements: [
        { feature: 'seats', value: 10 * (index + 1) },
        { feature: 'export', value: index > 0 },
        { feature: 'calls', value: 100 * (index + 1) },
      ],
    })),
  ],
  addons: [{ key: 'seat', entitlements: [{ feature: 'seats', add: 1 }] }],
  billing: [
    {
      key: 'stripe',
      items: [
        ...Object.entries(PLAN_OF_PRICE).map(([price, plan]) => ({ price, plan })),
        { price: 'price_seat', addons: [{ addon: 'seat' }] },
      ],
      // One plan forgives longer than the others.
      plans: [{ plan: 'fleet', access: { past_due: { graceDays: 366 } } }],
    },
  ],
};

export interface SiteOptions {
  readonly databaseUrl: string;
  /** Of the processes that can be asked now; they may change while they are killed. */
  readonly urls: () => readonly string[];
  readonly adminKey: string;
  readonly serverKey: string;
}

export class BillingSite {
  readonly tables: pg.Pool;
  readonly #options: SiteOptions;
  #path = '';

  constructor(options: SiteOptions) {
    this.#options = options;
    this.tables = new pg.Pool({ connectionString: options.databaseUrl, max: 3 });
    this.tables.on('error', () => undefined);
  }

  async install(): Promise<void> {
    await this.manage('PUT', `/api/v1/products/test/catalog?reason=${encodeURIComponent(REASON)}`, CATALOG);
    const made = await this.manage('POST', `${ENVIRONMENT}/billing-connections`, {
      key: 'stripe',
      provider: 'stripe',
      mode: 'live',
      secret: SECRET,
      reason: REASON,
    });
    this.#path = String(made.webhookPath);
  }

  async makeCustomer(key: string): Promise<void> {
    await this.manage('PUT', `${ENVIRONMENT}/customers/${key}`, { reason: REASON });
  }

  /** Signed as the provider signs it, to the process of that number. True: it was taken in, and the provider may forget it. */
  async deliver(body: JsonObject, number: number, signal?: AbortSignal): Promise<boolean> {
    const text = JSON.stringify(body);
    const seconds = Math.floor(Date.now() / 1000);
    const signature = createHmac('sha256', SECRET).update(`${seconds}.${text}`).digest('hex');
    const urls = this.#options.urls();
    const url = urls[number % Math.max(1, urls.length)];
    if (url === undefined) return false;
    const headers = {
      'content-type': 'application/json; charset=utf-8',
      'stripe-signature': `t=${seconds},v1=${signature}`,
    };
    try {
      const answer = await callHttp('POST', `${url}${this.#path}`, headers, text, signal);
      if (answer.status === 200) return true;
      // Away for a moment is to be tried again; everything else is a fault of the proof.
      if (answer.status >= 500) return false;
      throw new Refused(`${answer.status} ${answer.text}`);
    } catch (error) {
      if (error instanceof Refused) throw error;
      return false;
    }
  }

  /** Resolves once nothing waits. */
  async settle(milliseconds = 600_000): Promise<void> {
    const deadline = Date.now() + milliseconds;
    while (Date.now() < deadline) {
      const { rows } = await this.tables
        .query("select count(*)::int as waiting from webhook_inbox where state = 'waiting'")
        .catch(() => ({ rows: [{ waiting: 1 }] }));
      if (rows[0]?.waiting === 0) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new Error('The inbox was not worked on in time.');
  }

  async manage(method: string, path: string, body: unknown): Promise<JsonObject> {
    // A call whose answer was lost is made again, and must be the same call.
    const key = randomUUID();
    for (let attempt = 0; ; attempt += 1) {
      const urls = this.#options.urls();
      const url = urls[attempt % Math.max(1, urls.length)];
      const answer =
        url === undefined
          ? null
          : await callHttp(
              method,
              `${url}${path}`,
              {
                authorization: `Bearer ${this.#options.adminKey}`,
                'content-type': 'application/json',
                'idempotency-key': key,
              },
              JSON.stringify(body),
            ).catch(() => null);
      if (answer !== null && answer.status < 300) return JSON.parse(answer.text || '{}') as JsonObject;
      if (attempt === 100 || (answer !== null && answer.status < 500))
        throw new Error(`${method} ${path}: ${answer?.status ?? 'no answer'} ${answer?.text ?? ''}`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  /** What every feature answers for a customer, without what tells of its past (periods, versions). */
  async answersOf(key: string, number: number): Promise<string> {
    const answers: JsonValue[] = [];
    for (const { key: feature } of CATALOG.features) {
      const said = await this.#ask(feature, key, number);
      answers.push([feature, said.hasAccess ?? null, said.value ?? null, said.limit ?? null]);
    }
    return JSON.stringify(answers);
  }

  /** On a busy machine a cold look-up may take longer than its 50 ms: that is 503, and no answer. */
  async #ask(feature: string, key: string, number: number): Promise<JsonObject> {
    for (let attempt = 0; ; attempt += 1) {
      const urls = this.#options.urls();
      const url = urls[number % Math.max(1, urls.length)] ?? '';
      const answer = await callHttp(
        'POST',
        `${url}/oep/v1/evaluate/entitlements/${feature}`,
        { authorization: `Bearer ${this.#options.serverKey}`, 'content-type': 'application/json' },
        JSON.stringify({ context: { targetingKey: key } }),
      );
      if (answer.status === 200) return JSON.parse(answer.text) as JsonObject;
      if (answer.status !== 503 || attempt === 50)
        throw new Error(`${feature}: ${answer.status} ${answer.text}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  async close(): Promise<void> {
    await this.tables.end();
  }
}

class Refused extends Error {}
