import { OFREPWebProvider } from '@openfeature/ofrep-web-provider';
import { OpenFeature, type Provider } from '@openfeature/web-sdk';

/* What a page of a customer's application does, bundled for the browser by the test. */

export interface PageResult {
  readonly values: Readonly<Record<string, unknown>>;
  readonly details: Readonly<Record<string, unknown>>;
  readonly error: string | null;
  /** What the page's own `fetch` may read of a bulk answer from another origin. */
  readonly etag: string | null;
  readonly statusOfSecondCall: number;
}

interface PageInput {
  readonly url: string;
  readonly headers: readonly [string, string][];
  readonly context: Record<string, string>;
}

declare global {
  interface Window {
    runPage: (input: PageInput) => Promise<PageResult>;
  }
}

window.runPage = async ({ url, headers, context }) => {
  let error: string | null = null;
  await OpenFeature.setContext(context);
  const provider = new OFREPWebProvider({
    baseUrl: url,
    headers: headers.map(([name, value]): [string, string] => [name, value]),
    pollInterval: 0,
    cacheMode: 'disabled',
  });
  await OpenFeature.setProviderAndWait(provider as Provider).catch((thrown: unknown) => {
    error = String(thrown);
  });
  const client = OpenFeature.getClient();
  const values = {
    boolean: client.getBooleanValue('plain-on', false),
    string: client.getStringValue('greeting', 'none'),
    integer: client.getNumberValue('page-size', 0),
    float: client.getNumberValue('ratio', 0),
    object: client.getObjectValue('theme', {}),
    killed: client.getBooleanValue('killed', true),
    coded: client.getStringValue('coded', 'mine'),
    entitlement: client.getBooleanValue('advanced-analytics', false),
    gated: client.getBooleanValue('analytics-ui', false),
  };
  const details = {
    missing: client.getBooleanDetails('no-such-flag', true).errorCode,
    hidden: client.getBooleanDetails('hidden-on', false).errorCode,
    mismatch: client.getStringDetails('plain-on', 'mine').errorCode,
    rollout: client.getBooleanDetails('ai-assistant-enabled', false).reason,
  };
  const bulk = (more: Record<string, string>) =>
    fetch(`${url}/ofrep/v1/evaluate/flags`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...Object.fromEntries(headers), ...more },
      body: JSON.stringify({ context }),
    });
  const first = await bulk({});
  const etag = first.headers.get('etag');
  const second = await bulk(etag === null ? {} : { 'If-None-Match': etag });
  await OpenFeature.close();
  return { values, details, error, etag, statusOfSecondCall: second.status };
};
