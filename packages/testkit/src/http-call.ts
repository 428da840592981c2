import { Agent, type IncomingMessage, request } from 'node:http';

/** What came back, read to its end. */
export interface HttpAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

/** Connections stay open between calls, and do not keep a test's process alive. */
const agent = new Agent({ keepAlive: true });

/**
 * One call over HTTP/1.1. It does what `fetch` does, in a quarter of the processor time: a run of all tests makes tens of thousands
 * of calls. Redirects are answers like others, and nothing is sent that was not asked for.
 */
export function callHttp(
  method: string,
  url: string,
  headers: Readonly<Record<string, string>>,
  body?: string | Uint8Array,
  signal?: AbortSignal,
): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    const bytes = typeof body === 'string' ? Buffer.from(body, 'utf8') : body;
    const length = bytes === undefined ? {} : { 'content-length': String(bytes.byteLength) };
    const options = { agent, method, headers: { ...headers, ...length }, ...(signal && { signal }) };
    const call = request(new URL(url), options, (answer) => {
      readAll(answer).then(resolve, reject);
    });
    call.on('error', reject);
    call.end(bytes);
  });
}

async function readAll(answer: IncomingMessage): Promise<HttpAnswer> {
  const parts: Buffer[] = [];
  for await (const part of answer) parts.push(part as Buffer);
  const headers = new Headers();
  for (let at = 0; at + 1 < answer.rawHeaders.length; at += 2) {
    headers.append(answer.rawHeaders[at] ?? '', answer.rawHeaders[at + 1] ?? '');
  }
  return { status: answer.statusCode ?? 0, headers, text: Buffer.concat(parts).toString('utf8') };
}
