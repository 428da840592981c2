import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyBaseLogger, FastifyInstance } from 'fastify';
import type { Credential } from '../service/credential.js';
import type { ServiceError } from '../service/service-error.js';
import type { AnsweredCall } from './answered-call.js';

/** What routes are registered on. */
export type App = FastifyInstance<
  Server,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>;

/** Which kinds of credentials a route answers; `public` needs none. There is no default: the router refuses a route without. */
export type Access = 'public' | readonly Credential['kind'][];

/** The body of an error: RFC 9457, or what the two protocols say. */
export type ErrorShape = 'problem' | 'ofrep' | 'oep';

/**
 * How a body is read. `strict`: duplicate members are refused too (management, consume). `fast`: `JSON.parse` behind a guard
 * (evaluation). `events`: CloudEvents, many in one body, as strict. `document`: not parsed here, the handler gets a `DocumentBody` and its parser finds every fault with its position.
 * `raw`: the octets as they came, for signatures over them.
 * `csv` and `ndjson`: not even read here, the handler gets a `StreamedBody` and takes as long as it needs.
 */
export type BodyReading = 'strict' | 'fast' | 'document' | 'events' | 'raw' | StreamedReading;
export type StreamedReading = 'csv' | 'ndjson';

/** The body of a route with `config.body: 'document'`: valid UTF-8 without NUL, not parsed. */
export interface DocumentBody {
  readonly mediaType: 'application/json' | 'application/yaml';
  readonly text: string;
}

/**
 * The body of a route with `config.body: 'csv'` or `'ndjson'`: valid UTF-8 without NUL, in pieces as they arrive; the sender waits
 * while nobody takes them. Throws a ServiceError where the text is neither, or longer than a streamed body may be.
 */
export type StreamedBody = AsyncIterable<string>;

declare module 'fastify' {
  interface FastifyContextConfig {
    access?: Access;
    /** Default: `ofrep` below `/ofrep`, `oep` below `/oep`, else `problem`. */
    errorShape?: ErrorShape;
    /** Default: `strict` where errors are problems, else `fast`. */
    body?: BodyReading;
    /**
     * Whether the call changes what the path names; default: every method but GET and HEAD. A change of a product or of the
     * installation needs an admin key that is not bound to one environment.
     */
    changes?: boolean;
    /** The service checks the reach of the credential itself (keys, whose scope stands in the body). */
    reachCheckedByService?: boolean;
    /** Members of the answer that hold a secret: the first answer shows them, a repeat of the call gets `null`. */
    shownOnce?: readonly string[];
  }
  interface FastifyRequest {
    /** `null` only on public routes; `credentialOf` reads it. */
    credential: Credential | null;
    /** Set by routes that answer about flags or entitlements, for metrics: a closed word, never a key. */
    evaluationKind: string | null;
    /** Of a mutating call of the management API, once its handler runs. */
    call: AnsweredCall | null;
    /** What a call with an `Idempotency-Key` names is not there (any more); said once no answer to it is remembered. */
    refusedReach: ServiceError | null;
  }
}
