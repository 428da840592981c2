/** The headers of a request that has nothing special about it. */
export interface PlainHeaders {
  /** More than none. */
  readonly contentLength: number;
  readonly credentials: {
    readonly authorization: string | undefined;
    readonly 'x-api-key': string | undefined;
    readonly 'pennon-customer-token': string | undefined;
  };
  readonly product: string | undefined;
  readonly environment: string | undefined;
  readonly ifNoneMatch: string | undefined;
  readonly requestId: string | undefined;
  readonly traceParent: string | undefined;
  readonly origin: string | undefined;
}

/** Each is read below, or is looked at because twice the same is refused. */
const READ = [
  'host',
  'authorization',
  'x-api-key',
  'pennon-customer-token',
  'pennon-product',
  'pennon-environment',
  'content-type',
  'content-length',
  'if-none-match',
  'x-request-id',
  'traceparent',
  'origin',
] as const;
type ReadHeader = (typeof READ)[number];

/** With one of these a request is not plain. */
const SPECIAL = [
  'transfer-encoding',
  'content-encoding',
  'pennon-consistency',
  'idempotency-key',
  'if-match',
  'expect',
  'upgrade',
] as const;

/** Everything else says nothing to an evaluation. */
const PASSED_OVER = ['accept', 'accept-encoding', 'accept-language', 'connection', 'user-agent'] as const;

const BY_NAME: readonly (readonly [string, number])[] = [
  ...READ.map((name, index) => [name, index] as const),
  ...SPECIAL.map((name) => [name, -1] as const),
  ...PASSED_OVER.map((name) => [name, -2] as const),
];

/** As most clients write them: all small, or each word with a capital. Others are looked up again in small letters. */
const ROLES: ReadonlyMap<string, number> = new Map([
  ...BY_NAME,
  ...BY_NAME.map(([name, role]) => [withCapitals(name), role] as const),
]);

function withCapitals(name: string): string {
  return name.replace(/(?:^|-)[a-z]/g, (first) => first.toUpperCase());
}

const SPECIAL_ROLE = -1;
const PLACE = Object.fromEntries(READ.map((name, index) => [name, index])) as Record<ReadHeader, number>;
const PLAIN_TYPE = /^application\/json(?:; ?charset=utf-8)?$/i;
const PLAIN_LENGTH = /^[1-9]\d{0,8}$/;

/**
 * One pass over the headers as they came. `null`: something is there twice, or something that changes how the request is to
 * be read; whoever asks then takes the long way.
 */
export function readPlainHeaders(rawHeaders: readonly string[]): PlainHeaders | null {
  const found: (string | undefined)[] = new Array(READ.length).fill(undefined);
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] ?? '';
    const role = ROLES.get(name) ?? ROLES.get(name.toLowerCase());
    if (role === undefined || role < SPECIAL_ROLE) {
      continue;
    }
    if (role === SPECIAL_ROLE || found[role] !== undefined) {
      return null;
    }
    found[role] = rawHeaders[index + 1];
  }
  const length = found[PLACE['content-length']];
  const type = found[PLACE['content-type']];
  if (length === undefined || !PLAIN_LENGTH.test(length) || type === undefined || !PLAIN_TYPE.test(type)) {
    return null;
  }
  return {
    contentLength: Number(length),
    credentials: {
      authorization: found[PLACE.authorization],
      'x-api-key': found[PLACE['x-api-key']],
      'pennon-customer-token': found[PLACE['pennon-customer-token']],
    },
    product: found[PLACE['pennon-product']],
    environment: found[PLACE['pennon-environment']],
    ifNoneMatch: found[PLACE['if-none-match']],
    requestId: found[PLACE['x-request-id']],
    traceParent: found[PLACE.traceparent],
    origin: found[PLACE.origin],
  };
}
