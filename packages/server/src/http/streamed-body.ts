import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { TextDecoder } from 'node:util';
import { LIMITS } from '@pennon/engine/model/limits';
import { ServiceError } from '../service/service-error.js';
import type { BodyReading, StreamedBody, StreamedReading } from './app.js';

/** A sender that is silent for so long, while somebody waits for it, has gone. */
const SILENCE_MILLISECONDS = 30_000;

const unhurried = new WeakSet<Duplex>();

export function isStreamed(reading: BodyReading): reading is StreamedReading {
  return reading === 'csv' || reading === 'ndjson';
}

/** Whether the time limit of a whole request does not apply on this connection, because a long body is under way on it. */
export function takesItsTime(socket: Duplex): boolean {
  return unhurried.has(socket);
}

/** What a route with a streamed body was sent; the router has seen to it that there is one. */
export function bodyOf(request: { readonly body: unknown }): StreamedBody {
  return (request.body ?? nothing()) as StreamedBody;
}

async function* nothing(): StreamedBody {}

/** The body as it comes, in text. The bytes wait with the sender until they are taken. */
export function streamedBody(raw: IncomingMessage): StreamedBody {
  unhurried.add(raw.socket);
  raw.once('close', () => unhurried.delete(raw.socket));
  return pieces(raw);
}

async function* pieces(raw: IncomingMessage): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  const limit = LIMITS.streamedBodyBytes.value;
  // Whoever stops reading still has an answer to give on this connection.
  const chunks = raw.iterator({ destroyOnReturn: false }) as AsyncIterator<Buffer>;
  let bytes = 0;
  try {
    for (;;) {
      const { value, done } = await inTime(chunks.next());
      if (done === true) break;
      bytes += value.length;
      if (bytes > limit) throw tooLong(limit);
      yield checked(decode(decoder, value));
    }
    yield checked(decode(decoder));
  } finally {
    // What nobody reads any more must not stand in the way of the next request on this connection; while the iterator listens, nothing
    // flows. It is not waited for: it may itself wait for a sender that is silent.
    void Promise.resolve(chunks.return?.()).finally(() => raw.resume());
  }
}

function tooLong(limit: number): ServiceError {
  return new ServiceError(
    'invalid',
    'BODY_TOO_LARGE',
    `The body is longer than ${limit} bytes. Send it in several calls.`,
  );
}

async function inTime<Value>(next: Promise<Value>): Promise<Value> {
  let timer: NodeJS.Timeout | null = null;
  const silence = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      const message = `Nothing came for ${SILENCE_MILLISECONDS / 1000} seconds. What was acknowledged stands; send the rest again.`;
      reject(new ServiceError('invalid', 'BODY_STALLED', message));
    }, SILENCE_MILLISECONDS);
    timer.unref();
  });
  try {
    return await Promise.race([next, silence]);
  } finally {
    if (timer !== null) clearTimeout(timer);
  }
}

function decode(decoder: TextDecoder, bytes?: Buffer): string {
  try {
    return bytes === undefined ? decoder.decode() : decoder.decode(bytes, { stream: true });
  } catch {
    throw new ServiceError(
      'invalid',
      'BODY_NOT_UTF8',
      'The body is not valid UTF-8. Send it encoded as UTF-8.',
    );
  }
}

function checked(text: string): string {
  if (text.includes('\0')) {
    throw new ServiceError('invalid', 'BODY_TEXT_REFUSED', 'The body holds the character NUL. Remove it.');
  }
  return text;
}
