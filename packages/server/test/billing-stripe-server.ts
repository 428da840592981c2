import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { JsonObject } from '@pennon/engine/model/json';

/** The few endpoints of Stripe's API that are asked, over HTTP, answered from memory. */
export interface FakeStripe {
  readonly server: { readonly host: string; readonly port: number; readonly protocol: 'http' };
  readonly subscriptions: Map<string, JsonObject>;
  readonly calls: {
    readonly path: string;
    readonly authorization: string;
    readonly account: string | null;
  }[];
  /** So many of the next calls are answered with that status. */
  fail(status: number, times: number): void;
  stop(): Promise<void>;
}

export async function startFakeStripe(apiKey: string): Promise<FakeStripe> {
  const subscriptions = new Map<string, JsonObject>();
  const calls: FakeStripe['calls'] = [];
  let failing = { status: 0, times: 0 };

  function answer(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '/', 'http://stripe.test');
    const authorization = request.headers.authorization ?? '';
    const account = request.headers['stripe-account'];
    calls.push({
      path: `${url.pathname}${url.search}`,
      authorization,
      account: typeof account === 'string' ? account : null,
    });
    const send = (status: number, body: JsonObject) => {
      response.writeHead(status, { 'content-type': 'application/json', 'request-id': `req_${calls.length}` });
      response.end(JSON.stringify(body));
    };
    const refuse = (status: number, code: string) =>
      send(status, { error: { type: 'invalid_request_error', code, message: code } });
    const id = /^\/v1\/subscriptions\/([^/]+)$/.exec(url.pathname)?.[1] ?? '';
    const found =
      url.pathname === '/v1/subscriptions'
        ? list(url)
        : url.pathname === '/v1/subscription_items'
          ? listItems(url)
          : firstItems(subscriptions.get(id));
    if (authorization !== `Bearer ${apiKey}`) refuse(401, 'api_key_invalid');
    else if (failing.times > 0) {
      failing = { ...failing, times: failing.times - 1 };
      refuse(failing.status, 'a_test');
    } else if (url.searchParams.get('customer') === 'cus_gone') refuse(400, 'resource_missing');
    else if (found === undefined) refuse(404, 'resource_missing');
    else send(200, found);
  }

  /** A subscription holds its first items only. */
  function firstItems(found: JsonObject | undefined): JsonObject | undefined {
    const items = itemsOf(found);
    if (found === undefined || items.length <= 10) return found;
    return { ...found, items: { object: 'list', data: items.slice(0, 10), has_more: true } };
  }

  function itemsOf(found: JsonObject | undefined): readonly JsonObject[] {
    return (found?.items as { readonly data: readonly JsonObject[] } | undefined)?.data ?? [];
  }

  function listItems(url: URL): JsonObject {
    const all = itemsOf(subscriptions.get(url.searchParams.get('subscription') ?? ''));
    const after = url.searchParams.get('starting_after');
    const begin = after === null ? 0 : all.findIndex(({ id }) => id === after) + 1;
    const data = all.slice(begin, begin + 6);
    return { object: 'list', url: '/v1/subscription_items', has_more: begin + 6 < all.length, data };
  }

  /** Pages as Stripe's, by `limit` and `starting_after`; ended ones only with `status=all`. */
  function list(url: URL): JsonObject {
    const limit = Math.min(Number(url.searchParams.get('limit') ?? 10), 3);
    const after = url.searchParams.get('starting_after');
    const all = [...subscriptions.values()].filter(
      ({ customer, status }) =>
        (url.searchParams.get('customer') === null || customer === url.searchParams.get('customer')) &&
        (url.searchParams.get('status') === 'all' || status !== 'canceled'),
    );
    const begin = after === null ? 0 : all.findIndex(({ id }) => id === after) + 1;
    const data = all.slice(begin, begin + limit).flatMap((one) => firstItems(one) ?? []);
    return { object: 'list', url: '/v1/subscriptions', has_more: begin + limit < all.length, data };
  }

  const http = createServer(answer);
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  const { port } = http.address() as AddressInfo;
  return {
    server: { host: '127.0.0.1', port, protocol: 'http' },
    subscriptions,
    calls,
    fail(status, times) {
      failing = { status, times };
    },
    stop: () =>
      new Promise((resolve) => {
        http.closeAllConnections();
        http.close(() => resolve());
      }),
  };
}
